"""Following a run: states and surprise against a sum over all state paths, and nothing later."""

import itertools

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, multivariate_t

from tests.support.hmm_twins import random_autoregression, random_model
from training_maps.hmm.predictive import predictive_log_densities
from training_maps.placing.dynamics import follow, without_gaps


def twin(hmm, rows, degrees):
    """p(s_t | x_1..x_t) and -log p(x_t | x_1..x_t-1) from sums over all paths of the states."""
    states, surprise, before = [], [np.nan], None
    n_states = hmm.n_components

    def density(t, k):
        mean, covariance = hmm.means_[k], hmm.covars_[k]
        if t == 0 or np.isinf(degrees):
            return multivariate_normal(mean, covariance).logpdf(rows[t])
        shape = covariance * (degrees - 2) / degrees
        return multivariate_t(mean, shape, df=degrees).logpdf(rows[t])

    emitted = [[density(t, k) for k in range(n_states)] for t in range(len(rows))]
    for end in range(1, len(rows) + 1):
        joint = np.full((n_states,), -np.inf)
        for path in itertools.product(range(n_states), repeat=end):
            weight = np.log(hmm.startprob_[path[0]])
            weight += sum(np.log(hmm.transmat_[a, b]) for a, b in itertools.pairwise(path))
            weight += sum(emitted[t][k] for t, k in enumerate(path))
            joint[path[-1]] = np.logaddexp(joint[path[-1]], weight)
        whole = logsumexp(joint)
        states.append(np.exp(joint - whole))
        if before is not None:
            surprise.append(before - whole)
        before = whole
    return np.array(states), np.array(surprise)


@pytest.mark.parametrize("degrees", [np.inf, 4.0])
def test_states_and_surprise_are_those_of_all_paths(degrees):
    hmm = random_model("full")
    rows = np.random.default_rng(1).normal(size=(6, 2)) * 2
    states, surprise = follow(hmm, degrees, rows[None])
    expected_states, expected_surprise = twin(hmm, rows, degrees)
    np.testing.assert_allclose(states[0], expected_states, atol=1e-10)
    np.testing.assert_allclose(surprise[0], expected_surprise, atol=1e-9)


@pytest.mark.parametrize("make", [random_model, random_autoregression])
def test_states_are_those_of_smoothing_what_is_known_so_far(make):
    """The last state given a run so far is smoothed from it alone: the forward half of both."""
    hmm = make("full")
    rows = np.random.default_rng(2).normal(size=(9, 2)) * 2
    states, _ = follow(hmm, np.inf, rows[None])
    for t in range(1, 10):
        np.testing.assert_allclose(states[0, t - 1], hmm.posteriors(rows[:t])[-1], atol=1e-10)
    np.testing.assert_allclose(np.log(states[0]), hmm.log_filtered(rows), atol=1e-8)


def test_surprise_sums_to_what_the_ladder_calls_foretold():
    hmm = random_autoregression("full")
    rows = np.random.default_rng(3).normal(size=(3, 7, 2))
    _, surprise = follow(hmm, 8.0, rows)
    expected = predictive_log_densities(hmm, rows.reshape(-1, 2), np.array([7, 7, 7]), 8.0)
    np.testing.assert_allclose(-np.nansum(surprise, axis=1), expected, atol=1e-9)


@pytest.mark.parametrize("make", [random_model, random_autoregression])
def test_nothing_later_counts(make):
    hmm = make("full")
    rows = np.random.default_rng(4).normal(size=(12, 2))
    rows[3, 0] = np.nan
    rows[5:7] = np.nan
    rows[10, 1] = np.nan
    states, surprise = follow(hmm, 4.0, rows[None])
    for t in (0, 1, 2, 3, 4, 7, 8, 9, 10):
        other = rows.copy()
        other[t + 1 :] = 100.0
        changed, changed_surprise = follow(hmm, 4.0, other[None])
        np.testing.assert_array_equal(changed[0, t], states[0, t])
        np.testing.assert_array_equal(changed_surprise[0, t], surprise[0, t])


def test_after_a_gap_there_is_no_surprise_and_the_chain_has_gone_on():
    hmm = random_model("full")
    rows = np.random.default_rng(5).normal(size=(5, 2))
    rows[1:3] = np.nan
    states, surprise = follow(hmm, np.inf, rows[None])
    assert np.isnan(surprise[0, :4]).all()
    assert np.isfinite(surprise[0, 4])
    arriving = states[0, 0] @ np.linalg.matrix_power(hmm.transmat_, 3)
    joint = arriving * np.exp(hmm.log_densities(rows[3:4])[0])
    np.testing.assert_allclose(states[0, 3], joint / joint.sum(), atol=1e-10)


def test_gaps_are_filled_from_before_and_between():
    nan = np.nan
    rows = np.array([[nan, nan], [1.0, nan], [nan, nan], [3.0, 4.0], [nan, 6.0], [nan, nan]])
    expected = [[1, 0], [1, 0], [2, 2], [3, 4], [3, 6], [3, 6]]
    np.testing.assert_array_equal(without_gaps(rows), expected)
    assert np.isnan(rows).any()  # its argument stays


def test_a_run_without_any_checkpoint_is_zero():
    assert not without_gaps(np.full((3, 2), np.nan)).any()
