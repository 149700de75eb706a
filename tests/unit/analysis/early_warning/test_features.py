"""States of the first part of a run, by nothing that comes after it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from training_maps.analysis.early_warning.features import state_features
from training_maps.hmm.gaussian import GaussianHMM


@pytest.fixture
def hmm():
    return GaussianHMM.from_parameters(
        startprob=np.array([0.6, 0.4, 0.0]),
        transmat=np.array([[0.7, 0.2, 0.1], [0.0, 0.9, 0.1], [0.3, 0.0, 0.7]]),
        means=np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]),
        covars=np.array([np.eye(2), 0.5 * np.eye(2), np.eye(2)]),
    )


class TestFilteredStates:
    def test_against_the_sum_over_all_paths(self, hmm):
        x = np.random.default_rng(0).normal(size=(5, 2))
        density = [
            [
                stats.multivariate_normal(m, c).pdf(row)
                for m, c in zip(hmm.means_, hmm.covars_, strict=True)
            ]
            for row in x
        ]
        found = np.exp(hmm.log_filtered(x))
        for t in range(5):
            joint = np.zeros(3)
            for path in itertools.product(range(3), repeat=t + 1):
                p = hmm.startprob_[path[0]] * density[0][path[0]]
                for i in range(1, t + 1):
                    p *= hmm.transmat_[path[i - 1], path[i]] * density[i][path[i]]
                joint[path[-1]] += p
            np.testing.assert_allclose(found[t], joint / joint.sum(), rtol=1e-10)

    def test_the_last_row_is_the_posterior_of_what_has_been(self, hmm):
        x = np.random.default_rng(1).normal(size=(40, 2))
        x[[3, 20], 0] = np.nan
        x[11] = np.nan
        found = np.exp(hmm.log_filtered(x))
        for t in (0, 3, 11, 20, 39):
            np.testing.assert_allclose(found[t], hmm.posteriors(x[: t + 1])[-1], atol=1e-12)

    def test_rows_far_from_all_states_do_not_underflow(self, hmm):
        found = np.exp(hmm.log_filtered(np.array([[1e6, 0.0], [-1e6, 1e6], [0.0, 0.0]])))
        np.testing.assert_allclose(found.sum(axis=1), 1)

    def test_features(self):
        filtered = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.3, 0.7, 0.0], [0.6, 0.4, 0.0]])
        np.testing.assert_allclose(state_features(filtered), [0.65, 0.35, 0, 0, 0.5, 1])
