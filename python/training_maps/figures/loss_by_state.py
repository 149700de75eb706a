"""Loss, accuracy and outcome of a fast, a median and a slow run, coloured by state."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from training_maps.figures.style import (
    GREY,
    INK,
    MOST_VECTOR_BARS,
    Width,
    figure_that_says,
    letter_panels,
    new_figure,
    state_colour,
    state_legend,
    styled,
)
from training_maps.results import ExperimentResults, Time
from training_maps.runs.training_logs import LOG_NAMES
from training_maps.utils.wording import listing

_DASHES = (0, (2.5, 1.2))
# Ratio of largest to smallest loss from which a logarithmic axis shows more.
_LOG_FROM = 20.0
_MOST_DECADES = 16
_MOST_DECADE_LABELS = 5


def featured_runs(results: ExperimentResults) -> list[tuple[str, int]]:
    """The fastest, the median and the slowest run that has a log: pairs of name and seed.

    Where the outcome is no time, the best, the median and the worst.
    """
    seeds = [seed for seed in results.seeds_by_convergence() if seed in results.logs]
    names = ("fast", "median", "slow")
    if results.convergence.empty:
        ranked = [seed for seed in results.seeds_by_outcome() if seed in results.logs]
        names = ("best", "median", "worst")
        if not ranked:
            return [("run", seed) for seed in seeds[:3]]
        seeds = ranked
    if len(seeds) < 2:
        return [("run", seed) for seed in seeds]
    if len(seeds) == 2:
        return [(names[0], seeds[0]), (names[2], seeds[1])]
    return list(zip(names, (seeds[0], seeds[(len(seeds) - 1) // 2], seeds[-1]), strict=True))


def logged_curves(results: ExperimentResults) -> list[str]:
    """Which of "loss" and "accuracy" some run has a log of, and the column of the outcome."""
    outcome = results.crossing_column
    kinds = ["loss", "accuracy", *([] if outcome in LOG_NAMES else [outcome])]
    return [
        what
        for what in kinds
        if any(
            log[column].notna().any()
            for log in results.logs.values()
            for column in curve_columns(what)
            if column in log
        )
    ]


def curve_columns(what: str) -> list[str]:
    """The columns of a kind of curve: training's first, and that of evaluation or the outcome."""
    return [f"train_{what}", f"eval_{what}"] if what in ("loss", "accuracy") else [what]


def name_curves(results: ExperimentResults) -> str:
    """What the curves are of, as a heading: "Loss and accuracy"."""
    named = listing(logged_curves(results)) or "loss and accuracy"
    return named[0].upper() + named[1:]


NO_CURVES = (
    "There are no curves: no log of training has a loss, an accuracy, or an outcome that "
    "semantics.column names."
)


@styled
def draw_loss_by_state(
    results: ExperimentResults, time: Time = "epoch", *, width: Width = "page"
) -> Figure:
    """Draw the curves of featured runs, each piece in the colour of its state.

    Compare Hu et al. 2023, Figure 2. Solid lines are evaluation, dashed lines training. The loss
    is on a logarithmic axis where it spans more than a factor of 20; a loss of exactly 0, which
    the hinge loss reaches, lies below a cut that is marked.

    Args:
        results: an experiment's results.
        time: time axis, "epoch" or "step".
        width: "page" or "column".

    Returns:
        The figure; upper axes hold losses, lower axes accuracies and the outcome (those that are
        logged), a column a run.
    """
    time = results.time_axis(time)
    runs, curves = featured_runs(results), logged_curves(results)
    if not runs or not curves:
        return figure_that_says(NO_CURVES, width)
    figure = new_figure(width, 0.3 + curves_height(curves, width))
    draw_curves(figure, results, time, width)
    state_legend(figure, results.states)
    return figure


def curves_height(curves: list[str], width: Width) -> float:
    """Height in inches of so many rows of curves, without a legend of the states."""
    return (0.3 if width == "page" else 0.1) + 1.5 * len(curves)


def draw_curves(figure: Figure, results: ExperimentResults, time: Time, width: Width) -> None:
    """Draw a row of panels for each logged curve, a column for each featured run."""
    runs, curves = featured_runs(results), logged_curves(results)
    axes = figure.subplots(len(curves), len(runs), sharex="col", sharey="row", squeeze=False)
    drawn: set[str] = set()
    for column, (name, seed) in enumerate(runs):
        for ax, what in zip(axes[:, column], curves, strict=True):
            drawn |= _draw_run(ax, results, seed, time, what)
        axes[0, column].set_title(_title(results, name, seed, time, width))
        axes[-1, column].set_xlabel(time)
        if width == "page" and len(runs) > 1:
            axes[-1, column].locator_params(axis="x", nbins=4)  # so that they do not touch
    for ax, what in zip(axes[:, 0], curves, strict=True):
        ax.set_ylabel(what)
        if what == "loss":
            scale_losses(ax, [results.logs[seed] for _, seed in runs])
    figure.align_ylabels(axes[:, 0])
    letter_panels(axes.ravel())
    lines = [
        Line2D([], [], color=INK, label="evaluation"),
        Line2D([], [], color=INK, linestyle=_DASHES, linewidth=0.8, label="training"),
    ]
    lines = [line for line, name in zip(lines, ("eval", "train"), strict=True) if name in drawn]
    if lines:
        figure.legend(handles=lines, loc="outside lower center", ncols=2)


