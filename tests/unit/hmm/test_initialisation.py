"""Where EM starts: k-means as scikit-learn has it, and runs cut into pieces."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import kmeans_plusplus

from tests.support.hmm_twins import random_model, random_rows, simulate
from training_maps.hmm.base import MIN_COVAR
from training_maps.hmm.gaussian import GaussianHMM
from training_maps.hmm.initialisation import TRIALS, assigned_states, start_of


def plain_k_means(x, seeds, rounds=30):
    """Lloyd's algorithm in plain loops: assign each row to a centre, move centres to their rows."""
    centres, before = seeds.copy(), None
    for _ in range(rounds):
        nearest = np.array([((row - centres) ** 2).sum(axis=1).argmin() for row in x])
        if np.array_equal(nearest, before):
            break
        before = nearest
        centres = np.array([x[nearest == k].mean(axis=0) for k in range(len(centres))])
    return nearest


@pytest.mark.parametrize("states", [1, 3, 5])
def test_k_means_equals_plain_loops_from_greedy_seeds(states):
    x, lengths = simulate(random_model("full", 3, 3), 4, 50)
    for seed in range(3):
        ours = assigned_states("k-means", x, lengths, states, np.random.RandomState(seed))
        centred = x - x.mean(axis=0)  # as scikit-learn draws them
        seeds, _ = kmeans_plusplus(centred, states, random_state=np.random.RandomState(seed))
        np.testing.assert_array_equal(ours, plain_k_means(centred, seeds))


def test_a_draw_depends_on_its_source_alone():
    x, lengths = random_rows([300], 3), np.array([300])
    draws = [assigned_states("k-means", x, lengths, 5, np.random.RandomState(s)) for s in (0, 0, 1)]
    assert (draws[0] == draws[1]).all()
    assert (draws[0] != draws[2]).any()


def test_fewer_distinct_rows_than_states_leave_some_without_a_row():
    x = np.repeat([[0.0], [1.0]], 10, axis=0)
    states = assigned_states("k-means", x, np.array([20]), 3, np.random.RandomState(0))
    assert len(set(states[:10])) == len(set(states[10:])) == 1
    assert states[0] != states[-1]


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
