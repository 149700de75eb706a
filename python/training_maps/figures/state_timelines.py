"""State timelines: every run a row, coloured by state along training time."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training_maps.figures.style import (
    INK,
    MOST_VECTOR_BARS,
    Width,
    legend_below,
    mark_outliers,
    new_figure,
    state_colour,
    state_legend,
    styled,
)
from training_maps.figures.symbols import in_brackets
from training_maps.results import ExperimentResults, Time

#: Of more runs, so many are drawn.
MOST_ROWS = 1000
_MOST_ROW_LABELS = 45
# Characters of a title that fit above half a page.
_TITLE = 42


def stretches(times: np.ndarray, states: np.ndarray) -> list[tuple[float, float, int]]:
    """Stretches of one state: (start, duration, state), each lasting until the next begins.

    The last checkpoint lasts as long as the one before it.

    Args:
        times: shape (n,), ascending.
        states: shape (n,).
    """
    last = times[-1] - times[-2] if len(times) > 1 else 1.0
    starts = np.flatnonzero(np.append(True, states[1:] != states[:-1]))
    bounds = np.append(times[starts], times[-1] + last)
    return [
        (float(bounds[i]), float(bounds[i + 1] - bounds[i]), int(states[start]))
        for i, start in enumerate(starts)
    ]


@styled
def draw_state_timelines(
    results: ExperimentResults, time: Time = "epoch", *, width: Width = "page"
) -> Figure:
    """Draw all runs, the fastest on top; a diamond marks convergence, a triangle an outlier run.

    Args:
        results: an experiment's results.
        time: time axis, "epoch" or "step".
        width: "page" or "column".

    Returns:
        The figure. Rows have gids `run-{seed}`.
    """
    time = results.time_axis(time)
    seeds = results.drawn_seeds(MOST_ROWS)
    figure = new_figure(width, _height(seeds))
    ax = figure.subplots()
    if len(seeds) < results.n_runs:
        ax.set_title(f"{len(seeds):,} of {results.n_runs:,} runs")
    _draw_runs(ax, results, seeds, time)
    _label_rows(ax, seeds)
    state_legend(figure, results.states)
    legend_below(figure, [ax], 2)
    return figure


@styled
def draw_two_colourings(
    results: ExperimentResults,
    other: ExperimentResults,
    titles: tuple[str, str],
    time: Time = "epoch",
) -> Figure:
    """Draw all runs twice, by the states of two maps: a row is the same run on both sides.

    Args:
        results: an experiment's results, which say the order of the runs.
        other: another analysis's of the same runs; runs that it lacks are left empty.
        titles: what stands above either side.
        time: time axis, "epoch" or "step".
    """
    time = other.time_axis(results.time_axis(time))
    seeds = results.drawn_seeds(MOST_ROWS)
    figure = new_figure("page", _height(seeds))
    sides = figure.subplots(1, 2, sharey=True)
    for ax, of_side, title in zip(sides, (results, other), titles, strict=True):
        _draw_runs(ax, of_side, seeds, time)
        ax.set_title("\n".join(textwrap.wrap(title, _TITLE)))
    _label_rows(sides[0], seeds)
    for ax in sides:
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
    state_legend(figure, sorted({*results.states, *other.states}))
    legend_below(figure, sides, 2)
    return figure


def _height(seeds: list[int]) -> float:
    """Inches that a row a run takes, axis and legends too."""
    return 1.3 + float(np.clip(3.6 / len(seeds), 0.05, 0.2)) * len(seeds)


def _draw_runs(ax: Axes, results: ExperimentResults, seeds: list[int], time: Time) -> None:
    """A row a run, in the order of `seeds`; those that the results lack stay empty."""
    there = set(results.seeds)
    rows = {y: seed for y, seed in enumerate(seeds) if seed in there}
    bars = {seed: stretches(*results.state_sequence(seed, time)) for seed in rows.values()}
    as_image = sum(map(len, bars.values())) > MOST_VECTOR_BARS
    for y, seed in rows.items():
        collection = ax.broken_barh(
            [(start, duration) for start, duration, _ in bars[seed]],
            (y - 0.42, 0.84),
            facecolors=[state_colour(state) for *_, state in bars[seed]],
            linewidth=0,
            rasterized=as_image,
        )
        collection.set_gid(f"run-{seed}")
    _mark_convergence(ax, results, seeds, time)
    outlying = set(results.outlier_seeds)
    outliers = [y for y, seed in enumerate(seeds) if seed in outlying]
    mark_outliers(ax, outliers, 4.5 if len(seeds) <= 50 else 3.0)
    ax.set_xlabel(time)
    ax.margins(x=0)


def _mark_convergence(ax: Axes, results: ExperimentResults, seeds: list[int], time: Time) -> None:
    points = []
    for y, seed in enumerate(seeds):
        reached = results.convergence_time(seed, time)
        if reached is not None and reached[1]:
            points.append((reached[0], y))
    if points:
        ax.plot(
            *zip(*points, strict=True),
            "D",
            markersize=3.4 if len(seeds) <= 50 else 2.2,
            markerfacecolor="white",
            markeredgecolor=INK,
            markeredgewidth=0.7,
            linestyle="none",
            label="converged" + in_brackets(results.crossing),
            clip_on=False,
        )


def _label_rows(ax: Axes, seeds: list[int]) -> None:
    ax.set_ylim(len(seeds) - 0.4, -0.6)
    if len(seeds) <= _MOST_ROW_LABELS:
        size = 6.5 if len(seeds) <= 30 else 5.5
        ax.set_yticks(range(len(seeds)), [str(seed) for seed in seeds], fontsize=size)
        ax.set_ylabel("seed")
    else:
        ax.set_yticks([])
        ax.set_ylabel(f"{len(seeds)} runs, the fastest on top")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
