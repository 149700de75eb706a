"""Labels of a map hide nothing: by geometry, at any number of states up to twelve."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.synthetic_results import write_results
from training_maps.figures.map.labels import Box
from training_maps.figures.map.layout import Edge, Orientation, sample
from training_maps.figures.map.placing import Obstacles, clear_place
from training_maps.figures.map.plan import MapDrawing, edge_width, plan_map
from training_maps.figures.style import COLUMN, PAGE
from training_maps.results import ExperimentResults

N_RUNS = 30


def hidden(box: Box, drawing: MapDrawing, own: Edge | None) -> list[str]:
    """What a label in that box lies on: dense points of lines as wide as drawn, heads, circles."""
    found = []
    layout = drawing.layout
    widths = {(t["from"], t["to"]): t["n_runs"] for t in drawing.data["transitions"]}
    for edge, curve in layout.curves.items():
        half = edge_width(widths[edge], drawing.n_runs) / 72 / 2
        line = sample(curve[:-1], 150)
        grown = Box(box.left - half, box.bottom - half, box.right + half, box.top + half)
        if edge != own and grown.holds(line) > 2:  # a corner may graze a line's edge
            found.append(f"line {edge}")
        if box.holds(np.linspace(curve[-2], curve[-1], 20)):
            found.append(f"head {edge}")
    for state, centre in layout.positions.items():
        away = np.maximum(
            np.maximum([box.left, box.bottom] - centre, centre - [box.right, box.top]), 0
        )
        if np.hypot(*away) < layout.radii[state]:
            found.append(f"circle {state}")
    return found


@pytest.mark.parametrize("inches", [PAGE, COLUMN], ids=["page", "column"])
@pytest.mark.parametrize("n_states", range(2, 13))
@pytest.mark.parametrize("forking", [False, True])
def test_no_label_hides_a_line_a_head_or_a_state(
    tmp_path: Path, n_states: int, forking: bool, inches: float
) -> None:
    write_results(tmp_path, N_RUNS, n_states, forking=forking, back_edges=forking, n_checkpoints=30)
    results = ExperimentResults.read(tmp_path)
    drawing = plan_map(
        results.training_map,
        inches,
        None,
        frozenset(results.states[1::2]),
        results.first_visits("epoch"),
        "epoch",
    )
    labels: list[tuple[str, Box, Edge | None]] = [
        *((f"features of {s}", box, None) for s, box in drawing.label_boxes.items()),
        *((f"delay of {s}", box, None) for s, box in drawing.word_boxes.items()),
        *((f"label of {e}", box, e) for e, box in drawing.edge_boxes.items()),
    ]
    told = {name: hidden(box, drawing, own) for name, box, own in labels}
    assert {name: what for name, what in told.items() if what} == {}
    assert len(drawing.label_boxes) == n_states
    # A label that fits nowhere is left out; of a map like this, few are.
    assert len(drawing.edge_boxes) >= 0.7 * len(drawing.layout.curves)


def test_a_label_stands_at_the_first_place_that_hides_nothing() -> None:
    line = np.column_stack([np.linspace(0, 1, 50), np.zeros(50)])
    obstacles = Obstacles({(0, 1): line}, {(0, 1): line[-3:]}, {(0, 1): 0.02}, {})
    size = (0.1, 0.1)
    places = [np.array([0.5, 0.0]), np.array([0.5, 0.06]), np.array([0.5, 0.08])]
    assert clear_place(places, size, [], obstacles) == Box.around(places[2], *size)
    assert clear_place(places, size, [], obstacles, own=(0, 1)) == Box.around(places[0], *size)
    at_head = [np.array([0.99, 0.0]), *places]
    assert clear_place(at_head, size, [], obstacles, own=(0, 1)) == Box.around(places[0], *size)
    taken = [Box.around(places[2], *size)]
    assert clear_place(places, size, taken, obstacles) is None


@pytest.mark.parametrize("orientation", ["horizontal", "vertical"])
def test_labels_stand_beside_their_arrows_and_returns_on_the_other_side(
    tmp_path: Path, orientation: Orientation
) -> None:
    write_results(tmp_path, N_RUNS, 3, forking=False, back_edges=True, n_checkpoints=30)
    results = ExperimentResults.read(tmp_path)
    drawing = plan_map(results.training_map, PAGE, orientation, frozenset(), {}, "epoch")
    across = np.array([0.0, 1.0] if orientation == "horizontal" else [-1.0, 0.0])
    told = set()
    for edge, box in drawing.edge_boxes.items():
        line = sample(drawing.layout.curves[edge][:-1], 150)
        if box.holds(line):  # where there is no room on its side
            assert orientation == "vertical"
            continue
        centre = np.array([box.left + box.right, box.bottom + box.top]) / 2
        nearest = line[np.argmin(np.linalg.norm(line - centre, axis=1))]
        forward = edge[1] > edge[0]
        assert ((centre - nearest) @ across > 0) == forward, edge
        told.add(forward)
    assert told == {True, False}
