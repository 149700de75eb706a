"""When runs memorise and generalise, in which state, and with which transition of the map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator

from training_maps.figures.convergence_times import bin_edges, draw_censored
from training_maps.figures.style import (
    GREY,
    INK,
    Width,
    figure_that_says,
    legend_below,
    letter_panels,
    new_figure,
    say,
    state_colour,
    state_legend,
    styled,
)
from training_maps.results import ExperimentResults, Time

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 6
_LEAST_ROWS = 3  # fewer bars are no thicker
_UNKNOWN = "#ffffff"
_TRANSITION = "#8793a3"  # as the arrows of the map
_PANEL = 1.45
_ROW = 0.2


def found_phases(results: ExperimentResults) -> list[str]:
    """The phases that some run goes through, in the order of the file."""
    phases = results.phases.get("phases", {})
    return [name for name, phase in phases.items() if phase["n_found"]]


def shown_coincidences(phase: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the phase coincides with in some run, the most often first, at most `MOST_ROWS`."""
    return [one for one in phase["coincidences"] if one["n_runs"]][:MOST_ROWS]


def coincidence_name(one: Mapping[str, Any]) -> str:
    """ "in state 0" or "0 → 1"."""
    if one["transition"] is None:
        return f"in state {one['state']}"
    return " → ".join(str(state) for state in one["transition"])


@styled
def draw_phase_transitions(
    results: ExperimentResults, time: Time = "epoch", *, width: Width = "page"
) -> Figure:
    """Draw when each phase comes, coloured by state, and what it coincides with beside chance.

    Args:
        results: an experiment's results.
        time: time axis, "epoch" or "step".
        width: "page" (coincidences beside the times) or "column" (below them).

    Returns:
        The figure. Axes have gids `times-{phase}` and `coincidences-{phase}`; the bars of the
        former sum to the runs that have the phase or do not reach it.
    """
    time = results.time_axis(time)
    phases = found_phases(results)
    if not phases:
        reason = results.phases.get("reason")
        nothing = "No run has a phase transition in its training log."
        return figure_that_says(reason or nothing, width, 1.0)
    rows = {name: shown_coincidences(results.phases["phases"][name]) for name in phases}
    figure, axes = _panels(width, [len(rows[name]) for name in phases])
    tables = {name: _times(results, name, time) for name in phases}
    everything = np.concatenate([table["time"].dropna().to_numpy() for table in tables.values()])
    edges = bin_edges(everything, fewest=20)
    some_never = any((table["status"] == "not reached").any() for table in tables.values())
    for name, (left, right) in zip(phases, axes, strict=True):
        left.set_gid(f"times-{name}")
        _draw_times(left, tables[name], edges, some_never)
        left.set_title(_title(name, tables[name]))
        left.set_xlabel(time)
        right.set_gid(f"coincidences-{name}")
        _draw_coincidences(right, rows[name], results.n_runs)
    states = sorted({int(s) for table in tables.values() for s in table["state"].dropna()})
    state_legend(figure, states)
    legend_below(figure, [right for _, right in axes], 2)
    letter_panels(ax for pair in axes for ax in pair)
    return figure


def _panels(width: Width, n_rows: Sequence[int]) -> tuple[Figure, list[tuple[Axes, Axes]]]:
    """A pair of axes a phase: beside each other on a page, below each other in a column."""
    if width == "page":
        heights = [max(_PANEL, 0.5 + _ROW * n) for n in n_rows]
        figure = new_figure(width, 0.9 + sum(heights))
        grid = figure.subplots(
            len(n_rows), 2, squeeze=False, width_ratios=[1.5, 1], height_ratios=heights
        )
        return figure, [(left, right) for left, right in grid]
    heights = [height for n in n_rows for height in (_PANEL, 0.55 + _ROW * n)]
    figure = new_figure(width, 1.1 + sum(heights))
    grid = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    return figure, list(zip(grid[::2], grid[1::2], strict=True))


def _times(results: ExperimentResults, phase: str, time: Time) -> pd.DataFrame:
    """`time, state, status` of each run."""
    table = results.phase_transitions
    rows = table[table["phase"] == phase]
    return rows[["state", "status"]].assign(time=rows[time].astype(float))


def _title(phase: str, table: pd.DataFrame) -> str:
    """How many runs have the phase; the others are hatched, or past it from the start."""
    count = table["status"].value_counts().to_dict()
    parts = [f"{count.get('found', 0)} of {len(table)} runs"]
    if "not reached" in count:
        parts.append(f"{count['not reached']} never")
    if "from the start" in count:
        parts.append(f"{count['from the start']} from the start")
    return f"{phase}: {', '.join(parts)}"


def _draw_times(ax: Axes, table: pd.DataFrame, edges: np.ndarray, some_never: bool) -> None:
    """A histogram of times, a bar's parts in the colours of the states that runs are in."""
    found = table[table["status"] == "found"]
    bottom = np.zeros(len(edges) - 1)
    groups = [*sorted(int(state) for state in found["state"].dropna().unique()), None]
    for state in groups:
        rows = found[found["state"].isna() if state is None else found["state"] == state]
        if rows.empty:
            continue
        counts = np.histogram(rows["time"], edges)[0]
        ax.bar(
            edges[:-1],
            counts,
            np.diff(edges),
            bottom,
            align="edge",
            color=_UNKNOWN if state is None else state_colour(state),
            edgecolor=GREY if state is None else "white",
            linewidth=0.4,
        )
        bottom += counts
    if some_never:
        draw_censored(ax, edges, int((table["status"] == "not reached").sum()), word="")
    ax.set_ylabel("runs")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    ax.grid(axis="y")


def _draw_coincidences(ax: Axes, rows: Sequence[Mapping[str, Any]], n_runs: int) -> None:
    """In how many runs the phase coincides with what, and what chance gives."""
    if not rows:
        say(ax, "It comes after the last checkpoint whose state is known.")
        return
    y = np.arange(len(rows))
    colours = [
        state_colour(row["state"]) if row["transition"] is None else _TRANSITION for row in rows
    ]
    ax.barh(y, [row["n_runs"] for row in rows], 0.62, color=colours, edgecolor="white")
    ax.plot(
        [row["expected_at_random"] for row in rows],
        y,
        "|",
        color=INK,
        markersize=9,
        markeredgewidth=1.6,
        linestyle="none",
        label="expected at random times",
        path_effects=[Stroke(linewidth=3.4, foreground="white"), Normal()],
    )
    others = [(row["expected_of_other_runs"], i) for i, row in enumerate(rows)]
    known = [(value, i) for value, i in others if value is not None]
    if known:
        ax.plot(
            *zip(*known, strict=True),
            "D",
            markersize=4.5,
            markerfacecolor="white",
            markeredgecolor=INK,
            markeredgewidth=0.9,
            linestyle="none",
            label="expected at the times of the other runs",
            clip_on=False,
        )
    ax.set_yticks(y, [coincidence_name(row) for row in rows])
    ax.set_ylim(max(len(rows), _LEAST_ROWS) - 0.4, -0.6)
    ax.set_xlim(0, n_runs)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    ax.set_xlabel("runs in which it coincides")
