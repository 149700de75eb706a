"""A model read off anew from posteriors: an M-step, by EM itself and by weighted averages."""

import numpy as np
import pytest

from tests.support.hmm_twins import random_autoregression, random_model, random_rows
from training_maps.hmm.inference import expectation
from training_maps.hmm.re_estimation import re_estimated

LENGTHS = np.array([30, 20, 40])


def posteriors(hmm, x):
    density = hmm.log_densities(x, LENGTHS)
    return expectation(LENGTHS, hmm.startprob_, hmm.transmat_, density)


@pytest.mark.parametrize("make", [random_model, random_autoregression])
def test_it_is_one_iteration_of_em(make):
    """Of the model's own posteriors it is what a fit of one iteration gives."""
    hmm = make("full", covariance_floor=1e-3)
    x = random_rows(LENGTHS, hmm.n_features, seed=1)
    before = {name: array.copy() for name, array in hmm.arrays().items()}
    found = re_estimated(hmm, x, LENGTHS, posteriors(hmm, x))
    for name, array in before.items():
        np.testing.assert_array_equal(hmm.arrays()[name], array)
    hmm.n_iter, hmm.tol = 1, 0.0
    hmm.fit(x, LENGTHS, draw_start=False)
    for name, array in hmm.arrays().items():
        # The means of autoregressive states are no parameters, and a fit has them of its end.
        if name != "means" or make is random_model:
            np.testing.assert_allclose(found.arrays()[name], array, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("make", [random_model, random_autoregression])
def test_in_another_scale_states_are_the_averages_of_their_rows(make):
    hmm = make("full")
    x = random_rows(LENGTHS, hmm.n_features, seed=2)
    found = posteriors(hmm, x)
    other = 3.0 * x - 7.0
    moved = re_estimated(hmm, other, LENGTHS, found)
    weights = found.posterior.T / found.posterior.sum(axis=0)[:, None]
    np.testing.assert_allclose(moved.means_, weights @ other, atol=1e-9)
    np.testing.assert_allclose(moved.transmat_.sum(axis=1), 1)
