"""Gaussian states: hmmlearn's own steps and scores, brute force, and what is refused."""

from __future__ import annotations

import hmmlearn.hmm
import numpy as np
import pytest

from tests.support.hmm_twins import (
    LENGTHS,
    brute_force,
    densities,
    in_hmmlearn,
    random_model,
    random_rows,
    simulate,
)
from training_maps.hmm.covariances import COVARIANCES
from training_maps.hmm.gaussian import GaussianHMM
from training_maps.hmm.inference import expectation
from training_maps.hmm.sufficient_statistics import TrainingRows


@pytest.mark.parametrize("kind", COVARIANCES)
def test_e_step_and_viterbi_against_all_state_paths(kind):
    model, x = random_model(kind), random_rows(LENGTHS, 2)
    parts = np.split(x, np.cumsum(LENGTHS)[:-1])
    exact = [brute_force(model, part) for part in parts]
    found = expectation(LENGTHS, model.startprob_, model.transmat_, densities(model, x))
    assert found.redone == ()
    assert found.log_likelihood == pytest.approx(sum(e[0] for e in exact), rel=1e-12)
    np.testing.assert_allclose(found.posterior, np.concatenate([e[1] for e in exact]), atol=1e-12)
    np.testing.assert_allclose(found.transitions, sum(e[2] for e in exact), atol=1e-12)
    np.testing.assert_array_equal(model.predict(x, LENGTHS), np.concatenate([e[3] for e in exact]))
    best, states = model.decode(x, LENGTHS)
    np.testing.assert_array_equal(states, model.predict(x, LENGTHS))
    assert best == pytest.approx(sum(np.log(e[4]) for e in exact), rel=1e-12)
    assert model.score(x, LENGTHS) == pytest.approx(found.log_likelihood, rel=1e-12)
    stats, likelihood = model._estep(TrainingRows.of(x, LENGTHS, kind))
    assert likelihood == pytest.approx(found.log_likelihood, rel=1e-12)
    np.testing.assert_allclose(stats.start, sum(e[1][0] for e in exact), atol=1e-12)
    np.testing.assert_allclose(stats.rows, sum(e[1].sum(axis=0) for e in exact), atol=1e-12)


@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize("states", [1, 2, 5])
def test_em_step_equals_that_of_hmmlearn(kind, states):
    lengths = np.array([40, 7, 101, 1, 40, 2])
    x = random_rows(lengths, 4)
    ours = random_model(kind, states, 4, n_iter=1)
    theirs = in_hmmlearn(ours, n_iter=1)
    np.testing.assert_allclose(densities(ours, x), theirs._compute_log_likelihood(x), rtol=1e-10)
    start = theirs.score(x, lengths)
    ours.fit(x, lengths, draw_start=False)
    theirs.fit(x, lengths)
    close = {"rtol": 1e-8, "atol": 1e-10}
    np.testing.assert_allclose(ours.startprob_, theirs.startprob_, **close)
    np.testing.assert_allclose(ours.transmat_, theirs.transmat_, **close)
    np.testing.assert_allclose(ours.means_, theirs.means_, **close)
    # hmmlearn repeats a spherical variance along the features.
    expected = theirs._covars_[:, 0] if kind == "spherical" else theirs._covars_
    np.testing.assert_allclose(ours.covariance_parameters(), expected, **close)
    report = ours.fit_report_
    assert report.iterations == 1
    assert report.reason == "iteration limit"
    assert report.log_likelihood[0] == pytest.approx(start, rel=1e-10)
    assert report.log_likelihood[1] == pytest.approx(theirs.score(x, lengths), rel=1e-8)


