"""What characterises a state: the inverse covariance, and the ranking by it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.known_chains import MEANS, METRICS, VARIANCES, model_of, run_of
from training_maps.training_map.features import (
    features_by_inverse_covariance,
    inverse_diagonal,
    inverse_diagonals,
    rank_features,
)


class TestInverseCovariance:
    @given(st.integers(1, 8), st.integers(0, 1000))
    @settings(max_examples=50, deadline=None)
    def test_equals_the_inverse(self, d, seed):
        rng = np.random.default_rng(seed)
        root = rng.normal(size=(d, d + 3)) * 10.0 ** rng.uniform(-3, 3, size=(d, 1))
        covariance = root @ root.T
        diagonal, condition = inverse_diagonal(covariance)
        np.testing.assert_allclose(diagonal, np.diag(np.linalg.inv(covariance)), rtol=1e-6)
        scale = np.sqrt(np.diag(covariance))
        expected = np.linalg.cond(covariance / np.outer(scale, scale))
        assert condition == pytest.approx(expected, rel=1e-6)

    def test_is_one_over_the_residual_variance(self):
        """Entry i of the diagonal is 1 / Var(z_i given the other metrics)."""
        covariance = np.array([[2.0, 0.8, 0.1], [0.8, 1.0, -0.3], [0.1, -0.3, 0.5]])
        diagonal, _ = inverse_diagonal(covariance)
        for i in range(3):
            others = [j for j in range(3) if j != i]
            cross = covariance[i, others]
            weights = np.linalg.solve(covariance[np.ix_(others, others)], cross)
            assert diagonal[i] == pytest.approx(1 / (covariance[i, i] - cross @ weights))

    @pytest.mark.parametrize(
        "covariance",
        [
            np.ones((3, 3)),
            np.diag([1.0, 0.0, 2.0]),
            np.outer([1, 1e-8, 3], [1, 1e-8, 3]),
            np.zeros((2, 2)),
        ],
    )
    def test_singular_covariances_give_finite_positive_numbers(self, covariance):
        diagonal, condition = inverse_diagonal(covariance.astype(float))
        assert np.isfinite(diagonal).all()
        assert (diagonal > 0).all()
        assert np.isfinite(condition)

    def test_nearly_singular_is_noted(self):
        covars = np.stack([np.diag(v) for v in VARIANCES])
        covars[1, :2, :2] = [[1, 1 - 1e-13], [1 - 1e-13, 1]]
        diagonals, notes = inverse_diagonals(covars, [0, 1, 3])
        assert sorted(diagonals) == [0, 1, 3]
        assert len(notes) == 1
        assert "covariance of state 1 is nearly singular" in notes[0].text

    def test_ties_keep_the_order_of_columns(self):
        assert rank_features(["c", "a", "b"], np.array([1.0, 2.0, 1.0])) == ["a", "c", "b"]


def test_top_features_and_their_changes():
    model = model_of([run_of(0, 1, 2)])
    inverse = {k: 1 / VARIANCES[k] for k in (0, 1, 2)}
    features, changes = features_by_inverse_covariance(model, inverse, [(0, 1), (2, 0)], 2)
    for state, found in features.items():
        by_size = np.argsort(-inverse[state])[:2]
        assert [f.metric for f in found] == [METRICS[m] for m in by_size]
        assert [f.inverse_covariance for f in found] == inverse[state][by_size].tolist()
        assert [f.mean for f in found] == MEANS[state][by_size].tolist()
    # A transition has the features of the state it enters.
    for (source, target), found in changes.items():
        assert [c.metric for c in found] == [f.metric for f in features[target]]
        for change in found:
            m = METRICS.index(change.metric)
            assert change.change == MEANS[target][m] - MEANS[source][m]
    everything, _ = features_by_inverse_covariance(model, inverse, [], 9)
    assert [len(found) for found in everything.values()] == [4, 4, 4]