def _title(results: ExperimentResults, name: str, seed: int, time: Time, width: Width) -> str:
    reached = results.convergence_time(seed, time)
    head = f"{name}: seed {seed}" if width == "page" else f"{name} ({seed})"
    if reached is None or width == "column":
        return head
    return f"{head}, {time} {reached[0]:,.0f}" if reached[1] else f"{head}, not converged"


def _draw_run(ax: Axes, results: ExperimentResults, seed: int, time: Time, what: str) -> set[str]:
    """Draw a run's curves of one kind; returns which, of "train" and "eval"."""
    log = results.logs[seed]
    times = results.times(seed, log["step"].to_numpy(), time)
    rows = results.state_paths[results.state_paths["seed"] == seed]
    # The state at a row of the log is that of the last checkpoint so far.
    at = np.searchsorted(rows["step"].to_numpy(), log["step"].to_numpy(), side="right") - 1
    states = rows["state"].to_numpy()[np.clip(at, 0, None)]
    drawn = set()
    for column in curve_columns(what):
        part = "train" if column == f"train_{what}" else "eval"
        style, line_width = (_DASHES, 0.8) if part == "train" else ("-", 1.5)
        if column not in log:
            continue
        points = np.column_stack([times, log[column].to_numpy(float)])
        logged = ~np.isnan(points[:, 1])  # not every step has a value of every column
        if logged.any():
            line = coloured_line(points[logged], states[logged], style, line_width, column)
            ax.add_collection(line)
            drawn.add(part if column in LOG_NAMES else "")
    reached = results.convergence_time(seed, time)
    if reached is not None and reached[1]:
        ax.axvline(reached[0], color=GREY, linewidth=0.7, linestyle=":", zorder=0)
    crosses = results.crossing_column in curve_columns(what)
    if results.threshold is not None and crosses:
        ax.axhline(results.threshold, color=GREY, linewidth=0.7, linestyle=":", zorder=0)
    ax.autoscale_view()
    return drawn


def coloured_line(
    points: np.ndarray, states: np.ndarray, style: object, width: float, name: str
) -> LineCollection:
    """One line for each stretch in a state; it reaches to the first point of the next."""
    starts = np.flatnonzero(np.append(True, states[1:] != states[:-1]))
    ends = np.append(starts[1:], len(states) - 1)
    pieces = [points[start : end + 1] for start, end in zip(starts, ends, strict=True)]
    return LineCollection(
        pieces,
        colors=[state_colour(int(states[start])) for start in starts],
        linestyles=[style],
        linewidths=width,
        label=name,
        rasterized=len(pieces) > MOST_VECTOR_BARS,
    )


def scale_losses(ax: Axes, logs: list) -> None:
    """A logarithmic axis of all decades for losses that span much; 0 lies below a marked cut."""
    values = np.concatenate([log[["train_loss", "eval_loss"]].to_numpy().ravel() for log in logs])
    values = values[np.isfinite(values)]
    positive = values[values > 0]
    if not len(positive) or (values < 0).any() or positive.max() / positive.min() < _LOG_FROM:
        return
    largest = int(np.ceil(np.log10(positive.max())))
    smallest = max(int(np.floor(np.log10(positive.min()))), largest - _MOST_DECADES)
    below = (values == 0).any() or positive.min() < 10.0**smallest
    every = -(-(largest - smallest) // _MOST_DECADE_LABELS)
    ticks = [10.0**power for power in range(largest, smallest - 1, -every)]
    if below:
        # What is 0, or too small, lies on a short linear part below the decades.
        lane = max(0.5, 0.13 * (largest - smallest))
        ax.set_yscale("symlog", linthresh=10.0**smallest, linscale=lane)
        # The labels of the lowest decades would stand too close to that of 0.
        nearest = 0.2 * (largest - smallest + lane)
        ticks = [tick for tick in ticks if np.log10(tick) - smallest + lane > nearest]
        ax.set_yticks([0.0, *ticks], minor=False)
        ax.set_ylim(-0.05 * 10.0**smallest, positive.max() * 1.6)
        _mark_cut(ax, 0.5 * 10.0**smallest)
    else:
        ax.set_yscale("log")
        ax.set_yticks(ticks, minor=False)
    ax.yaxis.set_minor_locator(NullLocator())


def _mark_cut(ax: Axes, value: float) -> None:
    """Break the vertical axis with a wave, where it leaves out all between."""
    ax.text(
        0,
        value,
        "≈",
        transform=ax.get_yaxis_transform(),
        ha="center",
        va="center",
        fontsize=8,
        color=INK,
        gid="cut",
        zorder=6,
        bbox={"boxstyle": "square,pad=0.0", "facecolor": "white", "edgecolor": "none"},
    )
