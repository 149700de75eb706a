"""The training map as a picture: states along training time and the ways that runs take."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle, PathPatch, Polygon
from matplotlib.path import Path

from training_maps.figures.map.labels import Box
from training_maps.figures.map.layout import Edge, Orientation
from training_maps.figures.map.plan import (
    _DELAY_WORD,
    _EDGE_POINTS,
    _FEATURE_POINTS,
    MapDrawing,
    MapLike,
    edge_weight,
    edge_width,
    map_data,
    plan_map,
)
from training_maps.figures.map.table import (
    FEWEST_ROWS,
    MOST_ROWS,
    TABLE_WIDTH,
    draw_table,
    table_height,
)
from training_maps.figures.notebook_figure import NotebookFigure
from training_maps.figures.style import (
    ACCENT,
    COLUMN,
    INK,
    PAGE,
    TALLEST,
    Width,
    state_colour,
    styled,
    text_colour_on,
)

_LINE = "#8793a3"
# How much of its colour a part has that fewer than half of the halves of the runs have.
_FAINT = 0.3


@styled
def draw_training_map(
    tmap: MapLike,
    ax: Axes | None = None,
    *,
    delay_states: Sequence[int] = (),
    faint: Collection[int | Edge] = (),
    first_visits: Mapping[int, float] | None = None,
    time: str = "step",
    width: Width = "page",
    orientation: Orientation | None = None,
    table: bool | None = None,
) -> Figure:
    """Draw a training map (compare Hu et al. 2023, Figure 2).

    States lie along training time, the most common route on a straight line. A state's size is its
    share of checkpoints, a line's width the number of runs that take it. Returns to earlier states
    are dashed. A label that would not fit between others is left out; the table has all numbers.

    Args:
        tmap: the map, or the dict of its `training_map.json`.
        ax: axes to draw on, without the table; a figure of its own by default.
        delay_states: states to mark as delays.
        faint: states, and transitions by their two states, to draw faint.
        first_visits: time of the first visit of each state, shown under its features.
        time: what `first_visits` counts, "epoch" or "step".
        width: "page" or "column", of a paper.
        orientation: "horizontal" or "vertical" (time runs down); by default what fits `width`.
        table: whether a table of the transitions' feature changes goes below; by default yes,
            except on given axes.

    Returns:
        The figure. Parts have gids: `state-2`, `transition-0-2`.
    """
    data = map_data(tmap)
    inches = PAGE if width == "page" else COLUMN
    if ax is not None:
        inches = max(_axes_size(ax)[0], COLUMN)
    drawing = plan_map(
        data, inches, orientation, frozenset(delay_states), first_visits or {}, time, faint
    )
    if ax is not None:
        _paint(ax, drawing)
        return ax.get_figure(root=True)  # type: ignore[return-value]
    return map_figure(drawing, inches, table is not False)


def map_figure(drawing: MapDrawing, inches: float, table: bool, below: float = 0.0) -> Figure:
    """A figure as wide as the paper's column or page and as high as the map and its table need.

    Args:
        drawing: the map.
        inches: width of the figure.
        table: whether there is a table of the transitions.
        below: room in inches to leave free under all this. A table that does not fit on the page
            any more has fewer rows or none, and the map is drawn smaller.
    """
    frame = drawing.frame
    map_width, map_height = frame.right - frame.left, frame.top - frame.bottom
    map_height = min(map_height * min(1.0, inches / map_width), TALLEST - below)
    transitions = drawing.data["transitions"] if table else []
    rows = _rows_that_fit(transitions, inches, TALLEST - below - map_height)
    if drawing.layout.orientation == "vertical" and map_width + TABLE_WIDTH <= inches:
        # The table goes beside a map that runs down.
        tabled, left = TABLE_WIDTH, (inches + map_width - TABLE_WIDTH) / 2
        rows = _rows_that_fit(transitions, TABLE_WIDTH, TALLEST - below)
        table_high = table_height(transitions, TABLE_WIDTH, rows)
        high = max(map_height, table_high)
        map_at, table_at = (0.0, high - map_height, left), (left, (high - table_high) / 2)
    else:
        tabled = inches
        table_high = table_height(transitions, inches, rows)
        high = map_height + table_high
        map_at, table_at = (0.0, table_high, inches), (0.0, 0.0)
    size = np.array([inches, below + high] * 2)
    figure = NotebookFigure(figsize=(inches, below + high))
    x, y, wide = map_at
    _paint(figure.add_axes(tuple([x, below + y, wide, map_height] / size)), drawing)
    if rows and transitions:
        x, y = table_at
        ax = figure.add_axes(tuple([x, below + y, tabled, table_high] / size))
        draw_table(ax, transitions, tabled, rows)
    return figure


def _rows_that_fit(transitions: Sequence[Mapping[str, Any]], width: float, height: float) -> int:
    """How many rows of the table have room; 0 if they would be too few to be worth it."""
    rows = MOST_ROWS
    while rows and table_height(transitions, width, rows) > height:
        rows -= 1
    return rows if rows >= min(FEWEST_ROWS, len(transitions)) else 0


def _axes_size(ax: Axes) -> tuple[float, float]:
    figure = ax.get_figure(root=True)
    assert figure is not None
    box = ax.get_position()
    return box.width * figure.get_figwidth(), box.height * figure.get_figheight()


def _paint(ax: Axes, drawing: MapDrawing) -> None:
    """Draw on `ax`, shrunk or not so that the whole map fits."""
    frame = drawing.frame
    width, height = _axes_size(ax)
    scale = min(width / (frame.right - frame.left), height / (frame.top - frame.bottom), 1.0)
    half = np.array([width, height]) / scale / 2
    middle = np.array([frame.left + frame.right, frame.bottom + frame.top]) / 2
    ax.set_xlim(middle[0] - half[0], middle[0] + half[0])
    ax.set_ylim(middle[1] - half[1], middle[1] + half[1])
    ax.set_axis_off()
    transitions = sorted(drawing.data["transitions"], key=lambda t: t["n_runs"])
    for transition in transitions:
        _paint_edge(ax, drawing, (transition["from"], transition["to"]), transition, scale)
    for state in drawing.data["states"]:
        _paint_state(ax, drawing, state["state"], scale)


def _paint_edge(
    ax: Axes, drawing: MapDrawing, edge: Edge, transition: Mapping[str, Any], scale: float
) -> None:
    curve = drawing.layout.curves[edge]
    body, base, tip = curve[:-1], curve[-2], curve[-1]
    width = edge_width(transition["n_runs"], drawing.n_runs)
    alpha = _FAINT if edge in drawing.faint else 1.0
    codes = [Path.MOVETO] + [Path.CURVE4] * (len(body) - 1)
    line = PathPatch(
        Path(body, codes),
        fill=False,
        edgecolor=_LINE,
        linewidth=width * scale,
        linestyle=(0, (3 / width + 1, 2 / width + 0.6)) if edge[1] < edge[0] else "-",
        capstyle="butt",
        alpha=alpha,
        zorder=1,
        gid=f"transition-{edge[0]}-{edge[1]}",
    )
    ax.add_patch(line)
    across = (tip - base)[::-1] * [-1, 1] / np.linalg.norm(tip - base)
    half = 0.03 + 0.75 * width / 72
    corners = [tip, base + across * half, base - across * half]
    ax.add_patch(
        Polygon(corners, closed=True, facecolor=_LINE, edgecolor="none", alpha=alpha, zorder=2)
    )
    if edge in drawing.edge_boxes:
        box = drawing.edge_boxes[edge]
        ax.text(
            (box.left + box.right) / 2,
            (box.bottom + box.top) / 2,
            drawing.edge_labels[edge],
            fontsize=_EDGE_POINTS * scale,
            fontweight=edge_weight(transition),
            linespacing=1.05,
            ha="center",
            va="center",
            zorder=3,
            gid=f"transition-label-{edge[0]}-{edge[1]}",
            bbox={"boxstyle": "square,pad=0.08", "facecolor": "white", "edgecolor": "none"},
        )


def _paint_state(ax: Axes, drawing: MapDrawing, state: int, scale: float) -> None:
    centre, radius = drawing.layout.positions[state], drawing.layout.radii[state]
    colour = state_colour(state)
    faint = state in drawing.faint
    if faint:  # on white, so that no line behind shows through
        red, green, blue = (_FAINT * part + (1 - _FAINT) for part in to_rgb(colour))
        colour = to_hex((red, green, blue))
    if state in drawing.delays:
        ax.add_patch(
            Circle(
                tuple(centre),
                radius + 0.035,
                facecolor="white",
                edgecolor=ACCENT,
                linewidth=1.3 * scale,
                linestyle=(0, (2, 1)),
                zorder=4,
            )
        )
        _paint_text(ax, drawing.word_boxes[state], _DELAY_WORD, scale, ACCENT, "bold", "word")
    ax.add_patch(
        Circle(
            tuple(centre),
            radius,
            facecolor=colour,
            edgecolor=_LINE if faint else INK,
            linewidth=0.6 * scale,
            zorder=5,
            gid=f"state-{state}",
        )
    )
    ax.text(
        float(centre[0]),
        float(centre[1]),
        str(state),
        fontsize=8.5 * scale,
        fontweight="bold",
        ha="center",
        va="center_baseline",
        color=text_colour_on(colour),
        zorder=6,
    )
    gid = f"state-label-{state}"
    box = drawing.label_boxes[state]
    _paint_text(ax, box, drawing.labels[state], scale, INK, "normal", gid)


def _paint_text(
    ax: Axes, box: Box, text: str, scale: float, colour: str, weight: str, gid: str
) -> None:
    """Lines of text in their box, on a light ground so that a line behind does not disturb."""
    ax.text(
        (box.left + box.right) / 2,
        (box.bottom + box.top) / 2,
        text,
        fontsize=_FEATURE_POINTS * scale,
        fontweight=weight,
        linespacing=1.1,
        ha="center",
        va="center",
        color=colour,
        zorder=3.5,
        gid=gid,
        parse_math=False,
        bbox={"boxstyle": "square,pad=0.05", "facecolor": "#ffffffd0", "edgecolor": "none"},
    )
