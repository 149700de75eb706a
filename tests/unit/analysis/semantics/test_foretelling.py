"""Whether states foretell or restate: one planted case of each."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.simulated_runs import ended, late, simulate, stay
from training_maps.analysis.semantics.foretelling import Foretelling, foretelling
from training_maps.analysis.semantics.outcomes import time_outcome
from training_maps.analysis.semantics.regression import regress
from training_maps.training_map.paths import state_shares


def restating(rng):
    """0-1-2, converging on leaving 1: the time there is the convergence time."""
    middle = stay(rng, 40)
    return ended((0, 5), (1, middle), (2, 1)), late(rng, 5 + middle)


def early(rng):
    """0-1-2: half the runs leave 0 early, and stay in 1 for short then."""
    short = rng.random() < 0.5
    start, middle = stay(rng, 6 if short else 10), stay(rng, 20 if short else 50)
    return ended((0, start), (1, middle), (2, 1)), late(rng, start + middle)


def found(draw, seed=0):
    paths, convergence = simulate(draw, 40, seed)
    outcome = time_outcome(convergence, "eval_accuracy", 0.9)
    fit = regress(state_shares(paths), outcome, n_resamples=9, alternatives=False)
    return paths, convergence, foretelling(paths, outcome, convergence, fit.r_squared)


def test_time_in_the_last_state_restates():
    paths, convergence, told = found(restating)
    assert told.verdict == "restates"
    assert told.known_until < convergence["step"].min()
    assert told.sentence.startswith(f"This restates convergence: state {told.best_state} alone")
    x = state_shares(paths)[told.best_state]
    squared = np.corrcoef(x, convergence["fraction"])[0, 1] ** 2
    assert told.best_r_squared == pytest.approx(squared)
    assert squared > 0.95
    assert told.converge_as_they in ("leave", "enter")


def test_time_in_states_left_before_any_run_converged_foretells():
    _, convergence, told = found(early)
    assert told.known_until < convergence["step"].min()
    assert told.verdict.startswith("foretells")
    assert told.p_value < 0.001
    assert "foretells" in told.sentence


def test_what_comes_later_does_not_count():
    """The same early checkpoints, whatever follows, give the same R²."""
    paths, convergence, told = found(early)
    paths.loc[paths["step"] > told.known_until, "state"] = 7
    outcome = time_outcome(convergence, "eval_accuracy", 0.9)
    assert foretelling(paths, outcome, convergence, 0.5).r_squared == told.r_squared


def test_without_a_regression_nothing_is_said():
    paths, convergence, _ = found(restating)
    outcome = time_outcome(convergence, "eval_accuracy", 0.9)
    assert foretelling(paths, outcome, convergence, None) == Foretelling()
