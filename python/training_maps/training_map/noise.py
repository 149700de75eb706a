"""States that differ from a neighbour in the size or shape of their noise alone.

A state of a fitted model has a rule, by which a checkpoint follows (of autoregressive states, from
the one before; a Gaussian state's rule is its mean), and noise about it. A second state is the
cheapest way to allow for noise that changes, so that of each two neighbours, states that some run
goes between, it is asked what the rule of their own is worth to them, and what the noise of their
own. Rules and covariances are fitted anew to all runs but a fifth, given the states that the
model's paths have, and judged by how likely they make the checkpoints of that fifth, in nats a
checkpoint:

- what noise is worth: both states have rules and noise of their own, against rules of their own
  and one noise in common;
- what rules are worth: the same, against one rule in common and noise of their own.

The two differ in noise alone if noise is surely worth something (its 95 % interval over runs lies
above 0), and rules surely less than `MOST` of that. Not that they are worth nothing: a line through
one piece of a curve is not that through the next, however smooth training is, and with enough runs
any difference is seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from training_maps.hmm.covariances import floored
from training_maps.hmm.missing_values import gaps_filled
from training_maps.stats.mean_interval import mean_interval
from training_maps.training_map.elements import NOISE_ALONE
from training_maps.utils.notes import Note
from training_maps.utils.numbers import Floats, Ints

if TYPE_CHECKING:
    import pandas as pd

    from training_maps.model_selection.select import SelectedModel

#: What rules may be worth at most, as a share of what noise is worth.
MOST = 0.1
FOLDS = 5
# Checkpoints of a state for each metric that a fold's fit needs.
_LEAST_ROWS = 3
# As strong as the priors of models with states.
_RIDGE = 1e-2


@dataclass(frozen=True)
class Worth:
    """What rules and noise of their own are worth to two states, in nats a checkpoint.

    Attributes:
        rules: mean over runs, and the 95 % interval.
        noise: likewise.
    """

    rules: tuple[float, float, float]
    noise: tuple[float, float, float]

    @property
    def is_noise_alone(self) -> bool:
        """Whether the two differ in their noise alone."""
        return self.noise[1] > 0 and self.rules[2] <= MOST * self.noise[0]


@dataclass(frozen=True)
class _Rows:
    """The checkpoints that follow another, or all of them for Gaussian states.

    Attributes:
        rows: (n, d) checkpoints, gaps filled.
        causes: (n, p) what a rule makes them of: 1, and the checkpoint before if states move.
        own: whether each metric depends on its own last value only.
        states: (n,) state of each.
        runs: (n,) number of its run.
    """

    rows: Floats
    causes: Floats
    own: bool
    states: Ints
    runs: Ints

    def of(self, which: Any) -> _Rows:
        """Some of them."""
        return _Rows(
            self.rows[which], self.causes[which], self.own, self.states[which], self.runs[which]
        )


def noise_of(model: SelectedModel, paths: pd.DataFrame) -> dict[int, int]:
    """By state, the lowest earlier neighbour that it differs from in noise alone.

    Args:
        model: as `training_maps.select_hmm` returns it.
        paths: `seed`, `step`, `state`, a row a checkpoint, sorted by seed and step.
    """
    found: dict[int, int] = {}
    rows = _rows_of(model, paths)
    for a, b in neighbours(paths):
        if b not in found:
            worth = worth_of(rows, a, b, model.hmm.covariance_floor)
            if worth is not None and worth.is_noise_alone:
                found[b] = a
    return found


def noise_notes(found: Mapping[int, int]) -> list[Note]:
    """A note for each state that differs from a neighbour in noise alone."""
    return [
        Note(NOISE_ALONE, f"State {b} differs from state {a} in its noise alone: it is no phase.")
        for b, a in sorted(found.items())
    ]


def neighbours(paths: pd.DataFrame) -> list[tuple[int, int]]:
    """The pairs of states that some run goes between, the lower number first; ascending."""
    pairs = set()
    for _, states in paths.groupby("seed")["state"]:
        pairs |= {(min(a, b), max(a, b)) for a, b in pairwise(states.tolist()) if a != b}
    return sorted(pairs)


def worth_of(rows: _Rows, a: int, b: int, floor: float) -> Worth | None:
    """What rules and noise of their own are worth to two states; None where that is not known.

    Args:
        rows: checkpoints of all states.
        a: a state.
        b: another.
        floor: smallest eigenvalue of a covariance.
    """
    both = rows.of(np.isin(rows.states, (a, b)))
    _, run_of, lengths = np.unique(both.runs, return_inverse=True, return_counts=True)
    fold_of = run_of % FOLDS
    rules, noise = np.empty(len(both.rows)), np.empty(len(both.rows))
    for fold in np.unique(fold_of):
        learnt = both.of(fold_of != fold)
        counts = [np.count_nonzero(learnt.states == state) for state in (a, b)]
        if min(counts) < _LEAST_ROWS * rows.rows.shape[1]:
            return None
        judged = fold_of == fold
        rules[judged], noise[judged] = _gains(learnt, both.of(judged), (a, b), floor)
    by_run = [np.bincount(run_of, gain) / lengths for gain in (rules, noise)]
    intervals = [mean_interval(values) for values in by_run]
    if intervals[0] is None or intervals[1] is None:
        return None
    return Worth((float(by_run[0].mean()), *intervals[0]), (float(by_run[1].mean()), *intervals[1]))


def _gains(
    learnt: _Rows, judged: _Rows, states: tuple[int, int], floor: float
) -> tuple[Floats, Floats]:
    """What rules and noise of their own gain on each checkpoint that is judged."""
    of_state = [learnt.of(learnt.states == state) for state in states]
    own_rules = [_rule(part, np.ones(len(part.rows))) for part in of_state]
    residuals = [_residuals(part, rule) for part, rule in zip(of_state, own_rules, strict=True)]
    own_noise = [_covariance(part, floor) for part in residuals]
    # A checkpoint counts for the common rule by how little noise there is in its state.
    sizes = [np.exp(np.linalg.slogdet(noise)[1] / len(noise)) for noise in own_noise]
    common_rule = _rule(learnt, 1 / np.where(learnt.states == states[0], *sizes))
    beside = [_covariance(_residuals(part, common_rule), floor) for part in of_state]
    common_noise = _covariance(np.vstack(residuals), floor)
    rules, noise = np.empty(len(judged.rows)), np.empty(len(judged.rows))
    for i, state in enumerate(states):
        at = judged.states == state
        part = judged.of(at)
        own = _log_density(_residuals(part, own_rules[i]), own_noise[i])
        rules[at] = own - _log_density(_residuals(part, common_rule), beside[i])
        noise[at] = own - _log_density(_residuals(part, own_rules[i]), common_noise)
    return rules, noise


def _rows_of(model: SelectedModel, paths: pd.DataFrame) -> _Rows:
    """The checkpoints as the model's kind of states makes them."""
    x, lengths, _ = model.observations.sequences()
    filled = gaps_filled(x, lengths)
    ones = np.ones((len(x), 1))
    runs = np.repeat(np.arange(len(lengths)), lengths)
    states = paths["state"].to_numpy()
    if model.kind == "gaussian":
        return _Rows(filled, ones, False, states, runs)
    causes = np.hstack([ones, np.roll(filled, 1, axis=0)])
    later = np.append(False, runs[1:] == runs[:-1])
    return _Rows(filled, causes, model.kind == "autoregressive", states, runs).of(later)


