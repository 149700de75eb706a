"""What the branches of a fork mean: when their runs converge (compare Hu et al. 2023, 3.1 to 3.3).

Each run is a dot, each branch's mean a line with its 95 % interval, as `forks.json` has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training_maps.figures.style import (
    GREY,
    INK,
    MOST_VECTOR_DOTS,
    Width,
    figure_that_says,
    legend_below,
    new_figure,
    relative_luminance,
    state_colour,
    styled,
)
from training_maps.results import ExperimentResults, Time
from training_maps.utils.wording import equals_p, plural

MOST_FORKS = 8
_ROW = 0.27
_HEAD = 0.75  # height of a fork's heading, in rows
_BAND = 0.34  # how far dots of a row spread, in rows
_GOLDEN = 0.6180339887498949


def timed_forks(results: ExperimentResults) -> list[dict[str, Any]]:
    """The forks with a branch whose convergence times are known, ascending by state.

    Of more than `MOST_FORKS`, those through which most runs go.
    """
    if results.convergence.empty:
        return []
    timed = [
        fork
        for fork in results.forks.get("forks", ())
        if any(branch["n_timed"] for branch in fork["branches"])
    ]
    most = sorted(timed, key=lambda fork: -_n_runs(fork))[:MOST_FORKS]
    return sorted(most, key=lambda fork: int(fork["state"]))


@styled
def draw_forks(
    results: ExperimentResults, time: Time = "epoch", *, width: Width = "page"
) -> Figure:
    """Draw the convergence times of each fork's branches.

    Args:
        results: an experiment's results.
        time: time axis, "epoch" or "step".
        width: "page" or "column".

    Intervals that are much wider than the range of all runs' times are cut.

    Returns:
        The figure. Dots have gids `branch-{fork}-{to}`, means `mean-{fork}-{to}`.
    """
    time = results.time_axis(time)
    forks = timed_forks(results)
    if not forks:
        return figure_that_says(
            "It is not known when runs converge, so branches cannot be compared."
            if results.forks.get("forks")
            else "There is no fork: no two runs go on differently from a state.",
            width,
            1.0,
        )
    rows = sum(_HEAD + len(fork["branches"]) for fork in forks)
    figure = new_figure(width, 0.75 + _ROW * rows)
    ax = figure.subplots()
    y, places, labels = 0.0, [], []
    as_image = sum(map(_n_runs, forks)) > MOST_VECTOR_DOTS
    for fork in forks:
        ax.text(
            0.0,
            y + _HEAD / 2 - 0.1,
            _heading(fork),
            transform=ax.get_yaxis_transform(),
            va="center",
            fontsize=7,
            fontweight="bold",
        )
        y += _HEAD
        for branch in fork["branches"]:
            _draw_branch(ax, results, fork["state"], branch, y + 0.5, time, as_image=as_image)
            places.append(y + 0.5)
            labels.append(f"to {branch['to']} ({plural(branch['n_runs'], 'run')})")
            y += 1
    ax.set_ylim(y, -0.15)
    _limit_times(ax, results, forks, time)
    ax.set_yticks(places, labels)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
    ax.set_xlabel(f"{time} of convergence")
    legend_below(figure, [ax], 3)
    return figure


def _draw_branch(
    ax: Axes,
    results: ExperimentResults,
    fork: int,
    branch: Mapping[str, Any],
    y: float,
    time: Time,
    *,
    as_image: bool,
) -> None:
    """A branch's runs as dots, and the mean and its interval below them."""
    known = [results.convergence_time(seed, time) for seed in branch["seeds"]]
    times = [entry for entry in known if entry is not None]
    colour = state_colour(branch["to"])
    size = 14 if results.n_runs <= 50 else 8
    # Dots of equal times are spread, the same way each time.
    spread = _BAND * ((np.arange(len(times)) * _GOLDEN) % 1 - 0.5)
    for converged in (True, False):
        these = [i for i, entry in enumerate(times) if entry[1] == converged]
        if these:
            ax.scatter(
                [times[i][0] for i in these],
                y - 0.2 + spread[these],
                s=size,
                facecolors=colour if converged else "white",
                edgecolors=_edge(colour) if converged else colour,
                linewidths=0.4 if converged else 1.0,
                gid=f"branch-{fork}-{branch['to']}" + ("" if converged else "-never"),
                rasterized=as_image,
                label="run" if converged else "run that never converges (its last step)",
                zorder=3,
            )
    mean = branch[f"mean_{time}"]
    if mean is None:
        return
    low, high = branch[f"interval_{time}"] or (mean, mean)
    ax.plot(
        [low, high],
        [y + 0.27] * 2,
        color=INK,
        linewidth=1.4,
        solid_capstyle="butt",
        label="mean of the branch, 95 % interval",
        zorder=4,
    )
    ax.plot(mean, y + 0.27, "|", color=INK, markersize=7, gid=f"mean-{fork}-{branch['to']}")


def _limit_times(
    ax: Axes, results: ExperimentResults, forks: Sequence[Mapping[str, Any]], time: Time
) -> None:
    """Show all runs; an interval of two or three runs may be wider than that, and is cut."""
    branches = [branch for fork in forks for branch in fork["branches"]]
    known = [results.convergence_time(s, time) for branch in branches for s in branch["seeds"]]
    times = np.array([entry[0] for entry in known if entry is not None])
    low, high = float(times.min()), float(times.max())
    span = (high - low) or max(abs(high), 1.0)
    bounds = [bound for branch in branches for bound in branch[f"interval_{time}"] or ()]
    left = max(min([low, *bounds]), low - 0.4 * span, 0.0)
    right = min(max([high, *bounds]), high + 0.4 * span)
    ax.set_xlim(left - 0.03 * span, right + 0.03 * span)


def _edge(colour: str) -> str:
    """Light dots get a grey rim, so that they show on white."""
    return GREY if relative_luminance(colour) > 0.45 else "white"


def _heading(fork: Mapping[str, Any]) -> str:
    """ "from state 0, p = 0.012"."""
    p = fork["p_value_adjusted"]
    if p is None:
        return f"from state {fork['state']}, not tested"
    return f"from state {fork['state']}, {equals_p(p)}"


def _n_runs(fork: Mapping[str, Any]) -> int:
    return sum(int(branch["n_runs"]) for branch in fork["branches"])
