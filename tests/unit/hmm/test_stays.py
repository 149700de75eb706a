"""Stays: against all paths of small examples, and what they do to flicker and to true returns."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize

from tests.support.hmm_twins import (
    density_of_run,
    random_autoregression,
    random_model,
    random_rows,
    simulate,
)
from training_maps.hmm.gaussian import GaussianHMM
from training_maps.hmm.stays import (
    expanded_chain,
    log_prior_of_stays,
    mean_transitions,
    updated_transitions,
)

MODELS = [random_model, random_autoregression]


def all_paths(model, x):
    """All paths of one run with their joint densities, and where each might have gone elsewhere.

    No sub-states: a run counts how long it has stayed, and must stay until that is long enough.
    """
    density = density_of_run(model, x)
    for path in itertools.product(range(model.n_components), repeat=len(x)):
        p = model.startprob_[path[0]] * density[0, path[0]]
        stayed, free = 1, []
        for t, (i, j) in enumerate(itertools.pairwise(path), start=1):
            if stayed < model.minimum_stay:
                p *= i == j
            else:
                p *= model.transmat_[i, j]
                free.append((i, j))
            stayed = stayed + 1 if i == j else 1
            p *= density[t, j]
        yield path, p, free


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("minimum_stay", [1, 2, 3, 9])
@pytest.mark.parametrize("seed", range(3))
def test_all_that_is_known_of_paths_is_that_of_all_paths(make, minimum_stay, seed):
    model = make("full", seed=seed, minimum_stay=minimum_stay)
    x = random_rows([7], 2, seed)
    total, best = 0.0, (-1.0, ())
    posterior, counts = np.zeros((7, 3)), np.zeros((3, 3))
    for path, p, free in all_paths(model, x):
        total += p
        best = max(best, (p, path))
        posterior[np.arange(7), path] += p
        for move in free:
            counts[move] += p
    assert model.score(x) == pytest.approx(np.log(total), rel=1e-10)
    likelihood, states = model.decode(x)
    assert (likelihood, states.tolist()) == (pytest.approx(np.log(best[0])), list(best[1]))
    np.testing.assert_allclose(model.posteriors(x), posterior / total, atol=1e-10)
    found = model._expectation(np.array([7]), model.log_densities(x))
    np.testing.assert_allclose(found.transitions, counts / total, atol=1e-10)
    assert counts.sum() == pytest.approx(0 if minimum_stay == 9 else counts.sum())


@pytest.mark.parametrize("make", MODELS)
def test_filtered_probabilities_are_those_of_all_paths_so_far(make):
    model = make("full", seed=4, minimum_stay=2)
    x = random_rows([6], 2, 4)
    for t in range(1, 7):
        expected = np.zeros(3)
        for path, p, _ in all_paths(model, x[:t]):
            expected[path[-1]] += p
        found = np.exp(model.log_filtered(x)[t - 1])
        np.testing.assert_allclose(found, expected / expected.sum(), atol=1e-10)


def test_the_m_step_is_the_maximum_of_what_is_expected():
    draw = np.random.default_rng(0)
    counts = draw.uniform(0, 20, size=(3, 3))
    for prior in (0.0, 0.5, 7.0):
        found = updated_transitions(counts, np.eye(3), prior)

        def objective(a, prior=prior):
            a = np.exp(a.reshape(3, 3))
            a /= a.sum(axis=1, keepdims=True)
            return -float((counts * np.log(a)).sum()) - log_prior_of_stays(a, prior)

        best = minimize(objective, np.zeros(9), tol=1e-12)
        a = np.exp(best.x.reshape(3, 3))
        np.testing.assert_allclose(found, a / a.sum(axis=1, keepdims=True), atol=1e-4)
        assert objective(np.log(found).ravel()) <= best.fun + 1e-9


def test_a_state_that_nothing_is_known_of_keeps_its_row():
    counts, before = np.array([[0.0, 0.0], [1.0, 3.0]]), np.full((2, 2), 0.5)
    assert updated_transitions(counts, before, 0).tolist() == [[0.5, 0.5], [0.25, 0.75]]
    assert updated_transitions(counts, before, 4).tolist() == [[1, 0], [0.125, 0.875]]


def test_a_fit_with_a_prior_ends_where_no_other_transitions_are_better():
    x, lengths = simulate(random_model("full", 2, 2), 6, 30)
    model = GaussianHMM(2, stay_prior=20, random_state=0, n_iter=5000, tol=1e-10).fit(x, lengths)

    def objective():
        return model.score(x, lengths) + log_prior_of_stays(model.transmat_, model.stay_prior)

    best, found = objective(), model.transmat_
    assert best + model._log_prior() == pytest.approx(model.fit_report_.objective[-1])
    for change in (-0.02, -0.002, 0.002, 0.02):
        for row in (0, 1):
            model.transmat_ = found.copy()
            model.transmat_[row] += [change, -change]
            assert objective() < best


@pytest.mark.parametrize("minimum_stay", [1, 4])
@pytest.mark.parametrize("stay_prior", [0, 30])
@pytest.mark.parametrize("seed", range(3))
def test_the_objective_never_falls(minimum_stay, stay_prior, seed):
    x, lengths = simulate(random_model("full", 3, 3), 5, 40, seed)
    settings = {"minimum_stay": minimum_stay, "stay_prior": stay_prior}
    report = GaussianHMM(4, random_state=seed, n_iter=200, **settings).fit(x, lengths).fit_report_
    objective = np.array(report.objective)
    assert (np.diff(objective) >= -1e-12 * (np.abs(objective[1:]) + x.size)).all()


def test_no_stay_but_the_last_of_a_run_is_shorter_than_the_minimum():
    x, lengths = simulate(random_model("full", 3, 2, seed=1), 10, 50)
    shortest = {}
    for minimum_stay in (1, 4):
        model = GaussianHMM(3, minimum_stay=minimum_stay, random_state=0).fit(x, lengths)
        stays = []
        for path in np.split(model.predict(x, lengths), np.cumsum(lengths)[:-1]):
            ends = np.flatnonzero(np.diff(path)) + 1
            stays += np.diff(np.append(0, ends)).tolist()
        shortest[minimum_stay] = min(stays)
    assert shortest[1] < 4 <= shortest[4]


def test_a_run_shorter_than_the_minimum_stays_in_one_state():
    model = random_model("full", minimum_stay=10)
    x = random_rows([4], 2)
    density = model.log_densities(x).sum(axis=0) + np.log(model.startprob_)
    assert model.score(x) == pytest.approx(np.logaddexp.reduce(density))
    assert model.predict(x).tolist() == [int(density.argmax())] * 4


@pytest.mark.parametrize("make", MODELS)
def test_numbers_of_states_do_not_matter(make):
    model = make("full", seed=2, minimum_stay=3)
    x = random_rows([9, 5], 2)
    score, path = model.score(x, [9, 5]), model.predict(x, [9, 5])
    model.renumber(np.array([2, 0, 1]))
    assert model.score(x, [9, 5]) == pytest.approx(score)
    assert np.array([2, 0, 1])[model.predict(x, [9, 5])].tolist() == path.tolist()


@pytest.mark.parametrize("minimum_stay", [1, 2, 5])
def test_mean_transitions_are_those_of_the_expanded_chain_in_the_long_run(minimum_stay):
    transmat = np.random.default_rng(0).dirichlet(np.ones(3), size=3)
    _, chain = expanded_chain(np.ones(3) / 3, transmat, minimum_stay)
    share = np.full(len(chain), 1 / len(chain))
    for _ in range(5000):
        share = share @ (0.5 * chain + 0.5 * np.eye(len(chain)))  # lazy: no cycles
    flow = (share[:, None] * chain).reshape(3, minimum_stay, 3, minimum_stay).sum(axis=(1, 3))
    expected = flow / flow.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(mean_transitions(transmat, minimum_stay), expected, atol=1e-9)


class TestFlicker:
    """Two places, a spike towards the first place in each run, and in each second run a return."""

    LENGTH, RETURN = 60, range(40, 50)

    def runs(self):
        draw = np.random.default_rng(0)
        true = np.zeros((12, self.LENGTH), dtype=int)
        true[:, 20:] = 1
        true[::2, self.RETURN] = 0
        rows = true[..., None] * 4.0 + draw.normal(size=(*true.shape, 2))
        rows[:, 30] -= 3.5  # a single row that looks like the first state
        return rows.reshape(-1, 2), np.full(12, self.LENGTH), true

    def paths(self, **settings):
        x, lengths, true = self.runs()
        model = GaussianHMM(2, random_state=0, **settings).fit(x, lengths)
        path = model.predict(x, lengths).reshape(true.shape)
        return path if path[0, 0] == 0 else 1 - path, true

    def test_is_there_without_a_minimum(self):
        path, _ = self.paths()
        assert (path[:, 30] == 0).sum() >= 6

    @pytest.mark.parametrize("settings", [{"minimum_stay": 4}, {"stay_prior": 1e5}])
    def test_goes_away_and_a_true_return_stays(self, settings):
        path, true = self.paths(**settings)
        assert (path[:, 25:36] == 1).all()
        assert (path[::2, 42:48] == 0).all()
        assert (path == true).mean() > 0.98


def test_the_prior_keeps_runs_in_one_of_two_states_that_hardly_differ():
    draw = np.random.default_rng(1)
    x, lengths = draw.normal(size=(600, 2)), np.full(10, 60)
    turns = {}
    for prior in (0, 200):
        model = GaussianHMM(2, random_state=0, stay_prior=prior).fit(x, lengths)
        path = model.predict(x, lengths).reshape(10, 60)
        turns[prior] = np.count_nonzero(np.diff(path, axis=1))
    assert turns[0] > 50 > 10 > turns[200]
