"""When a run will converge, or what else will come of it, by what it has been up to a checkpoint.

At every step there is a ridge regression of the outcome on the metrics at that step, across the
map's runs. Its penalty is the one with the smallest mean absolute error on runs left out, and where
none is better than the median of the runs by `WORTH_IT`, the prediction is that median. Times are
regressed as logarithms: that a run takes twice as long is as likely early as late.

Of a time, the runs that count at a step are those that have not converged by then, if it is known
that the new one has not; else all. A run that never converged counts as its last step.

**Intervals** are of the errors on runs left out: they hold the share `LEVEL` of runs like the
map's. With fewer than 19 runs they are of Student's t.

**Slow** is a run that converges later than three quarters of the map's runs. It is called so when
the probability of that (the share of the errors that would bring it there) exceeds a limit, which
is set so that of the map's other runs at most 5 % are ever called slow before they converge
(`training_maps.placing.usual.limit_of`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from training_maps.placing.usual import limit_of
from training_maps.utils.numbers import Floats

#: Share of runs like the map's whose outcome an interval holds.
LEVEL = 0.9
#: Fewest runs that a prediction is made from.
LEAST_RUNS = 5
#: Share of the median's error that a regression must save.
WORTH_IT = 0.2
# In units of the mean eigenvalue of the metrics' products, the last so large that nothing is left.
_PENALTIES = (0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
_SLOWEST = 0.25


@dataclass(frozen=True, eq=False)
class Regressions:
    """A regression at each of T steps on d metrics, across M runs.

    Attributes:
        weights: (T, d) of the metrics.
        constant: (T,) what is added; NaN where too few runs count.
        errors: (T, M) outcome less prediction of each run, predicted by the others; NaN where it
            does not count.
        slow_limit: of the probability of being slow, beyond which a run is called so.
    """

    weights: Floats
    constant: Floats
    errors: Floats
    slow_limit: float = math.inf

    @classmethod
    def of(cls, values: Floats, outcome: Floats, counts: NDArray[np.bool_]) -> Self:
        """Fit them.

        Args:
            values: (M, T, d) metrics of the map's runs without gaps.
            outcome: (M,) what came of each.
            counts: (M, T) whether a run counts at a step.
        """
        runs, steps, d = values.shape
        weights, constant = np.zeros((steps, d)), np.full(steps, np.nan)
        errors = np.full((steps, runs), np.nan)
        for t in range(steps):
            used = counts[:, t]
            if used.sum() >= LEAST_RUNS:
                weights[t], constant[t], errors[t, used] = _ridge(values[used, t], outcome[used])
        return cls(weights, constant, errors)

    def predict(self, values: Floats) -> Floats:
        """Predictions (..., T) for metrics (..., T, d)."""
        return np.asarray((values * self.weights).sum(axis=-1) + self.constant)

    def interval(self) -> tuple[Floats, Floats]:
        """What to add to predictions (T,) for the lower and the upper end of their interval."""
        ends = np.array([_ends(errors[~np.isnan(errors)]) for errors in self.errors])
        return ends[:, 0], ends[:, 1]

    def chance_above(self, predictions: Floats, limit: float) -> Floats:
        """Probability (..., T) that the outcome is above a limit, by the errors of the runs."""
        known = ~np.isnan(self.errors)
        above = known & (predictions[..., None] + np.nan_to_num(self.errors) > limit)
        share = above.sum(axis=-1) / np.maximum(known.sum(axis=-1), 1)
        return np.where(known.any(axis=-1), share, 0.0)


@dataclass(frozen=True, eq=False)
class Forecast:
    """What the outcome of a run is predicted from.

    Attributes:
        about: what the outcome is, as `regression.json` has it: `name`, `unit`, `is_time`,
            `column`, `direction`, `threshold`.
        outcome: (M,) what came of each of the map's runs; times in steps. NaN if not known.
        censored: (M,) whether a run ended before its time.
        unit: what is added to a time before its logarithm is taken: the first distance of steps.
        slow_after: the time after which a run is slow.
        any: the regressions where it is not known whether a run has converged.
        open: those where it is known that it has not; the same of an outcome that is no time.
    """

    about: Mapping[str, Any]
    outcome: Floats
    censored: NDArray[np.bool_]
    unit: float
    slow_after: float
    any: Regressions
    open: Regressions

    @classmethod
    def of(
        cls,
        about: Mapping[str, Any],
        values: Floats,
        steps: Floats,
        outcome: Floats,
        censored: NDArray[np.bool_],
    ) -> Self:
        """Fit the regressions.

        Args:
            about: what the outcome is.
            values: (M, T, d) metrics of the map's runs without gaps.
            steps: (T,) of the map.
            outcome: (M,) what came of each run; NaN if not known.
            censored: (M,) whether it ended before its time.
        """
        unit = float(np.diff(steps).min()) if len(steps) > 1 else 1.0
        known = ~np.isnan(outcome)
        counted = np.repeat(known[:, None], len(steps), axis=1)
        if not about["is_time"]:
            fitted = Regressions.of(values, outcome, counted)
            return cls(about, outcome, censored, unit, math.inf, fitted, fitted)
        logs = np.log(np.where(known, outcome, 1.0) + unit)
        still = counted & (np.where(known, outcome, -np.inf)[:, None] > steps)
        slow_after = float(np.quantile(outcome[known], 1 - _SLOWEST)) if known.any() else math.inf
        fitted, fitted_open = (Regressions.of(values, logs, use) for use in (counted, still))
        slow = known & (outcome > slow_after)
        limit = math.log(slow_after + unit) if math.isfinite(slow_after) else math.inf
        return cls(
            about, outcome, censored, unit, slow_after,
            _with_limit(fitted, logs, slow, known, limit),
            _with_limit(fitted_open, logs, slow, known, limit),
        )  # fmt: skip

    @property
    def is_time(self) -> bool:
        """Whether the outcome is a time, in steps."""
        return bool(self.about["is_time"])

    def predict(
        self, values: Floats, steps: Floats, now: Floats, open_: bool
    ) -> tuple[Floats, Floats, Floats, Floats]:
        """Predicted outcome of a run at each step, its interval, and whether the run is slow.

        Args:
            values: (T, d) metrics of the run, without gaps.
            steps: (T,) of the map.
            now: (T,) the steps at which it is asked, below which no time can lie.
            open_: whether it is known that the run has not converged by then.

        Returns:
            (T,) prediction, lower and upper end, and probability of being slow over its limit: 1
            and less is not slow. NaN where the map has too few runs to tell.
        """
        fitted = self.open if open_ and self.is_time else self.any
        predicted = fitted.predict(values)
        low, high = fitted.interval()
        if not self.is_time:
            return predicted, predicted + low, predicted + high, np.zeros(len(steps))
        chance = fitted.chance_above(predicted, math.log(self.slow_after + self.unit))
        over = chance / fitted.slow_limit if fitted.slow_limit else np.where(chance > 0, np.inf, 0)
        least = now if open_ else 0.0
        ends = [self._time(predicted + x, least) for x in (0.0, low, high)]
        if open_ and math.isfinite(fitted.slow_limit):
            over = np.where(now >= self.slow_after, np.inf, over)
        return ends[0], ends[1], ends[2], over

    def _time(self, logarithm: Floats, least: Floats | float) -> Floats:
        """A time of its regressed logarithm, not below `least`."""
        largest = math.log(1e3 * (np.nanmax(self.outcome) + self.unit))
        time = np.exp(np.minimum(logarithm, largest)) - self.unit
        return np.asarray(np.maximum(time, least))


def _with_limit(
    fitted: Regressions, logs: Floats, slow: NDArray[np.bool_], known: NDArray[np.bool_],
    limit: float,
) -> Regressions:  # fmt: skip
    """The regressions with the limit of the probability of being slow."""
    others = known & ~slow
    if not slow.any() or others.sum() < LEAST_RUNS:
        return fitted
    predicted = logs - fitted.errors  # (T, M): each run by the others
    chance = np.array(
        [
            fitted.chance_above(np.nan_to_num(predicted[:, run], nan=-np.inf), limit).max()
            for run in np.flatnonzero(others)
        ]
    )
    found = min(limit_of(chance)[0], 1.0)
    return Regressions(fitted.weights, fitted.constant, fitted.errors, found)


def _ridge(metrics: Floats, outcome: Floats) -> tuple[Floats, float, Floats]:
    """Weights (d,), constant and errors (n,) on runs left out, of the best penalty.

    Leaving a run out of a ridge regression divides its error by one less its leverage.
    """
    mean, spread = metrics.mean(axis=0), metrics.std(axis=0)
    scale = np.where(spread > 1e-12 * np.abs(mean), spread, np.inf)
    x = (metrics - mean) / scale
    centred = outcome - outcome.mean()
    d = x.shape[1]
    # Of the n eigenvectors of x x.T those d at most that are not of 0: the others say nothing.
    vectors, singular, _ = np.linalg.svd(x / np.sqrt(d), full_matrices=False)
    size, along = singular**2, vectors.T @ centred
    errors = _left_out_of_median(outcome)
    best, least = None, (1 - WORTH_IT) * np.abs(errors).mean()
    for penalty in _PENALTIES:
        kept = size / (size + penalty)
        found = (centred - vectors @ (kept * along)) / _left(vectors, kept)
        found = found - np.median(found)
        error = np.abs(found).mean()
        if error < least:
            best, least, errors = penalty, error, found
    if best is None:
        return np.zeros(d), float(np.median(outcome)), errors
    kept = size / (size + best)
    weights = (x.T @ (vectors @ (along / (size + best)))) / d / scale
    rest = centred - vectors @ (kept * along)
    shift = float(np.median(rest / _left(vectors, kept)))
    return weights, float(outcome.mean() - mean @ weights + shift), errors


def _left(vectors: Floats, kept: Floats) -> Floats:
    """One less the leverage (n,) of each run, of what a regression keeps of each eigenvector."""
    n = len(vectors)
    return np.asarray(np.maximum(1 - vectors**2 @ kept - 1 / n, 1e-3))


def _left_out_of_median(outcome: Floats) -> Floats:
    """Each outcome (n,) less the median of the others."""
    order = np.argsort(outcome, kind="stable")
    ordered = outcome[order]
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    others = len(outcome) - 1
    middle = [
        np.where(i < rank, ordered[i], ordered[i + 1]) for i in ((others - 1) // 2, others // 2)
    ]
    return np.asarray(outcome - np.mean(middle, axis=0))


def _ends(errors: Floats) -> tuple[float, float]:
    """What the share `LEVEL` of further errors lies between; NaN for too few errors."""
    if len(errors) < LEAST_RUNS:
        return math.nan, math.nan
    tail = (1 - LEVEL) / 2
    return -limit_of(-errors, tail)[0], limit_of(errors, tail)[0]
