"""The training map laid out: where its parts lie, before anything is drawn."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from training_maps.figures.map.labels import Box, text_size
from training_maps.figures.map.layout import (
    Edge,
    Extent,
    MapLayout,
    Orientation,
    assign_layers,
    lay_out,
    sample,
)
from training_maps.figures.map.placing import (
    Obstacles,
    clear_place,
    edge_places,
    state_place,
    word_place,
)
from training_maps.figures.symbols import metric_symbol
from training_maps.utils.wording import refits

_FEATURE_POINTS = 6.2

_EDGE_POINTS = 6.0

_MARGIN = 0.08

# Between two layers, in inches, where time runs right, and where it runs down.
_NARROWEST_PITCH = 0.5

_PITCH_DOWN = (0.56, 0.7)

_TALLEST_MAP = 6.7

_DELAY_WORD = "delay"


class HasDict(Protocol):
    """A training map, as far as pictures know it."""

    def to_dict(self) -> dict[str, Any]:
        """What is in its `training_map.json`."""


MapLike = HasDict | Mapping[str, Any]


def map_data(tmap: MapLike) -> Mapping[str, Any]:
    """The dict of a map, or the one given."""
    return tmap if isinstance(tmap, Mapping) else tmap.to_dict()


@dataclass
class MapDrawing:
    """A laid-out map and its labels, in inches, before it meets any axes."""

    data: Mapping[str, Any]
    layout: MapLayout
    n_runs: int
    delays: frozenset[int]
    labels: dict[int, str]
    faint: frozenset[int | Edge] = frozenset()
    label_boxes: dict[int, Box] = field(default_factory=dict)
    word_boxes: dict[int, Box] = field(default_factory=dict)
    edge_labels: dict[Edge, str] = field(default_factory=dict)
    edge_boxes: dict[Edge, Box] = field(default_factory=dict)
    frame: Box = field(default_factory=lambda: Box(0, 0, 0, 0))


def plan_map(
    data: Mapping[str, Any],
    inches: float,
    orientation: Orientation | None,
    delays: frozenset[int],
    first_visits: Mapping[int, float],
    time: str,
    faint: Collection[int | Edge] = (),
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
        narrowest = max(_NARROWEST_PITCH, widest + 0.06)
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
    extents = {s: _extent(radii[s], labels[s], s in delays, orientation) for s in radii}
    layout = lay_out(
        weights, paths, radii, extents, pitch, orientation, lambda n: _head(edge_width(n, n_runs))
    )
    drawing = MapDrawing(data, layout, n_runs, delays, labels, frozenset(faint))
    widths = {edge: edge_width(runs, n_runs) for edge, runs in weights.items()}
    obstacles = Obstacles.of(layout, widths)
    _label_states(drawing, obstacles)
    _label_edges(drawing, obstacles)
    drawing.frame = _frame(drawing)
    return drawing


def _depths(weights: Mapping[Edge, int], states: Mapping[int, str]) -> set[int]:
    """Layers of the map, to know how many there are before the layout is made."""

    return set(assign_layers(sorted(states), list(weights), {min(states)}).values())


def _state_label(state: Mapping[str, Any], first_visit: float | None, time: str) -> str:
    lines = [
        metric_symbol(feature["metric"])
        + (f" {format_mean(feature['mean'])}" if feature.get("mean") is not None else "")
        for feature in state["features"][:3]
    ]
    if first_visit is not None:
        lines.append(f"{time} {_short(first_visit)}")
    if state.get("noise_of") is not None:
        lines.append("noise alone")
    return "\n".join(lines)


def format_mean(mean: float) -> str:
    """A state's mean of a metric, short and with its direction: "+1.2", "−0.8", "0.0"."""
    text = f"{mean:+.1f}".replace("-", "−")
    return "0.0" if text[1:] == "0.0" else text


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


def _extent(radius: float, label: str, delay: bool, orientation: Orientation) -> Extent:
    width, height = text_size(label, _FEATURE_POINTS)
    if orientation == "vertical":
        word = text_size(_DELAY_WORD, _FEATURE_POINTS, "bold")[0] if delay else 0.0
        return Extent(radius + 0.06, radius + 0.06 + max(width, word))
    return Extent(radius + (0.17 if delay else 0.05), radius + 0.06 + height)


