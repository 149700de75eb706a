"""Optimal transport against linear programs, and the axioms of a metric."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance

from tests.support.transport_twin import euclidean, lp_cost
from training_maps.stats.optimal_transport import line_cost, mean_apart, transport_cost


def test_flow_that_must_be_undone():
    """Moving greedily to the nearest deficit is not optimal here: plans have to be revised."""
    distances = np.abs(np.subtract.outer([0.0, 1.0, 2.9, 1.9], [0.0, 1.0, 2.9, 1.9]))
    p, q = np.array([0.5, 0.5, 0.0, 0.0]), np.array([0.0, 0.0, 0.5, 0.5])
    assert transport_cost((p - q)[None], distances)[0] == pytest.approx(lp_cost(p, q, distances))
    rng = np.random.default_rng(5)
    points = rng.integers(0, 3, size=(300, 8, 2)).astype(float)  # many ties and equal points
    for scattered in points:
        p, q = rng.dirichlet(np.ones(8), size=2)
        distances = euclidean(scattered)
        cost = transport_cost((p - q)[None], distances)[0]
        assert cost == pytest.approx(lp_cost(p, q, distances), abs=1e-10)


shares_strategy = arrays(float, (3, 5), elements=st.integers(0, 9).map(float)).map(
    lambda counts: (
        (counts + (counts.sum(axis=1, keepdims=True) == 0))
        / (counts + (counts.sum(axis=1, keepdims=True) == 0)).sum(axis=1, keepdims=True)
    )
)


@given(shares_strategy, arrays(float, (5, 3), elements=st.floats(-5, 5)))
@settings(max_examples=100, deadline=None)
def test_metric_axioms(shares, points):
    a, b, c = shares
    distances = euclidean(points)
    ab, ba, bc, ac, aa = transport_cost(np.array([a - b, b - a, b - c, a - c, a - a]), distances)
    assert ab == pytest.approx(ba, abs=1e-9)
    assert ac <= ab + bc + 1e-9
    assert aa == 0
    assert ab >= 0
    # Between the distance of the mean positions and total variation times the largest distance.
    assert ab >= np.linalg.norm(a @ points - b @ points) - 1e-9
    assert ab <= np.abs(a - b).sum() / 2 * distances.max() + 1e-9


def test_rows_are_independent_of_each_other():
    rng = np.random.default_rng(1)
    p, q = rng.dirichlet(np.ones(6), size=(2, 200))
    distances = euclidean(rng.normal(size=(6, 3)))
    together = transport_cost(p - q, distances)
    alone = [transport_cost((p - q)[[i]], distances)[0] for i in range(200)]
    np.testing.assert_allclose(together, alone, rtol=1e-12)


def test_on_a_line_it_is_the_distance_between_distribution_functions():
    draw = np.random.default_rng(7)
    places = np.sort(draw.normal(size=6))
    p, q = draw.dirichlet(np.ones(6), size=(2, 50))
    costs = transport_cost(p - q, np.abs(places[:, None] - places))
    between = np.abs(np.cumsum(p - q, axis=1))[:, :-1] @ np.diff(places)
    np.testing.assert_allclose(costs, between, rtol=1e-10)


def test_nothing_to_move_costs_nothing():
    assert transport_cost(np.zeros((0, 3)), np.ones((3, 3))).shape == (0,)
    assert transport_cost(np.zeros((2, 3)), 1 - np.eye(3)).tolist() == [0, 0]
    assert transport_cost(np.zeros((2, 1)), np.zeros((1, 1))).tolist() == [0, 0]
    # Points in one place: whatever moves between them costs nothing.
    assert transport_cost(np.array([[1.0, -1.0]]), np.zeros((2, 2))).tolist() == [0]


def test_all_rows_are_solved_however_many_at_once(monkeypatch):
    draw = np.random.default_rng(3)
    p, q = draw.dirichlet(np.ones(4), size=(2, 25))
    distances = euclidean(draw.normal(size=(4, 2)))
    whole = transport_cost(p - q, distances)
    monkeypatch.setattr("training_maps.stats.optimal_transport._PAIRS_AT_ONCE", 7)
    np.testing.assert_allclose(transport_cost(p - q, distances), whole, rtol=1e-12)


def test_on_a_line_it_is_scipys():
    draw = np.random.default_rng(1)
    p, q = draw.dirichlet(np.ones(4), size=(2, 20))
    positions = np.array([0, 1, 3, 7])
    expected = [wasserstein_distance(positions, positions, a, b) for a, b in zip(p, q, strict=True)]
    np.testing.assert_allclose(line_cost(p - q, positions), expected, atol=1e-12)


@given(arrays(float, (7, 3), elements=st.floats(-5, 5)))
@settings(max_examples=100, deadline=None)
def test_means_without_pairs_are_those_of_the_pairs(values):
    expected = cdist(values, values, "cityblock").sum(axis=1) / 6
    np.testing.assert_allclose(mean_apart(values), expected, atol=1e-12)


def test_equal_rows_are_nothing_apart_and_a_lone_one_has_no_other():
    assert (mean_apart(np.full((6, 2), 0.1)) == 0).all()
    assert np.isnan(mean_apart(np.ones((1, 2)))).all()
    assert mean_apart(np.ones((0, 2))).shape == (0,)
