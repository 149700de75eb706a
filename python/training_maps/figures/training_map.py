"""The training map as a picture: states along training time and the ways that runs take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, PathPatch, Polygon
from matplotlib.path import Path

from training_maps.figures.map_labels import Box, place, text_size
from training_maps.figures.map_layout import Edge, Extent, MapLayout, Orientation, lay_out, sample
from training_maps.figures.map_table import (
    FEWEST_ROWS,
    MOST_ROWS,
    TABLE_WIDTH,
    draw_table,
    table_height,
)
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
from training_maps.figures.symbols import metric_symbol

if TYPE_CHECKING:
    from training_maps.training_map import TrainingMap

_LINE = "#8793a3"
_FEATURE_POINTS = 6.2
_EDGE_POINTS = 6.0
_MARGIN = 0.08
# Between two layers, in inches, where time runs right, and where it runs down.
_NARROWEST_PITCH = 0.5
_PITCH_DOWN = (0.56, 0.7)
_TALLEST_MAP = 6.7
_DETOUR_WORD = "detour"


@dataclass
class MapDrawing:
    """A laid-out map and its labels, in inches, before it meets any axes."""

    data: Mapping[str, Any]
    layout: MapLayout
    n_runs: int
    detours: frozenset[int]
    labels: dict[int, str]
    label_boxes: dict[int, Box] = field(default_factory=dict)
    word_boxes: dict[int, Box] = field(default_factory=dict)
    edge_labels: dict[Edge, str] = field(default_factory=dict)
    edge_boxes: dict[Edge, Box] = field(default_factory=dict)
    frame: Box = field(default_factory=lambda: Box(0, 0, 0, 0))


@styled
def draw_training_map(
    tmap: TrainingMap | Mapping[str, Any],
    ax: Axes | None = None,
    *,
    detour_states: Sequence[int] = (),
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
        detour_states: states to mark as detours.
        first_visits: time of the first visit of each state, shown under its features.
        time: what `first_visits` counts, "epoch" or "step".
        width: "page" or "column", of a paper.
        orientation: "horizontal" or "vertical" (time runs down); by default what fits `width`.
        table: whether a table of the transitions' feature changes goes below; by default yes,
            except on given axes.

    Returns:
        The figure. Parts have gids: `state-2`, `transition-0-2`.
    """
    data = tmap if isinstance(tmap, Mapping) else tmap.to_dict()
    inches = PAGE if width == "page" else COLUMN
    if ax is not None:
        inches = max(_axes_size(ax)[0], COLUMN)
    drawing = plan_map(
        data, inches, orientation, frozenset(detour_states), first_visits or {}, time
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
    figure = Figure(figsize=(inches, below + high))
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


def plan_map(
    data: Mapping[str, Any],
    inches: float,
    orientation: Orientation | None,
    detours: frozenset[int],
    first_visits: Mapping[int, float],
    time: str,
) -> MapDrawing:
    """Lay out states and transitions, then the labels around them."""
    weights = {(t["from"], t["to"]): int(t["n_runs"]) for t in data["transitions"]}
    paths = [path["states"] for path in data["paths"]]
    n_runs = sum(len(path["seeds"]) for path in data["paths"])
    labels = {
        s["state"]: _state_label(s, first_visits.get(s["state"]), time) for s in data["states"]
    }
    n_layers = max(len(_depths(weights, labels)), 1)
    room = (inches - 2 * (_MARGIN + 0.26)) / max(n_layers - 1, 1)
    if orientation is None:
        widest = max(text_size(label, _FEATURE_POINTS)[0] for label in labels.values())
        narrowest = max(_NARROWEST_PITCH, widest + 0.02)
        orientation = "horizontal" if n_layers == 1 or room >= narrowest else "vertical"
    if orientation == "horizontal":
        pitch = min(max(room, _NARROWEST_PITCH), 1.5)
    else:
        pitch = float(np.clip(_TALLEST_MAP / max(n_layers - 1, 1), *_PITCH_DOWN))
    largest = min(0.26, 0.26 * pitch)
    top_share = max(s["share_of_checkpoints"] for s in data["states"])
    radii = {
        s["state"]: max(0.105, largest * (s["share_of_checkpoints"] / top_share) ** 0.5)
        for s in data["states"]
    }
    extents = {s: _extent(radii[s], labels[s], s in detours, orientation) for s in radii}
    layout = lay_out(
        weights, paths, radii, extents, pitch, orientation, lambda n: _head(edge_width(n, n_runs))
    )
    drawing = MapDrawing(data, layout, n_runs, detours, labels)
    _label_states(drawing)
    _label_edges(drawing)
    drawing.frame = _frame(drawing)
    return drawing


def _depths(weights: Mapping[Edge, int], states: Mapping[int, str]) -> set[int]:
    """Layers of the map, to know how many there are before the layout is made."""
    from training_maps.figures.map_layout import assign_layers

    return set(assign_layers(sorted(states), list(weights), {min(states)}).values())


def _state_label(state: Mapping[str, Any], first_visit: float | None, time: str) -> str:
    lines = [metric_symbol(feature["metric"]) for feature in state["features"][:3]]
    if first_visit is not None:
        lines.append(f"{time} {_short(first_visit)}")
    return "\n".join(lines)


def _short(number: float) -> str:
    """A number in few characters: 85, 8,470, 123.5k, 2M."""
    for size, unit in ((1e6, "M"), (1e4, "k")):
        if number >= size:
            return f"{number / (1e6 if unit == 'M' else 1e3):.4g}{unit}"
    return f"{number:,.0f}"


def edge_width(n_runs: int, of: int) -> float:
    """Width of a line in points."""
    return 0.7 + 3.3 * n_runs / max(of, 1)


def _head(line_width: float) -> float:
    """Length of an arrow's head in inches."""
    return 0.055 + 1.1 * line_width / 72


def _extent(radius: float, label: str, detour: bool, orientation: Orientation) -> Extent:
    width, height = text_size(label, _FEATURE_POINTS)
    if orientation == "vertical":
        word = text_size(_DETOUR_WORD, _FEATURE_POINTS, "bold")[0] if detour else 0.0
        return Extent(radius + 0.06, radius + 0.06 + max(width, word))
    return Extent(radius + (0.17 if detour else 0.05), radius + 0.06 + height)


def _label_states(drawing: MapDrawing) -> None:
    """Features below each state, or to its right where time runs down; "detour" over it."""
    for state, centre in drawing.layout.positions.items():
        radius = drawing.layout.radii[state]
        width, height = text_size(drawing.labels[state], _FEATURE_POINTS)
        word_width, word_height = text_size(_DETOUR_WORD, _FEATURE_POINTS, "bold")
        if drawing.layout.orientation == "horizontal":
            at = centre - np.array([0, radius + 0.045 + height / 2])
            word_at = centre + np.array([0, radius + 0.055 + word_height / 2])
        else:
            at = centre + np.array([radius + 0.05 + width / 2, 0])
            word_at = centre + np.array(
                [radius + 0.05 + word_width / 2, height / 2 + word_height / 2]
            )
        drawing.label_boxes[state] = Box.around(at, width, height)
        if state in drawing.detours:
            drawing.word_boxes[state] = Box.around(word_at, word_width, word_height)


def _label_edges(drawing: MapDrawing) -> None:
    """Find a place for each transition's label, the most used first."""
    layout = drawing.layout
    taken = [
        Box.around(layout.positions[s], 2 * r + 0.04, 2 * r + 0.04) for s, r in layout.radii.items()
    ]
    taken += [*drawing.label_boxes.values(), *drawing.word_boxes.values()]
    points = {edge: sample(curve[:-1]) for edge, curve in layout.curves.items()}
    edges = {(t["from"], t["to"]): t for t in drawing.data["transitions"]}
    for edge, transition in sorted(edges.items(), key=lambda item: -item[1]["n_runs"]):
        others = [line for other, line in points.items() if other != edge]
        for text in _edge_labels(transition, layout):
            width, height = text_size(text, _EDGE_POINTS)
            size = (width + 0.04, height + 0.01)
            box = place(_candidates(layout, edge, size), size, taken, others)
            if box is not None:
                taken.append(box)
                drawing.edge_labels[edge] = text
                drawing.edge_boxes[edge] = box
                break


def _edge_labels(transition: Mapping[str, Any], layout: MapLayout) -> list[str]:
    """What to write on an arrow, the best first: runs and probability, or the runs alone."""
    n_runs = transition["n_runs"]
    probability = format_probability(transition["probability"])
    if layout.orientation == "vertical":
        return [f"{n_runs} · {probability}", str(n_runs)]
    if layout.pitch >= 1.0:
        return [f"{n_runs} {'run' if n_runs == 1 else 'runs'}\np {probability}", str(n_runs)]
    return [f"{n_runs}\n{probability}", str(n_runs)]


def format_probability(probability: float) -> str:
    """Two significant digits, without the zero before the point: .043; at least .001."""
    if probability < 0.001:
        return "<.001"
    text = f"{probability:.3f}" if probability < 0.1 else f"{probability:.2f}"
    return text.removeprefix("0")


def _candidates(layout: MapLayout, edge: Edge, size: tuple[float, float]) -> list[np.ndarray]:
    """Places for an edge's label: on the line, the middle of its straight part first, or beside."""
    line = sample(layout.curves[edge][:-1], 48)
    lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    shares = [0.5, 0.44, 0.56, 0.38, 0.62, 0.32, 0.68, 0.26, 0.74, 0.2, 0.8]
    at = np.array(shares) * lengths[-1]
    places = np.column_stack([np.interp(at, lengths, line[:, i]) for i in range(2)])
    if edge in layout.flats:
        start, end = layout.flats[edge]
        middle = [start + (end - start) * share for share in (0.5, 0.3, 0.7, 0.1, 0.9)]
        return [*middle, *places]
    beside = (np.array(size) / 2 + 0.04) * (
        [0, 1] if layout.orientation == "horizontal" else [1, 0]
    )
    return [*places, *(places[:5] + beside), *(places[:5] - beside)]


def _frame(drawing: MapDrawing) -> Box:
    """The box around everything drawn, with a margin."""
    layout = drawing.layout
    boxes = [
        *(Box.around(layout.positions[s], 2.3 * r, 2.3 * r) for s, r in layout.radii.items()),
        *drawing.label_boxes.values(),
        *drawing.word_boxes.values(),
        *drawing.edge_boxes.values(),
    ]
    corners = np.vstack(
        [[[b.left, b.bottom], [b.right, b.top]] for b in boxes]
        + [sample(curve[:-1]) for curve in layout.curves.values()]
    )
    low, high = corners.min(axis=0) - _MARGIN, corners.max(axis=0) + _MARGIN
    return Box(low[0], low[1], high[0], high[1])


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
    codes = [Path.MOVETO] + [Path.CURVE4] * (len(body) - 1)
    line = PathPatch(
        Path(body, codes),
        fill=False,
        edgecolor=_LINE,
        linewidth=width * scale,
        linestyle=(0, (3 / width + 1, 2 / width + 0.6)) if edge[1] < edge[0] else "-",
        capstyle="butt",
        zorder=1,
        gid=f"transition-{edge[0]}-{edge[1]}",
    )
    ax.add_patch(line)
    across = (tip - base)[::-1] * [-1, 1] / np.linalg.norm(tip - base)
    half = 0.03 + 0.75 * width / 72
    corners = [tip, base + across * half, base - across * half]
    ax.add_patch(Polygon(corners, closed=True, facecolor=_LINE, edgecolor="none", zorder=2))
    if edge in drawing.edge_boxes:
        box = drawing.edge_boxes[edge]
        ax.text(
            (box.left + box.right) / 2,
            (box.bottom + box.top) / 2,
            drawing.edge_labels[edge],
            fontsize=_EDGE_POINTS * scale,
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
    if state in drawing.detours:
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
        _paint_text(ax, drawing.word_boxes[state], _DETOUR_WORD, scale, ACCENT, "bold", "word")
    ax.add_patch(
        Circle(
            tuple(centre),
            radius,
            facecolor=colour,
            edgecolor=INK,
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


def explain_map(drawn: Mapping[str, Any], detours: Sequence[int]) -> str:
    """How to read the map, in a few sentences, for a caption."""
    sentences = [
        "A circle is a state, larger the more checkpoints are in it; below it "
        + (
            "are the metrics that characterise it most and the median time of its first visit."
            if drawn["metrics"]
            else "is the median time of its first visit."
        ),
        "An arrow is a transition, wider the more runs take it; on it are the number of runs and "
        "the probability of the transition from one checkpoint to the next.",
    ]
    if any(t["to"] < t["from"] for t in drawn["transitions"]):
        sentences.append("Dashed arrows return to an earlier state.")
    if detours:
        sentences.append("A dashed ring marks a detour.")
    return " ".join(sentences)
