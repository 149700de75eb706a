"""Labels of the map: none overlaps another, none leaves the page."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tests.support.figure_checks import bounds
from tests.support.synthetic_results import write_results
from training_maps.figures import (
    draw_training_map,
)
from training_maps.figures.map.labels import Box, place, text_size
from training_maps.results import ExperimentResults


def overlap(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((a[:2] < b[2:] - 0.5).all() and (b[:2] < a[2:] - 0.5).all())


MAPS = [(k, 5 if k % 2 else 100, True, "page") for k in range(2, 13)]


MAPS += [(k, 40, forking, "column") for k in (2, 6, 12) for forking in (False, True)]


MAPS += [(k, 40, False, "page") for k in (6, 12)]


@pytest.mark.parametrize(("n_states", "n_runs", "forking", "width"), MAPS)
def test_map_labels_do_not_overlap(
    tmp_path: Path, n_states: int, n_runs: int, forking: bool, width: str
) -> None:
    write_results(tmp_path, n_runs, n_states, forking=forking, back_edges=forking, n_checkpoints=40)
    results = ExperimentResults.read(tmp_path)
    figure = draw_training_map(
        results.training_map,
        delay_states=results.states[1::2],
        first_visits=results.first_visits("epoch"),
        time="epoch",
        width=width,  # type: ignore[arg-type]
    )
    boxes = bounds(figure, "state-") | bounds(figure, "transition-label-") | bounds(figure, "word")
    assert sum(name.startswith("state-label") for name in boxes) == n_states
    for (name, a), (other, b) in combinations(boxes.items(), 2):
        assert not overlap(a, b), f"{name} and {other} overlap"
    page = figure.bbox.extents
    for name, box in boxes.items():
        assert (box[:2] >= page[:2] - 1).all(), f"{name} is off the page"
        assert (box[2:] <= page[2:] + 1).all(), f"{name} is off the page"


def test_boxes_touch_where_they_come_closer_than_the_margin() -> None:
    box = Box.around((1.0, 2.0), 2.0, 4.0)
    assert box == Box(0.0, 0.0, 2.0, 4.0)
    beside, below = Box(2.5, 0, 3, 1), Box(0, -2, 1, -0.2)
    assert not box.touches(beside)
    assert box.touches(beside, margin=0.6)
    assert beside.touches(box, margin=0.6)
    assert not box.touches(below, margin=0.1)
    assert box.touches(below, margin=0.3)
    assert box.touches(box)


def test_points_on_the_edge_are_not_inside() -> None:
    box = Box(0, 0, 1, 1)
    assert box.holds(np.array([[0.5, 0.5], [0.9, 0.1], [1.0, 0.5], [0.5, 2.0]])) == 2


def test_texts_are_as_large_as_they_are_drawn() -> None:
    width, height = text_size("state 0", 10)
    assert text_size("state 0\nx", 10) == (width, pytest.approx(2 * height))
    assert text_size("state 0", 20) == pytest.approx((2 * width, 2 * height))
    assert text_size("state 0", 10, "bold")[0] > width
    figure = Figure(dpi=100)
    drawn = figure.text(0.1, 0.1, "state 0", fontsize=10, family="DejaVu Sans")
    extent = drawn.get_window_extent(FigureCanvasAgg(figure).get_renderer())
    assert width == pytest.approx(extent.width / 100, rel=0.05)
    assert text_size(r"$\frac{", 10)[0] > 0  # no formula


def test_a_label_takes_the_first_free_place_that_hides_no_line() -> None:
    places = [np.array([float(x), 0.0]) for x in range(4)]
    size = (0.5, 0.5)
    assert place(places, size, [], []) == Box.around((0, 0), *size)
    taken = [Box.around((0, 0), 0.1, 0.1)]
    assert place(places, size, taken, []) == Box.around((1, 0), *size)
    line = np.full((5, 2), [1.0, 0.0])
    assert place(places, size, taken, [line]) == Box.around((2, 0), *size)
    # Hiding all of a line at every place, it takes the first.
    lines = [np.full((5, 2), [float(x), 0.0]) for x in range(4)]
    assert place(places, size, [], lines) == Box.around((0, 0), *size)
    assert place(places, size, [Box(-9, -9, 9, 9)], []) is None
    assert place([], size, [], []) is None
