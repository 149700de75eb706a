"""Where EM starts: k-means as scikit-learn has it, and runs cut into pieces."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans, kmeans_plusplus

from tests.support.hmm_twins import random_model, random_rows, simulate
from training_maps.hmm.base import MIN_COVAR
from training_maps.hmm.gaussian import GaussianHMM
from training_maps.hmm.initialisation import TRIALS, assigned_states, seed_means, start_of


@pytest.mark.parametrize("states", [1, 2, 5, 8])
def test_seeds_are_those_of_scikit_learn(states):
    x = random_rows([200], 3)
    for seed in range(5):
        theirs, _ = kmeans_plusplus(x, states, random_state=np.random.RandomState(seed))
        ours = seed_means(x, states, np.random.RandomState(seed))
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("states", [1, 3, 5])
def test_k_means_is_that_of_scikit_learn(states):
    x, lengths = simulate(random_model("full", 3, 3), 4, 50)
    for seed in range(3):
        ours = assigned_states("k-means", x, lengths, states, np.random.RandomState(seed))
        seeds = seed_means(x, states, np.random.RandomState(seed))
        theirs = KMeans(states, init=seeds, n_init=1, algorithm="lloyd", tol=0, max_iter=30)
        np.testing.assert_array_equal(ours, theirs.fit_predict(x))


def test_pieces_are_consecutive_and_all_there():
    lengths = np.array([50, 7, 4, 3, 1])
    found = []
    for seed in range(20):
        draw = np.random.RandomState(seed)
        states = assigned_states("pieces", np.zeros((65, 2)), lengths, 4, draw)
        runs = np.split(states, np.cumsum(lengths)[:-1])
        found.append(states)
        for run in runs:
            assert (np.diff(run) >= 0).all()
            assert len(set(run)) == min(4, len(run))
        assert runs[2].tolist() == [0, 1, 2, 3]
    assert len({tuple(states) for states in found}) == 20
    assert {states[-1] for states in found} == {0, 1, 2, 3}


def test_a_start_emits_as_the_rows_assigned():
    x, lengths = simulate(random_model("full", 3, 3), 4, 50)
    model = GaussianHMM(3, random_state=7)
    model._draw_start(model._rows(x, lengths), x, lengths)
    draw = np.random.RandomState(7)
    startprob = draw.dirichlet(np.ones(3))
    transmat = draw.dirichlet(np.ones(3), size=3)
    states = assigned_states("k-means", x, lengths, 3, draw)
    np.testing.assert_array_equal(model.startprob_, startprob)
    np.testing.assert_array_equal(model.transmat_, transmat)
    for k in range(3):
        rows = x[states == k]
        np.testing.assert_allclose(model.means_[k], rows.mean(axis=0))
        covariance = np.cov(rows.T, bias=True) + 0.01 / len(rows) + MIN_COVAR * np.eye(3)
        np.testing.assert_allclose(model.covars_[k], covariance, rtol=1e-10)


def test_trials_start_from_the_best_of_their_draws(monkeypatch):
    x, lengths = simulate(random_model("full", 4, 3), 6, 50)
    model = GaussianHMM(4, random_state=3, start="trials")
    objectives = []
    run = GaussianHMM._expectation_maximisation

    def recorded(self, data, n_iter):
        report = run(self, data, n_iter)
        objectives.append((n_iter, report.objective))
        return report

    monkeypatch.setattr(GaussianHMM, "_expectation_maximisation", recorded)
    report = model.fit(x, lengths).fit_report_
    trials = objectives[:-1]
    assert len(trials) == len(TRIALS["trials"]) == 8
    assert {n_iter for n_iter, _ in trials} == {5}
    assert len({objective[0] for _, objective in trials}) == 8
    assert report.objective[0] == max(objective[-1] for _, objective in trials)


def test_restarts_take_both_kinds_in_turn():
    assert [start_of(restart) for restart in range(4)] == ["k-means", "trials"] * 2
