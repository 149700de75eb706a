"""Heat map of the dissimilarity between runs' trajectories (Hu et al. 2023, equation 3)."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training_maps.figures.style import (
    COLUMN,
    PAGE,
    Width,
    figure_that_says,
    legend_below,
    mark_outliers,
    new_figure,
    styled,
)
from training_maps.results import ExperimentResults
from training_maps.stats.optimal_transport import line_cost

if TYPE_CHECKING:
    import pandas as pd

GROUND_DISTANCES = {
    "index": "Wasserstein-1 distance, states |j − k| apart",
    "discrete": "Wasserstein-1 distance, states 0 or 1 apart",
    "means": "Wasserstein-1 distance, states apart as their means",
}
_MOST_LABELS = 45
_MOST_VECTOR_RUNS = 50
#: Cells of more runs would be smaller than a screen or a printer shows.
MOST_HEAT_RUNS = 500


def distance_matrix(dissimilarity: pd.DataFrame, column: str) -> tuple[list[int], np.ndarray]:
    """Seeds, ascending, and the symmetric (n_runs, n_runs) matrix of distances between them."""
    ends = dissimilarity[["seed_a", "seed_b"]].to_numpy(dtype=np.int64)
    seeds, at = np.unique(ends, return_inverse=True)
    a, b = at.reshape(ends.shape).T
    matrix = np.zeros((len(seeds), len(seeds)))
    matrix[a, b] = matrix[b, a] = dissimilarity[column].to_numpy(dtype=float)
    return seeds.tolist(), matrix


def drawn_pairs(results: ExperimentResults) -> pd.DataFrame:
    """The pairs that are drawn, `seed_a, seed_b, index`: of many runs, those of some of them.

    A table of very many runs lacks most pairs, so theirs are computed.
    """
    import pandas as pd

    seeds = results.drawn_seeds(MOST_HEAT_RUNS)
    if len(seeds) == results.n_runs:
        return results.dissimilarity
    paths = results.state_paths
    counts = pd.crosstab(paths["seed"], paths["state"]).loc[sorted(seeds)]
    shares = counts.div(counts.sum(axis=1), axis=0).to_numpy()
    a, b = np.triu_indices(len(seeds), k=1)
    distances = line_cost(shares[a] - shares[b], counts.columns.to_numpy())
    ascending = counts.index.to_numpy()
    return pd.DataFrame({"seed_a": ascending[a], "seed_b": ascending[b], "index": distances})


def order_by_similarity(matrix: np.ndarray) -> np.ndarray:
    """Order of the rows in which similar ones are neighbours (average linkage, optimal leaves)."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(matrix) < 3:
        return np.arange(len(matrix))
    tree = linkage(squareform(matrix, checks=False), method="average", optimal_ordering=True)
    return leaves_list(tree)


@styled
def draw_dissimilarity(
    dissimilarity: pd.DataFrame,
    column: str = "index",
    *,
    outliers: Collection[int] = (),
    of_all: tuple[int, float] | None = None,
    width: Width = "page",
) -> Figure:
    """Draw the distances between all pairs of runs, similar runs next to each other.

    Args:
        dissimilarity: `seed_a, seed_b` and the distances, one row a pair.
        column: ground distance: "index", "discrete" or "means".
        outliers: seeds of the outlier runs, which a triangle marks.
        of_all: if these are some of the runs: how many there are, and the mean over all pairs.
        width: "page" or "column".

    Returns:
        The figure; its first axes hold the matrix.
    """
    if dissimilarity.empty:
        return figure_that_says("There is only one run, so there is nothing to compare.", width)
    inches = PAGE if width == "page" else COLUMN
    figure = new_figure(width, min(0.78 * inches, 5.2))
    ax = figure.subplots()
    seeds, matrix = distance_matrix(dissimilarity, column)
    order = order_by_similarity(matrix)
    mesh = ax.pcolormesh(
        matrix[np.ix_(order, order)],
        cmap="cividis",
        vmin=0,
        vmax=matrix.max() or 1.0,
        rasterized=len(seeds) > _MOST_VECTOR_RUNS,
        # Cells a hair larger than they are leave no seams between them in a vector file.
        edgecolors="face",
        linewidth=0.3,
        gid="heat",
    )
    ax.set_aspect("equal")
    ax.invert_yaxis()
    ax.spines[:].set_visible(False)
    distance = GROUND_DISTANCES[column]
    label = distance if width == "page" else distance.replace(", ", ",\n")
    bar = figure.colorbar(mesh, ax=ax, shrink=0.8, label=label)
    bar.outline.set_visible(False)
    ax.set_title(_title(float(dissimilarity[column].mean()), len(dissimilarity), seeds, of_all))
    ax.set_xlabel("seed")
    ax.set_ylabel("seed")
    _label_seeds(ax, [str(seeds[i]) for i in order], width)
    mark_outliers(ax, [row + 0.5 for row, i in enumerate(order) if seeds[i] in outliers])
    legend_below(figure, [ax], 1)
    return figure


def _title(mean: float, n_pairs: int, seeds: list[int], of_all: tuple[int, float] | None) -> str:
    if of_all is None:
        return f"mean over {n_pairs:,} pairs: {mean:.3f}"
    return f"{len(seeds):,} of {of_all[0]:,} runs; mean over all pairs: {of_all[1]:.3f}"


def _label_seeds(ax: Axes, labels: list[str], width: Width) -> None:
    most = _MOST_LABELS if width == "page" else _MOST_LABELS // 2
    ax.tick_params(length=0)
    if len(labels) > most:
        ax.set_xticks([])
        ax.set_yticks([])
        return
    centres = np.arange(len(labels)) + 0.5
    size = 6 if len(labels) <= 25 else 4.8
    ax.set_xticks(centres, labels, fontsize=size, rotation=90 if len(labels) > 20 else 0)
    ax.set_yticks(centres, labels, fontsize=size)
