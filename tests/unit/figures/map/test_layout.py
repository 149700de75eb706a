"""Where states and lines lie: layers by time, lanes by route."""

from __future__ import annotations

from collections import Counter
from itertools import groupby, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_maps.figures.map.layout import (
    Extent,
    assign_lanes,
    assign_layers,
    lay_out,
    sample,
    trunk_of,
)

# 0-1-3-4 in most runs; 0-2-3-4 in some; one goes from 0 past all to 4, and one back from 4 to 0.
WEIGHTS = {(0, 1): 5, (0, 2): 3, (1, 3): 5, (2, 3): 3, (3, 4): 8, (0, 4): 1, (4, 0): 1}
PATHS = [[0, 1, 3, 4], [0, 2, 3, 4], [0, 4], [0, 4, 0]]


def layout_of(orientation: str, pitch: float = 1.0):
    radii = dict.fromkeys(range(5), 0.2)
    extents = {state: Extent(0.3, 0.4) for state in radii}
    return lay_out(WEIGHTS, PATHS, radii, extents, pitch, orientation, lambda n: 0.01 * n)


def test_layers_and_lanes_of_a_fork() -> None:
    weights = {(0, 1): 5, (0, 2): 3, (1, 3): 5, (2, 3): 3, (3, 0): 1}
    layers = assign_layers([0, 1, 2, 3], list(weights), {0})
    assert layers == {0: 0, 1: 1, 2: 1, 3: 2}
    lanes = assign_lanes(layers, weights, [0, 1, 3])
    assert [lanes[s] for s in (0, 1, 3)] == [0, 0, 0]
    assert lanes[2] != 0
    assert lanes[3, 0] != 0
    assert lanes[3, 0] != lanes[2]


def test_a_layer_is_the_longest_way_without_returns() -> None:
    edges = [(0, 1), (1, 2), (0, 2), (2, 3), (0, 3), (3, 1)]
    assert assign_layers([0, 1, 2, 3], edges, {0}) == {0: 0, 1: 1, 2: 2, 3: 3}
    # A state that runs start in has nothing before it, and one that only returns reach no layer
    # of its own.
    assert assign_layers([0, 1], [], {0, 1}) == {0: 0, 1: 0}
    assert assign_layers([0, 1, 2], [(0, 2), (2, 1)], {0})[1] == 0


@pytest.mark.parametrize(
    ("path", "trunk"),
    [([0, 1, 2], [0, 1, 2]), ([0, 2, 1, 3, 0], [0, 2, 3]), ([4], [4]), ([1, 0], [1])],
)
def test_the_trunk_is_the_path_without_its_returns(path: list[int], trunk: list[int]) -> None:
    assert trunk_of(path, {state: state for state in path}) == trunk


def test_a_state_that_follows_a_return_is_beside_the_trunk() -> None:
    # 3 comes last, but right after 0, as 1 does.
    radii = dict.fromkeys(range(4), 0.2)
    extents = {state: Extent(0.3, 0.4) for state in radii}
    weights = {(0, 1): 1, (1, 2): 1, (2, 0): 1, (0, 3): 1}
    found = lay_out(weights, [[0, 1, 2, 0, 3]], radii, extents, 1.0, "horizontal", lambda n: 0.1)
    assert found.layers == {0: 0, 1: 1, 2: 2, 3: 1}
    assert [found.lanes[state] for state in range(3)] == [0, 0, 0]
    assert found.lanes[3] != 0


@given(st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=12), min_size=1, max_size=4))
def test_no_two_states_share_a_place_whatever_ways_runs_take(paths: list[list[int]]) -> None:
    paths = [[state for state, _ in groupby(path)] for path in paths]
    weights = Counter(edge for path in paths for edge in pairwise(path))
    radii = dict.fromkeys((state for path in paths for state in path), 0.2)
    extents = {state: Extent(0.3, 0.4) for state in radii}
    found = lay_out(weights, paths, radii, extents, 1.0, "horizontal", lambda n: 0.01)
    assert len({(found.layers[state], found.lanes[state]) for state in radii}) == len(radii)
    assert found.curves.keys() == weights.keys()


def test_time_runs_right_or_down_and_the_trunk_is_straight() -> None:
    layout, down = layout_of("horizontal"), layout_of("vertical")
    at = np.array([layout.positions[s] for s in range(5)])
    np.testing.assert_allclose(at[:, 0], [0, 1, 1, 2, 3])
    np.testing.assert_allclose(at[[0, 1, 3, 4], 1], 0)
    assert abs(at[2, 1]) >= 0.3 + 0.4  # the room that both states asked for
    for state in range(5):
        x, y = layout.positions[state]
        np.testing.assert_allclose(down.positions[state], [-y, -x], atol=1e-12)


def test_lines_run_from_circle_to_circle_and_touch_no_other() -> None:
    layout = layout_of("horizontal")
    assert layout.curves.keys() == WEIGHTS.keys()
    for (j, k), curve in layout.curves.items():
        body, tip = curve[:-1], curve[-1]
        assert len(body) % 3 == 1
        for point, state in ((body[0], j), (tip, k)):
            distance = np.linalg.norm(point - layout.positions[state])
            assert distance == pytest.approx(0.2, abs=0.02)
        # The arrow's head is as long as was asked for.
        assert np.linalg.norm(tip - body[-1]) == pytest.approx(0.01 * WEIGHTS[j, k])
        for other in set(range(5)) - {j, k}:
            away = np.linalg.norm(sample(body) - layout.positions[other], axis=1)
            assert away.min() > 0.2, f"{j}-{k} runs through {other}"


def test_lines_that_leave_one_state_leave_it_apart() -> None:
    """Here all but one would leave it almost straight up or down."""
    weights = {(0, k): 1 for k in range(1, 6)} | {(k, 6): 1 for k in range(1, 6)}
    radii = dict.fromkeys(range(7), 0.1)
    extents = {state: Extent(0.5, 0.5) for state in radii}
    layout = lay_out(weights, [[0, 1, 6]], radii, extents, 0.3, "horizontal", lambda n: 0.01)
    starts = [layout.curves[0, k][0] - layout.positions[0] for k in range(1, 6)]
    angles = np.sort(np.degrees([np.arctan2(y, x) for x, y in starts]))
    assert np.diff(angles).min() > 16.9
    assert np.abs(angles).max() < 68.1


def test_what_passes_over_states_goes_above_and_returns_below() -> None:
    layout = layout_of("horizontal")
    assert layout.lanes[0, 4] > 0 > layout.lanes[4, 0]


def test_a_sample_is_the_bezier_curve() -> None:
    corners = np.array([[0.0, 0], [1, 2], [3, 2], [4, 0], [5, -2], [6, -2], [7, 0]])
    points = sample(corners, 3)
    assert points.shape == (6, 2)
    # De Casteljau at the middle of each piece: the mean, weighted 1, 3, 3, 1.
    for middle, piece in ((points[1], corners[:4]), (points[4], corners[3:])):
        np.testing.assert_allclose(middle, np.array([1, 3, 3, 1]) / 8 @ piece)
    np.testing.assert_allclose(points[[0, 2, 3, 5]], corners[[0, 3, 3, 6]])