def _label_states(drawing: MapDrawing, obstacles: Obstacles) -> None:
    """Features near each state, below it or to its right; "delay" over it."""
    layout = drawing.layout
    for state in layout.positions:
        size = text_size(drawing.labels[state], _FEATURE_POINTS)
        taken = [
            *(box for other, box in obstacles.discs.items() if other != state),
            *drawing.label_boxes.values(),
        ]
        drawing.label_boxes[state] = state_place(layout, state, size, taken, obstacles)
    for state in sorted(drawing.delays & set(layout.positions)):
        taken = [
            *obstacles.discs.values(),
            *drawing.label_boxes.values(),
            *drawing.word_boxes.values(),
        ]
        size = text_size(_DELAY_WORD, _FEATURE_POINTS, "bold")
        first = _over(layout, state, drawing.labels[state], size)
        drawing.word_boxes[state] = word_place(layout, state, first, size, taken, obstacles)


def _over(layout: MapLayout, state: int, label: str, size: tuple[float, float]) -> np.ndarray:
    """The middle of a word over a state, or over its label where time runs down."""
    centre, radius = layout.positions[state], layout.radii[state]
    width, height = size
    if layout.orientation == "horizontal":
        return centre + np.array([0, radius + 0.055 + height / 2])
    below = text_size(label, _FEATURE_POINTS)[1]
    return centre + np.array([radius + 0.05 + width / 2, below / 2 + height / 2])


def _label_edges(drawing: MapDrawing, obstacles: Obstacles) -> None:
    """Find a place for each transition's label, the most used first."""
    layout = drawing.layout
    taken = [
        Box.around(layout.positions[s], 2 * r + 0.04, 2 * r + 0.04) for s, r in layout.radii.items()
    ]
    taken += [*drawing.label_boxes.values(), *drawing.word_boxes.values()]
    edges = {(t["from"], t["to"]): t for t in drawing.data["transitions"]}
    for edge, transition in sorted(edges.items(), key=lambda item: -item[1]["n_runs"]):
        for text in _edge_labels(transition, layout):
            width, height = text_size(text, _EDGE_POINTS, edge_weight(transition))
            size = (width + 0.04, height + 0.01)
            box = clear_place(edge_places(layout, edge, size), size, taken, obstacles, edge)
            if box is not None:
                taken.append(box)
                drawing.edge_labels[edge] = text
                drawing.edge_boxes[edge] = box
                break


def _edge_labels(transition: Mapping[str, Any], layout: MapLayout) -> list[str]:
    """What to write on an arrow, the best first: runs and probability, or the runs alone."""
    n_runs = transition["n_runs"]
    chance = per_checkpoint(transition["probability"])
    if layout.orientation == "vertical":
        return [f"{n_runs} · {chance}", str(n_runs)]
    if layout.pitch >= 1.0:
        return [f"{n_runs} {'run' if n_runs == 1 else 'runs'}\n{chance}", str(n_runs)]
    return [f"{n_runs}\n{chance}", str(n_runs)]


def edge_weight(transition: Mapping[str, Any]) -> str:
    """How heavy an arrow's label is: bold where fast and slow runs take it differently often."""
    return "bold" if transition.get("differs") else "normal"


def per_checkpoint(probability: float) -> str:
    """A transition's probability at a checkpoint, in percent: "0.7 %", "12 %"; at least 0.1 %."""
    if probability < 0.001:
        return "<0.1 %"
    return f"{100 * probability:.1f} %" if probability < 0.0995 else f"{100 * probability:.0f} %"


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


def explain_map(
    drawn: Mapping[str, Any],
    delays: Sequence[int],
    faint: Collection[int | Edge] = (),
    scheme: str | None = None,
) -> str:
    """How to read the map, in a few sentences, for a caption.

    Args:
        drawn: the map's dict.
        delays: states that are delays.
        faint: states and transitions that are rarely found again.
        scheme: how the runs were drawn that they are sought in; None for halves.
    """
    sentences = [
        "A circle is a state, larger the more checkpoints are in it; below it "
        + (
            "are the metrics that characterise it most, each with its mean there in standard "
            "deviations, and the median time of its first visit."
            if drawn["metrics"]
            else "is the median time of its first visit."
        ),
        "An arrow is a transition, wider the more runs take it; on it are the number of runs, and "
        "how likely a run in the first state takes it at each checkpoint.",
    ]
    if any(t["to"] < t["from"] for t in drawn["transitions"]):
        sentences.append("Dashed arrows return to an earlier state.")
    if delays:
        sentences.append(
            "A dashed ring marks a delay: runs through it converge later than the average run."
        )
    if any(state.get("noise_of") is not None for state in drawn["states"]):
        sentences.append(
            "“Noise alone” marks a state that differs from its neighbour in nothing else."
        )
    if faint:
        sentences.append(
            f"What is faint is found again in fewer than half of the {refits(scheme)}."
        )
    return " ".join(sentences)
