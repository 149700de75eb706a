"""Forward-backward and Viterbi: brute force over all state paths, and what underflows."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.hmm_twins import (
    LENGTHS,
    NO_FLOOR,
    densities,
    in_hmmlearn,
    random_model,
    random_rows,
    with_gaps,
)
from training_maps.hmm.gaussian import GaussianHMM
from training_maps.hmm.inference import expectation, log_likelihood, viterbi
from training_maps.hmm.sufficient_statistics import TrainingRows


def test_scaling_that_underflows_is_redone_in_log_space():
    # From state 0, where runs start, state 1 is the only way on; rows far from both states in
    # turn leave nothing of the scaled forward probabilities.
    x = np.array([0.0, 0, 60, 0, 60, 60, 0, 0, 1, 0])[:, None]
    lengths = np.array([7, 3])
    ours = GaussianHMM.from_parameters(
        np.array([1.0, 0.0]),
        np.array([[0.5, 0.5], [0.0, 1.0]]),
        np.array([[0.0], [60.0]]),
        np.full((2, 1, 1), 0.5),
        covariance_floor=NO_FLOOR,
        n_iter=1,
    )
    theirs = in_hmmlearn(ours, n_iter=1)
    found = expectation(lengths, ours.startprob_, ours.transmat_, densities(ours, x))
    assert found.redone == (0,)
    exact = theirs.score(x, lengths)
    assert exact < -3000
    assert found.log_likelihood == pytest.approx(exact, rel=1e-10)
    assert ours.score(x, lengths) == pytest.approx(exact, rel=1e-10)
    np.testing.assert_allclose(found.posterior, theirs.predict_proba(x, lengths), atol=1e-9)
    report = ours.fit(x, lengths, draw_start=False).fit_report_
    assert report.log_likelihood[0] == pytest.approx(exact, rel=1e-10)
    theirs.fit(x, lengths)
    np.testing.assert_allclose(ours.means_, theirs.means_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(ours.covars_, theirs.covars_, rtol=1e-8)
    np.testing.assert_allclose(ours.transmat_, theirs.transmat_, rtol=1e-8)


def test_the_future_of_a_state_that_is_never_reached_does_not_matter():
    # Every row lies at a state that is never reached, whose backward probabilities explode.
    x = np.full((60, 1), 12.0)
    model = GaussianHMM.from_parameters(
        np.array([1.0, 0.0]), np.eye(2), np.array([[0.0], [12.0]]), np.full((2, 1, 1), 1.2)
    )
    stats, likelihood = model._estep(TrainingRows.of(x, np.array([60]), "full"))
    assert likelihood == pytest.approx(in_hmmlearn(model).score(x), rel=1e-12)
    assert model.score(x) == pytest.approx(likelihood, rel=1e-12)
    np.testing.assert_allclose(stats.rows, [60, 0], atol=1e-12)
    np.testing.assert_allclose(stats.transitions, [[59, 0], [0, 0]], atol=1e-12)


def test_viterbi_follows_the_only_way_through_zero_probabilities():
    # Left to right without leaps: the path must wait for each state, whatever the rows say.
    transmat = np.array([[0.5, 0.5, 0], [0, 0.5, 0.5], [0, 0, 1.0]])
    density = np.full((7, 3), -5.0)
    density[:, 2] = 0.0
    likelihood, path = viterbi(np.array([4, 1, 2]), np.array([1.0, 0, 0]), transmat, density)
    assert path.tolist() == [0, 1, 2, 2, 0, 0, 0]
    assert likelihood == pytest.approx(-10 - 5 - 10 + 3 * np.log(0.5))


GOOD = {
    "lengths": np.array([3, 1]),
    "startprob": np.full(2, 0.5),
    "transmat": np.full((2, 2), 0.5),
    "log_density": np.zeros((4, 2)),
}


@pytest.mark.parametrize("function", [expectation, log_likelihood, viterbi])
@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"lengths": np.array([3, 2])}, "lengths: must be positive and sum to the 4 rows"),
        ({"lengths": np.array([4, 0])}, "lengths: must be positive"),
        ({"startprob": np.array([np.nan, 1])}, "startprob must be finite"),
        ({"startprob": np.array([2.0, -1])}, "startprob: a probability is negative"),
        ({"transmat": np.eye(3)}, r"transmat has 9 values, expected 4 \(states x states\)"),
        ({"transmat": np.full((2, 2), np.inf)}, "transmat must be finite"),
        ({"log_density": np.zeros((4, 3))}, "log_density has 12 values, expected 8"),
        ({"log_density": np.full((4, 2), np.nan)}, "log_density"),
        ({"log_density": np.full((4, 2), np.inf)}, "log_density"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(function, changes, problem):
    function(**GOOD)
    with pytest.raises(ValueError, match=problem):
        function(**{**GOOD, **changes})


def test_order_in_memory_does_not_matter():
    model, x = random_model("full", 3, 2), random_rows(LENGTHS, 2)
    density = densities(model, x)
    arguments = (LENGTHS, model.startprob_, model.transmat_)
    found = expectation(*arguments, density)
    fortran = (LENGTHS, model.startprob_[:], np.asfortranarray(model.transmat_))
    again = expectation(*fortran, np.asfortranarray(density))
    np.testing.assert_array_equal(again.posterior, found.posterior)
    np.testing.assert_array_equal(again.transitions, found.transitions)


def test_log_likelihoods_are_those_of_each_sequence():
    model, lengths = random_model("full", 3, 2), np.array([4, 1, 6])
    x = with_gaps(random_rows(lengths, 2), share=0.2)
    found = model.score_each(x, lengths)
    runs = np.split(x, np.cumsum(lengths)[:-1])
    np.testing.assert_allclose(found, [model.score(run) for run in runs], rtol=1e-12)
    assert found.sum() == pytest.approx(model.score(x, lengths))
