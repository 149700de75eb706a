"""States that differ in noise alone: against a plain twin, and on rows of which it is known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

from tests.support.simulated_training import KINDS
from training_maps.hmm.observations import Observations, observations
from training_maps.model_selection.fit import fit_hmm
from training_maps.stats.mean_interval import mean_interval
from training_maps.training_map.elements import NOISE_ALONE
from training_maps.training_map.noise import (
    FOLDS,
    Worth,
    _Rows,
    neighbours,
    noise_notes,
    noise_of,
    worth_of,
)

FLOOR = 1e-6
RUNS, LENGTH, D = 12, 40, 3


def moving(own=True, *, rules=False, noise=False, seed=0):
    """Runs that change half way: the rule they move by, the size of their noise, or neither."""
    draw = np.random.default_rng(seed)
    keep = np.diag([0.9, 0.8, 0.7]) if own else 0.8 * np.linalg.qr(draw.normal(size=(D, D)))[0]
    rows, causes, states, runs = [], [], [], []
    for run in range(RUNS):
        x = draw.normal(size=D)
        for t in range(LENGTH):
            state = int(t >= LENGTH // 2)
            target = np.array([1.0, 0.0, -1.0]) * (-1 if rules and state else 1)
            size = 3.0 if noise and state else 1.0
            before, x = x, target + keep @ (x - target) + 0.2 * size * draw.normal(size=D)
            causes.append(np.append(1, before))
            rows.append(x)
            states.append(state)
            runs.append(run)
    return _Rows(np.array(rows), np.array(causes), own, np.array(states), np.array(runs))


def twin(rows):
    """What rules and noise of their own are worth to states 0 and 1, checkpoint by checkpoint."""

    def rule(which, weights):
        weights = weights / weights.mean()
        found = np.zeros((1 + D, D))
        for metric in range(D):
            used = [0, 1 + metric] if rows.own else list(range(1 + D))
            ridge = 1e-2 * np.diag([float(column > 0) for column in used])
            a = rows.causes[which][:, used]
            left = sum(w * np.outer(v, v) for w, v in zip(weights, a, strict=True)) + ridge
            right = sum(
                w * v * y for w, v, y in zip(weights, a, rows.rows[which, metric], strict=True)
            )
            found[used, metric] = np.linalg.lstsq(left, right, rcond=None)[0]
        return found

    def left_over(which, found):
        return rows.rows[which] - rows.causes[which] @ found

    def spread(residuals):
        return (sum(np.outer(r, r) for r in residuals) + 1e-2 * np.eye(D)) / len(residuals)

    gains = {"rules": np.zeros(len(rows.rows)), "noise": np.zeros(len(rows.rows))}
    for fold in range(FOLDS):
        of_fold = rows.runs % FOLDS == fold
        parts = [np.flatnonzero(~of_fold & (rows.states == k)) for k in (0, 1)]
        own = [rule(part, np.ones(len(part))) for part in parts]
        rests = [left_over(part, found) for part, found in zip(parts, own, strict=True)]
        noises = [spread(rest) for rest in rests]
        both = np.concatenate(parts)
        weights = np.concatenate(
            [
                np.full(len(part), np.linalg.det(noise) ** (-1 / D))
                for part, noise in zip(parts, noises, strict=True)
            ]
        )
        common, one_noise = rule(both, weights), spread(np.vstack(rests))
        for i in np.flatnonzero(of_fold):
            k = rows.states[i]
            at = np.array([i])
            density = multivariate_normal(cov=noises[k]).logpdf(left_over(at, own[k])[0])
            beside = spread(left_over(parts[k], common))
            other = multivariate_normal(cov=beside).logpdf(left_over(at, common)[0])
            gains["rules"][i] = density - other
            other = multivariate_normal(cov=one_noise).logpdf(left_over(at, own[k])[0])
            gains["noise"][i] = density - other
    found = {}
    for name, gain in gains.items():
        by_run = np.array([gain[rows.runs == run].mean() for run in range(RUNS)])
        found[name] = (by_run.mean(), *mean_interval(by_run))
    return found


@pytest.mark.parametrize("own", [True, False])
def test_worth_is_that_of_a_plain_twin(own):
    rows = moving(own, rules=True, noise=True)
    worth, expected = worth_of(rows, 0, 1, FLOOR), twin(rows)
    np.testing.assert_allclose(worth.rules, expected["rules"], rtol=1e-8)
    np.testing.assert_allclose(worth.noise, expected["noise"], rtol=1e-8)


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize(
    ("changes", "alone"),
    [
        ({}, False),
        ({"rules": True}, False),
        ({"rules": True, "noise": True}, False),
        ({"noise": True}, True),
    ],
)
def test_noise_alone_is_that_and_nothing_else(own, changes, alone):
    assert worth_of(moving(own, **changes), 0, 1, FLOOR).is_noise_alone == alone


def test_which_state_is_first_and_other_states_do_not_matter():
    rows = moving(noise=True)
    one, other = worth_of(rows, 0, 1, FLOOR), worth_of(rows, 1, 0, FLOOR)
    assert one.rules == pytest.approx(other.rules)
    assert one.noise == pytest.approx(other.noise)
    third = rows.of(rows.runs < 5)
    beside = _Rows(
        np.vstack([rows.rows, 100 + third.rows]),
        np.vstack([rows.causes, third.causes]),
        True,
        np.append(rows.states, np.full(len(third.rows), 2)),
        np.append(rows.runs, third.runs),
    )
    assert worth_of(beside, 0, 1, FLOOR) == one


def test_the_scale_of_a_metric_does_not_matter():
    rows = moving(noise=True)
    scale = np.array([1.0, 5.0, 0.5])
    larger = _Rows(
        rows.rows * scale, rows.causes * np.append(1, scale), True, rows.states, rows.runs
    )
    one, other = worth_of(rows, 0, 1, 1e-9), worth_of(larger, 0, 1, 1e-9)
    # But for the ridge and the prior, which are a hundredth of a checkpoint.
    assert one.noise == pytest.approx(other.noise, abs=0.01)
    assert one.rules == pytest.approx(other.rules, abs=0.01)


def test_few_checkpoints_or_few_runs_tell_nothing():
    rows = moving(noise=True)
    few = rows.of((rows.states == 0) | (rows.runs == 3))
    assert worth_of(few, 0, 1, FLOOR) is None
    assert worth_of(rows.of(rows.runs < 2), 0, 1, FLOOR) is None
    assert worth_of(rows.of(rows.runs < 1), 0, 1, FLOOR) is None


def test_neighbours_are_states_that_runs_go_between():
    paths = pd.DataFrame({"seed": [0] * 4 + [1] * 3, "state": [0, 2, 2, 0, 1, 1, 2]})
    assert neighbours(paths) == [(0, 2), (1, 2)]  # not 0 and 1, which are of two runs


def test_rules_may_be_worth_a_tenth_of_noise_and_noise_must_be_worth_something():
    sure, doubtful = (5.0, 4.0, 6.0), (5.0, -0.1, 9.0)
    assert Worth((0.4, 0.3, 0.5), sure).is_noise_alone
    assert not Worth((0.4, 0.3, 0.51), sure).is_noise_alone
    assert not Worth((0.0, -0.1, 0.1), doubtful).is_noise_alone


def test_notes_name_both_states():
    (note,) = noise_notes({2: 1})
    assert note.kind == NOISE_ALONE
    assert note.text == "State 2 differs from state 1 in its noise alone: it is no phase."


def named(kind, model, n_states):
    """The states that are named, of simulated runs that a model is fitted to."""
    runs = KINDS[kind](16, 1, n_checkpoints=80)
    obs = observations(runs.tables, scale="run" if model == "gaussian" else "pooled")
    hmm = fit_hmm(obs, n_states, model=model, restarts=2).hmm
    x, lengths, _ = obs.sequences()
    paths = obs.table[["seed", "step"]].assign(state=hmm.predict(x, lengths))
    return noise_of(SimpleNamespace(observations=obs, kind=model, hmm=hmm), paths)


def test_simulated_states_of_noise_are_named():
    assert named("noise_states", "autoregressive", 2) == {1: 0}


@pytest.mark.parametrize(
    ("kind", "model"), [("chain_relaxing", "autoregressive"), ("chain_plateaus", "gaussian")]
)
def test_simulated_phases_and_regions_are_not(kind, model):
    assert named(kind, model, 4) == {}


def test_a_gaussian_state_is_its_mean_and_gaps_are_filled():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(10, 30, 2))
    x[:, 15:] *= 5
    x[0, 3, 0] = np.nan
    table = pd.DataFrame(x.reshape(-1, 2), columns=["l1", "l2"])
    table.insert(0, "seed", np.repeat(np.arange(10), 30))
    table.insert(1, "step", np.tile(np.arange(30), 10))
    table.insert(2, "split", "train")
    obs = Observations(table, ("l1", "l2"))
    paths = table[["seed", "step"]].assign(state=np.tile(np.repeat([0, 1], 15), 10))
    model = SimpleNamespace(
        observations=obs, kind="gaussian", hmm=SimpleNamespace(covariance_floor=1e-3)
    )
    assert noise_of(model, paths) == {1: 0}