def _rule(rows: _Rows, weights: Floats) -> Floats:
    """The weighted regression (p, d) of checkpoints on their causes."""
    weighted = rows.causes * (weights / weights.mean())[:, None]
    squares, products = weighted.T @ rows.causes, weighted.T @ rows.rows
    squares[np.diag_indices(len(squares))] += np.append(0, np.full(len(squares) - 1, _RIDGE))
    if not rows.own:
        return np.asarray(np.linalg.solve(squares, products))
    d = rows.rows.shape[1]
    rule = np.zeros((1 + d, d))
    for metric in range(d):
        used = [0, 1 + metric]
        rule[used, metric] = np.linalg.solve(squares[np.ix_(used, used)], products[used, metric])
    return rule


def _residuals(rows: _Rows, rule: Floats) -> Floats:
    return np.asarray(rows.rows - rows.causes @ rule)


def _covariance(residuals: Floats, floor: float) -> Floats:
    """The covariance (d, d) of residuals (n, d) about 0, with the prior of models with states."""
    scatter = residuals.T @ residuals + _RIDGE * np.eye(residuals.shape[1])
    return floored(scatter / len(residuals), floor, "full")


def _log_density(residuals: Floats, covariance: Floats) -> Floats:
    """Log density (n,) of residuals (n, d), without the constant that all have."""
    factor = np.linalg.cholesky(covariance)
    white = np.linalg.solve(factor, residuals.T)
    return np.asarray(-0.5 * np.square(white).sum(axis=0) - np.log(np.diagonal(factor)).sum())
