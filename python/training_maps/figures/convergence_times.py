"""Histogram of convergence times (Hu et al. 2023, Figure 11)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from training_maps.figures.style import GREY, INK, Width, new_figure, say, styled
from training_maps.figures.symbols import in_brackets
from training_maps.results import ExperimentResults, Time

_FEWEST_BINS, _MOST_BINS = 5, 25
_BLUE = "#4477aa"


@styled
def draw_convergence_times(
    results: ExperimentResults, time: Time = "epoch", *, width: Width = "column"
) -> Figure:
    """Draw how many runs converge when; runs that never do stand apart at the right.

    Args:
        results: an experiment's results.
        time: time axis, "epoch" or "step".
        width: "column" or "page".

    Returns:
        The figure; the bars of its axes sum to the number of runs.
    """
    time = results.time_axis(time)
    figure = new_figure(width, 2.4)
    ax = figure.subplots()
    if results.convergence.empty:
        say(ax, "Convergence is not defined for these runs.")
        return figure
    known = [results.convergence_time(seed, time) for seed in results.seeds]
    reached = np.array([entry[0] for entry in known if entry is not None and entry[1]])
    n_never = sum(1 for entry in known if entry is not None and not entry[1])
    if not len(reached):
        say(
            ax,
            f"None of the {n_never} runs converged."
            if n_never > 1
            else "The run did not converge.",
        )
        return figure
    edges = bin_edges(reached)
    ax.hist(reached, edges.tolist(), color=_BLUE, edgecolor="white", linewidth=0.5)
    _mark_median(ax, reached, edges)
    if n_never:
        draw_censored(ax, edges, n_never)
    ax.set_xlabel(f"{time} of convergence" + in_brackets(results.crossing))
    ax.set_ylabel("runs")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(axis="y")
    return figure


def _mark_median(ax: Axes, reached: np.ndarray, edges: np.ndarray) -> None:
    """A line at the median, its number beside it on the side where there is room."""
    middle = float(np.median(reached))
    ax.axvline(middle, color=INK, linewidth=0.9, linestyle=(0, (3, 2)))
    ax.annotate(
        f" median {middle:,.0f} ",
        (middle, 1.0),
        xycoords=("data", "axes fraction"),
        ha="right" if middle > edges.mean() else "left",
        va="bottom",
        fontsize=7,
    )


def bin_edges(values: np.ndarray, fewest: int = _FEWEST_BINS) -> np.ndarray:
    """Equal bins by numpy's rule, neither too few nor too many, of a positive width."""
    n_bins = len(np.histogram_bin_edges(values, "auto")) - 1
    low, high = float(values.min()), float(values.max())
    if low == high:
        half = max(abs(low) * 0.05, 0.5)
        low, high = low - half, high + half
    return np.linspace(low, high, int(np.clip(n_bins, fewest, _MOST_BINS)) + 1)


def draw_censored(ax: Axes, edges: np.ndarray, n_never: int, word: str = "never") -> None:
    """A hatched bar, off the time axis, for the runs whose time did not come; `word` names it."""
    span = edges[-1] - edges[0]
    bar = max(edges[1] - edges[0], 0.08 * span)
    x = edges[-1] + 1.5 * bar
    ax.bar(
        x,
        n_never,
        width=bar,
        facecolor="white",
        edgecolor=GREY,
        hatch="////",
        linewidth=0.7,
        label="not converged",
    )
    if n_never:
        text = f"{n_never} {word}".rstrip()
        ax.annotate(text, (x, n_never), ha="center", va="bottom", fontsize=7, color=GREY)
    ax.set_xlim(edges[0] - 0.05 * span, x + bar)
    ticks = [tick for tick in ax.get_xticks() if edges[0] - 0.05 * span <= tick <= edges[-1]]
    ax.set_xticks(ticks)