@pytest.mark.parametrize("kind", COVARIANCES)
def test_whole_fit_follows_hmmlearn(kind):
    x, lengths = simulate(random_model(kind, 3, 3), 6, 40)
    ours = random_model(kind, 3, 3, seed=9, n_iter=25, tol=1e-12)
    theirs = in_hmmlearn(ours, n_iter=25, tol=-np.inf)
    ours.fit(x, lengths, draw_start=False)
    theirs.fit(x, lengths)
    assert ours.score(x, lengths) == pytest.approx(theirs.score(x, lengths), rel=1e-8)
    plain = in_hmmlearn(ours)
    assert ours.fit_report_.log_likelihood[-1] == pytest.approx(plain.score(x, lengths), rel=1e-8)
    assert ours.score(x, lengths) == pytest.approx(plain.score(x, lengths), rel=1e-10)
    assert ours.n_parameters() == sum(plain._get_n_fit_scalars_per_param().values())
    best, states = plain.decode(x, lengths)
    assert ours.decode(x, lengths)[0] == pytest.approx(best, rel=1e-10)
    np.testing.assert_array_equal(ours.predict(x, lengths), states)
    np.testing.assert_allclose(ours.covars_, plain.covars_)
    assert ours.covars_.shape == (3, 3, 3)


@pytest.mark.parametrize("kind", COVARIANCES)
def test_to_hmmlearn_is_ready_to_use(kind):
    x, lengths = simulate(random_model(kind, 3, 3), 6, 40)
    ours = GaussianHMM(3, kind, random_state=1, n_iter=20).fit(x, lengths)
    theirs, plain = ours.to_hmmlearn(), in_hmmlearn(ours)
    assert type(theirs) is hmmlearn.hmm.GaussianHMM
    for method in ("score", "aic", "bic"):
        value = getattr(theirs, method)(x, lengths)
        assert value == pytest.approx(getattr(plain, method)(x, lengths), rel=1e-12)
    np.testing.assert_array_equal(theirs.predict(x, lengths), ours.predict(x, lengths))
    np.testing.assert_array_equal(theirs.covars_, ours.covars_)
    theirs.means_ += 1  # a copy, not a view
    assert ours.score(x, lengths) == pytest.approx(plain.score(x, lengths), rel=1e-10)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"startprob": [0.5, 0.6]}, "startprob_"),
        ({"transmat": np.eye(3)}, "transmat_"),
        ({"transmat": [[2.0, -1.0], [0, 1]]}, "transmat_"),
        ({"means": np.zeros((3, 2))}, "means"),
        ({"means": np.full((2, 2), np.nan)}, "means"),
        ({"covars": np.eye(2)}, "covars have shape"),
        ({"covars": np.stack([np.eye(2), -np.eye(2)])}, "positive definite"),
        ({"covars": np.full((2, 2, 2), np.nan)}, "positive definite"),
        ({"covars": np.stack([np.eye(2), [[1, 0.5], [0, 1]]])}, "symmetric"),
        ({"covars": np.zeros((2, 2)), "covariance_type": "diag"}, "positive definite"),
        ({"covariance_type": "banded"}, "'banded' is not one of full"),
    ],
)
def test_parameters_that_make_no_model_are_refused(changes, problem):
    good = {"startprob": np.full(2, 0.5), "transmat": np.eye(2), "means": np.zeros((2, 2))}
    good["covars"] = np.stack([np.eye(2)] * 2)
    GaussianHMM.from_parameters(**good)
    with pytest.raises(ValueError, match=problem):
        GaussianHMM.from_parameters(**{**good, **changes})


@pytest.mark.parametrize("kind", COVARIANCES)
def test_renumbering_and_parameters(kind):
    model, x = random_model(kind), random_rows(LENGTHS, 2)
    order = np.array([2, 0, 1])
    moved = GaussianHMM.from_parameters(
        model.startprob_,
        model.transmat_,
        model.means_,
        model.covariance_parameters(),
        covariance_type=kind,
    )
    moved.renumber(order)
    assert moved.score(x, LENGTHS) == pytest.approx(model.score(x, LENGTHS), rel=1e-12)
    np.testing.assert_array_equal(order[moved.predict(x, LENGTHS)], model.predict(x, LENGTHS))
    np.testing.assert_array_equal(moved.covars_, model.covars_[order])
    counts = {"full": 9, "tied": 3, "diag": 6, "spherical": 3}
    assert moved.n_parameters() == 2 + 6 + 6 + counts[kind]


def test_a_minimum_stay_cannot_be_said_in_hmmlearn():
    with pytest.raises(ValueError, match="minimum stay"):
        random_model("full", minimum_stay=2).to_hmmlearn()
