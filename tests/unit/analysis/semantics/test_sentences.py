"""The regression in words: why there is none, what to know of it, and each state's sentence."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from training_maps.analysis.semantics.outcomes import Outcome
from training_maps.analysis.semantics.sentences import (
    censoring_notes,
    dependence_notes,
    explain_state,
    few_runs_notes,
    missing_notes,
    unequal_length_notes,
    why_no_regression,
)
from training_maps.stats.least_squares import fit_least_squares


def outcome(larger_means="later", direction="above"):
    name = "convergence time" if larger_means == "later" else "final eval_loss"
    return Outcome("x", name, "steps", larger_means, pd.DataFrame(), "eval_loss", direction)


def told(notes):
    return " ".join(map(str, notes))


def shares_of(rows):
    return pd.DataFrame(rows, dtype=float)


TWO = shares_of([[0.5, 0.5], [0.2, 0.8], [0.9, 0.1]])
FREE = np.zeros(3, dtype=bool)


@pytest.mark.parametrize(
    ("shares", "values", "censored", "of", "reason"),
    [
        (TWO, [1, 2, 3], FREE, outcome(), None),
        (TWO, [1, 2, 3], ~FREE, outcome(), "none exceeds the threshold"),
        (TWO, [1, 2, 3], ~FREE, outcome(direction="below"), "none falls below the threshold"),
        (TWO.iloc[:0], [], FREE[:0], outcome("better"), "No run has a final eval_loss"),
        (shares_of([[1.0]] * 3), [1, 2, 3], FREE, outcome(), "stays in state 0"),
        (TWO.iloc[:2], [1, 2], FREE[:2], outcome(), "2 runs are too few for 2 states"),
        (TWO, [2, 2, 2], FREE, outcome(), "All runs converge at the same"),
        (TWO, [2, 2, 2], FREE, outcome("better"), "All runs have the same final eval_loss"),
        (shares_of([[0.5, 0.5]] * 3), [1, 2, 3], FREE, outcome(), "same share of its time"),
    ],
)
def test_why_there_is_no_regression(shares, values, censored, of, reason):
    found = why_no_regression(shares, np.array(values, dtype=float), censored, of)
    if reason is None:
        assert found is None
    else:
        assert reason in str(found)


def test_runs_without_an_outcome_are_counted_and_named():
    assert missing_notes(pd.Index([]), 5, "time") == []
    assert "1 of 5 runs" in told(missing_notes(pd.Index([3]), 5, "time"))
    several = told(missing_notes(pd.Index([0, 1, 2, 7]), 9, "score"))
    assert "4 of 9 runs" in several
    assert "seeds 0-2,7" in several
    assert "score" in several


@pytest.mark.parametrize(
    ("policy", "what"), [("last_step", "last step"), ("drop", "left out"), ("tobit", "Tobit")]
)
def test_what_is_done_with_runs_that_do_not_converge(policy, what):
    note = told(censoring_notes(np.array([True, False, True]), policy))
    assert "2 of 3 runs" in note
    assert what in note
    assert censoring_notes(np.zeros(3, bool), policy) == []
    assert censoring_notes(np.ones(3, bool), policy) == []  # there is no regression then


def test_runs_of_other_lengths_are_noted():
    assert unequal_length_notes([100, 100]) == unequal_length_notes([]) == []
    note = told(unequal_length_notes([300, 100, 200]))
    assert "100" in note
    assert "300" in note
    assert "200" not in note


def test_r_squared_by_chance_is_that_of_simulated_noise():
    assert few_runs_notes(40, 6) == []
    note = told(few_runs_notes(9, 5))
    assert "0.50" in note
    draw = np.random.default_rng(0)
    shares = draw.dirichlet(np.ones(5), size=9)
    found = []
    for _ in range(2000):
        y = draw.normal(size=9)
        rest = y - shares @ np.linalg.lstsq(shares, y, rcond=None)[0]
        found.append(1 - rest @ rest / ((y - y.mean()) @ (y - y.mean())))
    assert np.mean(found) == pytest.approx(0.5, abs=0.02)


def test_states_without_a_coefficient_are_named_with_the_reason():
    draw = np.random.default_rng(1)
    free = draw.dirichlet(np.ones(2), size=8)
    varying = pd.DataFrame(
        {1: 0.5 * free[:, 0], 2: 0.5 * free[:, 1], 4: 0.25 * free[:, 1], 5: 0.25 * free[:, 0]}
    )
    shares = varying.assign(**{"3": 0.25}).rename(columns={"3": 3})
    fit = fit_least_squares(varying.to_numpy(), draw.normal(size=8))
    notes = dependence_notes(pd.Index([0, 1, 2, 3, 4, 5, 9]), shares, varying, fit)
    by_reason = told(notes).split(". ")
    assert "states 0 and 9" in by_reason[0].split(":")[0]
    assert "state 3" in told(notes)
    assert "states 1, 2, 4 and 5" in told(notes)
    independent = pd.DataFrame(draw.dirichlet(np.ones(3), size=8))
    fit = fit_least_squares(independent.to_numpy(), draw.normal(size=8))
    assert dependence_notes(independent.columns, independent, independent, fit) == []
    exact = SimpleNamespace(determined=np.ones(3, bool), f_statistic=None)
    assert "exact" in told(
        dependence_notes(independent.columns, independent, independent, exact)  # type: ignore[arg-type]
    )


def row(coefficient=0.42, low=0.31, high=0.55, *, detour=True, without=4, later=True):
    return pd.Series(
        {
            "coefficient": coefficient,
            "interval_low": low,
            "interval_high": high,
            "is_detour": detour,
            "n_converging_without": without,
            "mean_outcome_visiting": 0.6 if later else 0.3,
            "mean_outcome_without": 0.4,
        }
    )


@pytest.mark.parametrize(
    ("state", "significant", "parts", "absent"),
    [
        (row(), True, ["Detour", "positive coefficient 0.42 (0.31 to 0.55)", "4 of 9 runs"], "but"),
        (row(low=np.nan), True, ["positive coefficient 0.42"], "("),
        (row(-0.1, -0.3, 0.1, detour=False), True, ["No detour", "negative coefficient"], "but"),
        (row(0.0, detour=False, without=0), True, ["zero coefficient", "every run that"], "of 9"),
        (row(low=-0.1), True, ["Detour", "interval holds 0"], "no later"),
        (row(later=False), True, ["Detour", "no later than the others"], "holds 0"),
        (row(low=-0.1, later=False), True, ["interval holds 0", "no later"], "No detour"),
        (row(), False, ["not significant", "positive coefficient 0.42"], "Detour"),
    ],
)
def test_a_states_sentence_says_verdict_numbers_and_doubts(state, significant, parts, absent):
    said = explain_state(state, outcome(), 9, significant, 0.5)
    for part in parts:
        assert part in said
    assert absent not in said


def test_where_the_outcome_is_no_time_there_is_no_detour():
    more = explain_state(row(0.8), outcome("better"), 9, True, 0.5)
    assert "larger final eval_loss" in more
    assert "above" in more
    less = explain_state(row(0.2), outcome("better"), 9, True, 0.5)
    assert "smaller" in less
    assert "below" in less
    assert "etour" not in more + less
    assert "not significant" in explain_state(row(0.2), outcome("better"), 9, False, 0.5)
