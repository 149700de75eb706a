"""The regression in sentences: why there is none, what to know of it, and what each state does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from training_maps.stats.least_squares import ROUNDING
from training_maps.utils.notes import Note
from training_maps.utils.seeds import named_seeds
from training_maps.utils.wording import numbered

if TYPE_CHECKING:
    import pandas as pd

    from training_maps.analysis.semantics.outcomes import Outcome
    from training_maps.stats.least_squares import LeastSquares
    from training_maps.stats.tobit import Tobit

# Where R² is at least this on average of outcomes that mean nothing, a note says so.
MUCH_BY_CHANCE = 0.25
_WHAT_IS_DONE = {
    "last_step": "their time counts as their last step",
    "drop": "they are left out of the regression",
    "tobit": "a Tobit model takes their time to lie beyond their last step",
}


def why_no_regression(
    shares: pd.DataFrame, values: np.ndarray, censored: np.ndarray, outcome: Outcome
) -> str | None:
    """A sentence if the regression is undefined or says nothing, else None.

    Args:
        shares: (n_runs, n_states), of the runs that have an outcome.
        values: outcomes, (n_runs,).
        censored: (n_runs,).
        outcome: what the outcomes are.
    """
    n_runs, n_states = shares.shape
    if n_runs == 0 and not outcome.is_time:
        return f"No run has a {outcome.name}."
    if censored.all():
        return _none_converges(outcome)
    if n_states == 1:
        return f"Every run stays in state {shares.columns[0]}, so shares of time explain nothing."
    if n_runs <= n_states:
        return (
            f"{n_runs} runs are too few for {n_states} states: a regression with as many "
            "states as runs fits anything."
        )
    if np.ptp(values) <= ROUNDING * np.abs(values).max():
        if outcome.is_time:
            return "All runs converge at the same fraction of their length: nothing varies."
        return f"All runs have the same {outcome.name}: nothing varies."
    if (np.ptp(shares.to_numpy(), axis=0) <= ROUNDING).all():
        return "Every run spends the same share of its time in each state."
    return None


def _none_converges(outcome: Outcome) -> str:
    beyond = "exceeds" if outcome.direction == "above" else "falls below"
    return f"No run converges: none {beyond} the threshold at any checkpoint."


def missing_notes(seeds: pd.Index, n_runs: int, name: str) -> list[Note]:
    """Which runs have no outcome."""
    if not len(seeds):
        return []
    return [
        Note(
            "no_outcome",
            f"{len(seeds)} of {n_runs} runs have no {name} and are left out: "
            f"{named_seeds([int(seed) for seed in seeds])}.",
        )
    ]


def censoring_notes(censored: np.ndarray, policy: str) -> list[Note]:
    """How many runs do not converge, and what is done with them."""
    n_runs, n_censored = len(censored), int(censored.sum())
    if n_censored in (0, n_runs):
        return []
    text = f"{n_censored} of {n_runs} runs do not converge; {_WHAT_IS_DONE[policy]}."
    return [Note("censored", text)]


def unequal_length_notes(last_steps: Iterable[int]) -> list[Note]:
    """A sentence if runs end at different steps, as with `stop_above`, and so shares and times too.

    Args:
        last_steps: of each run.
    """
    steps = set(map(int, last_steps))
    if len(steps) < 2:
        return []
    return [
        Note(
            "unequal_lengths",
            f"Runs end between step {min(steps)} and {max(steps)}: shares are of each run's own "
            "checkpoints, and times are fractions of the longest run. R² is not that of runs of "
            "equal length.",
        )
    ]


def dependence_notes(
    states: pd.Index, shares: pd.DataFrame, varying: pd.DataFrame, fit: LeastSquares | Tobit
) -> list[Note]:
    """Which states have no coefficient and why, and that an exact fit is one.

    Args:
        states: all states of the runs.
        shares: of the runs in the regression, in the states that these visit.
        varying: those columns of `shares` in which the runs differ.
        fit: the regression on `varying`.
    """
    notes = []
    unseen = states.difference(shares.columns)
    if len(unseen):
        notes.append(
            Note(
                "unseen_states",
                f"Only runs that are left out visit {numbered('state', unseen)}: there is no "
                "coefficient.",
            )
        )
    constant = shares.columns.difference(varying.columns)
    if len(constant):
        notes.append(
            Note(
                "constant_shares",
                "Every run spends the same share of its checkpoints in "
                f"{numbered('state', constant)}: left out of the regression.",
            )
        )
    tied = varying.columns[~fit.determined]
    if len(tied):
        notes.append(
            Note(
                "dependent_shares",
                f"The shares of {numbered('state', tied)} are linearly dependent over these runs: "
                "their effects cannot be told apart, and they have no coefficients.",
            )
        )
    if getattr(fit, "f_statistic", 0.0) is None:
        notes.append(Note("exact_fit", "The regression fits exactly; its F statistic is infinite."))
    return notes


def few_runs_notes(n_runs: int, n_states: int) -> list[Note]:
    """A sentence if R² is high by the number of states alone, whatever they mean.

    Of outcomes that have nothing to do with the shares, the mean of the centred R² is
    (k - 1) / (n - 1): the share of the variance that k states fit of n runs.
    """
    expected = (n_states - 1) / (n_runs - 1)
    if expected < MUCH_BY_CHANCE:
        return []
    return [
        Note(
            "few_runs",
            f"{n_runs} runs are few for {n_states} states: R² is {expected:.2f} on average even of "
            "outcomes that have nothing to do with the states. Read the adjusted R², or that of "
            "runs left out, beside it.",
        )
    ]


def explain_state(
    row: pd.Series,
    outcome: Outcome,
    n_runs: int,
    significant: bool,
    level: float,
) -> str:
    """A state's row of the coefficients in a sentence: whether it is a detour, and why.

    Args:
        row: of `COEFFICIENT_COLUMNS`, all but the explanation.
        outcome: what was regressed.
        n_runs: runs in the regression.
        significant: whether the regression is.
        level: the average run's outcome, which its shares weigh the coefficients to: time spent
            in a state with a larger coefficient, at the cost of all others, raises the outcome.
    """
    numbers = _coefficient(row)
    if not outcome.is_time:
        if not significant:
            return f"Not to be read, as the regression is not significant: {numbers}."
        more, side = ("larger", "above") if row["coefficient"] > level else ("smaller", "below")
        return (
            f"More time here goes with a {more} {outcome.name}: {numbers}, {side} the average "
            f"run's {level:.2f}."
        )
    without = int(row["n_converging_without"])
    visits = (
        f"{without} of {n_runs} runs converge without visiting it"
        if without
        else "every run that converges visits it"
    )
    if not significant:
        return f"No verdict, as the regression is not significant: {numbers}; {visits}."
    verdict = "Detour" if row["is_detour"] else "No detour"
    return f"{verdict}: {numbers}; {visits}{_caveat(row)}."


def _coefficient(row: pd.Series) -> str:
    """`positive coefficient 0.42 (0.31 to 0.55)`."""
    value, low, high = row["coefficient"], row["interval_low"], row["interval_high"]
    sign = "positive" if value > 0 else "negative" if value < 0 else "zero"
    interval = "" if np.isnan(low) else f" ({low:.2f} to {high:.2f})"
    return f"{sign} coefficient {value:.2f}{interval}"


def _caveat(row: pd.Series) -> str:
    """What makes a detour doubtful: an interval that holds 0, or visitors who are not later."""
    if not row["is_detour"]:
        return ""
    caveats = []
    if row["interval_low"] <= 0:
        caveats.append("the interval holds 0, so the sign is not certain")
    if row["mean_outcome_visiting"] <= row["mean_outcome_without"]:
        caveats.append("on average, runs that visit it converge no later than the others")
    return "".join(f"; but {caveat}" for caveat in caveats[:1]) + "".join(
        f"; and {caveat}" for caveat in caveats[1:]
    )
