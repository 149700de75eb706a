"""Each layer over time, a panel a metric: a typical run's layers, its states as a band above."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training_maps.figures.metrics_by_state import runs_to_show
from training_maps.figures.state_timelines import stretches
from training_maps.figures.style import (
    MOST_VECTOR_BARS,
    TALLEST,
    Width,
    figure_that_says,
    letter_panels,
    new_figure,
    state_colour,
    state_legend,
    styled,
)
from training_maps.figures.symbols import metric_symbol, plain_text
from training_maps.hmm.standards import Standards
from training_maps.metrics.layers import in_order
from training_maps.results import ExperimentResults, Time
from training_maps.utils.files import read_table

if TYPE_CHECKING:
    import pandas as pd

MOST_PANELS = 4
_MOST_LABELS = 24
# Further from the mean all colours are the same, in standard deviations.
_STRONGEST = 2.5
_COLOURS = "PuOr_r"


def telling_metrics(results: ExperimentResults) -> list[str]:
    """The metrics that change most over all transitions and layers, the first one most."""
    changes = results.layer_changes
    sizes = changes["change"].abs().groupby(changes["metric"].astype(str), sort=True).mean()
    ordered = sizes.dropna().sort_values(ascending=False, kind="stable")
    return [str(metric) for metric in ordered.index[:MOST_PANELS]]


def typical_run(results: ExperimentResults) -> int:
    """The seed of the run that is shown: the median one by convergence, else a common one."""
    runs = runs_to_show(results)
    return dict(runs).get("median", runs[0][1])


@styled
def draw_layers(
    results: ExperimentResults,
    time: Time = "epoch",
    *,
    metrics: Sequence[str] | None = None,
    seed: int | None = None,
    width: Width = "page",
) -> Figure:
    """Draw how each layer's metrics go over time in one run, in its standard deviations.

    Args:
        results: an experiment's results.
        time: time axis, "epoch" or "step".
        metrics: a panel for each; those that change most if None.
        seed: the run; a typical one if None.
        width: "page" (two panels beside each other) or "column".

    Returns:
        The figure. Axes have gids `layers-{metric}`.
    """
    if results.layer_changes.empty:
        return figure_that_says("The metrics of each layer were not kept.", width, 1.0)
    time = results.time_axis(time)
    seed = typical_run(results) if seed is None else seed
    shown = telling_metrics(results) if metrics is None else list(metrics)
    table = read_table(
        results.folder / "runs" / f"seed-{seed}" / "layers.parquet", ("step", "tensor")
    )
    tensors = in_order(table["tensor"])
    page = width == "page" and len(shown) > 1
    n_columns = 2 if page else 1
    n_rows = -(-len(shown) // n_columns)
    height = min(0.9 + n_rows * (0.75 + 0.12 * len(tensors)), TALLEST)
    figure = new_figure(width, height)
    axes = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    mesh = None
    for ax, metric in zip(axes.flat, shown, strict=False):
        mesh = _draw_panel(ax, results, table, tensors, metric, seed, time)
    for ax in axes.flat[len(shown) :]:
        ax.set_axis_off()
    for ax in axes[-1]:
        ax.set_xlabel(f"{time} (seed {seed})")
    _name_layers(list(axes[:, 0]), tensors, 26 if page else 18)
    letter_panels(axes.flat[: len(shown)])
    state_legend(figure, results.states)
    if mesh is not None:
        bar = figure.colorbar(mesh, ax=axes, location="bottom", shrink=0.5, aspect=40)
        bar.set_label("standard deviations from the layer's mean")
        bar.outline.set_visible(False)
    return figure


def _draw_panel(
    ax: Axes,
    results: ExperimentResults,
    table: pd.DataFrame,
    tensors: list[str],
    metric: str,
    seed: int,
    time: Time,
) -> Any:
    """A metric's picture, a row a layer, with the run's states above it."""
    of_tensors = table.pivot_table(index="step", columns="tensor", values=metric)
    values = of_tensors.reindex(columns=tensors).to_numpy(float)
    scores = np.full(values.shape, np.nan)
    there = ~np.isnan(values).all(axis=0)
    scores[:, there] = Standards.of(values[:, there]).z_scores(values[:, there])
    times = results.times(seed, of_tensors.index.to_numpy(), time)
    last = times[-1] - times[-2] if len(times) > 1 else 1.0
    mesh = ax.pcolormesh(
        np.append(times, times[-1] + last),
        np.arange(len(tensors) + 1) - 0.5,
        scores.T,
        cmap=_COLOURS,
        vmin=-_STRONGEST,
        vmax=_STRONGEST,
        rasterized=True,  # a shape for each value would be most of the report
    )
    bars = stretches(*results.state_sequence(seed, time))
    band = max(0.5, 0.06 * len(tensors))
    ax.broken_barh(
        [(start, duration) for start, duration, _ in bars],
        (-0.7 - band, band),
        facecolors=[state_colour(state) for *_, state in bars],
        linewidth=0,
        rasterized=len(bars) > MOST_VECTOR_BARS,
    )
    ax.set_ylim(len(tensors) - 0.5, -0.7 - band)
    ax.margins(x=0)
    ax.set_title(metric_symbol(metric), parse_math=False)
    ax.set_gid(f"layers-{metric}")
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return mesh


def _name_layers(axes: Sequence[Axes], tensors: list[str], longest: int) -> None:
    """Names of the layers at the left, every so many where they are many."""
    every = -(-len(tensors) // _MOST_LABELS)
    names = [name.removesuffix(".weight") for name in tensors]
    short = [name if len(name) <= longest else f"…{name[1 - longest :]}" for name in names]
    for ax in axes:
        ax.set_yticks(range(0, len(tensors), every), [plain_text(one) for one in short[::every]])
