"""What is usual among the map's runs, and beyond what a run is said to leave it.

Two things are looked at, at every step: how far a run is from the nearest of the map's runs
(`position`), and how surprising its last step is (`dynamics`). Each is compared with the same of
the map's runs at that step, every one of them seen by the others alone: less the median, in units
of the spread (1.4826 median absolute deviations, a standard deviation of Gaussians). The larger of
the two, each in units of what a run usually comes to over its length, is how unusual the run is.

**Warnings.** A run is looked at hundreds of times. So that of runs like the map's at most `WARNED`
get any warning over their whole length, the limit is one on a run's *highest* value: that of the M
runs of the map which a further run exceeds with probability `WARNED` at most, by its rank alone
(conformal prediction; Vovk, Gammerman and Shafer 2005): the value of rank
ceil((1 - `WARNED`)(M + 1)). It takes 19 runs. With fewer, the limit is the upper end of a
prediction interval of Student's t for the highest values, or the highest of all if that is more,
and rests on their being Gaussian.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training_maps.utils.numbers import Floats

#: Fewest runs of a map that can tell what is usual among them.
LEAST_RUNS = 5
#: Of runs like the map's, the share that may get any warning over their whole length.
WARNED = 0.05
#: What is looked at, in this order.
KINDS = ("position", "dynamics")
# Steps before and after one whose values say with its own what is usual there.
_AROUND = 2
# Added to the spread, in the values' own units (log distance, nats): less is rounding.
_LEAST_SPREAD = 0.05
_DEVIATIONS = 1.4826


@dataclass(frozen=True, eq=False)
class Usual:
    """What the map's M runs do at each of T steps.

    Attributes:
        centre: (2, T) median of each of `KINDS`.
        spread: (2, T) their spread; infinite where nothing is known.
        size: (2,) what a run's highest value of each kind usually is, in units of the spread.
        limit: of the highest value of a run, beyond which it gets a warning.
        by_rank: whether the limit holds by ranks alone.
        runs: (M, T) how unusual each of the map's runs is, seen by the others; NaN where it has no
            checkpoint.
    """

    centre: Floats
    spread: Floats
    size: Floats
    limit: float
    by_rank: bool
    runs: Floats

    @classmethod
    def of(cls, values: Floats, there: NDArray[np.bool_]) -> Usual:
        """What is usual, by the values of each run.

        Args:
            values: (2, M, T) of each of `KINDS`; NaN where there is none.
            there: (M, T) whether a run has a checkpoint.
        """
        centre, spread = (np.array(x) for x in zip(*map(_usual, values), strict=True))
        parts = (values - centre[:, None]) / spread[:, None]
        size = np.maximum(np.median(_highest(parts), axis=1), 1.0)
        runs = _largest(parts / size[:, None, None])
        runs[~there] = np.nan
        limit, by_rank = limit_of(_highest(runs))
        return cls(centre, spread, size, limit, by_rank, runs)

    def unusual(self, values: Floats) -> tuple[Floats, Floats]:
        """How unusual a run is at each step (T,), and which kind says so (T,), as its index.

        Args:
            values: (2, T) of each of `KINDS`; NaN where there is none, which is not unusual.
        """
        parts = (values - self.centre) / self.spread / self.size[:, None]
        filled = np.where(np.isnan(parts), -np.inf, parts)
        return _largest(parts), filled.argmax(axis=0)

    def percentile(self, unusual: Floats) -> Floats:
        """The percentage (T,) of the map's runs that are at least as unusual at that step.

        A run like the map's counts itself: it is 100 / (M + 1) at least, and each percentage is as
        likely as any other (the p-value of conformal prediction).
        """
        known = ~np.isnan(self.runs)
        higher = (known & (self.runs >= unusual)).sum(axis=0)
        return np.asarray(100.0 * (1 + higher) / (1 + known.sum(axis=0)))


def limit_of(highest: Floats, share: float = WARNED) -> tuple[float, bool]:
    """What a further run's highest value exceeds with probability `share` at most.

    Args:
        highest: (M,) the highest value of each run.
        share: the probability.

    Returns:
        The limit, and whether it holds by ranks alone.
    """
    ordered = np.sort(highest)
    n = len(ordered)
    rank = math.ceil((1 - share) * (n + 1) - 1e-9)
    if rank <= n:
        return float(ordered[rank - 1]), True
    from scipy.special import stdtrit

    wide = stdtrit(n - 1, 1 - share) * math.sqrt(1 + 1 / n)
    return float(max(ordered[-1], ordered.mean() + wide * ordered.std(ddof=1))), False


def _usual(values: Floats) -> tuple[Floats, Floats]:
    """Median and spread (T,) of the values (M, T) at each step and around it."""
    steps = values.shape[1]
    centre, spread = np.zeros(steps), np.full(steps, np.inf)
    for t in range(steps):
        near = values[:, max(0, t - _AROUND) : t + _AROUND + 1]
        near = near[~np.isnan(near)]
        if len(near):
            centre[t] = np.median(near)
            spread[t] = _DEVIATIONS * np.median(np.abs(near - centre[t])) + _LEAST_SPREAD
    return centre, spread


def _largest(parts: Floats) -> Floats:
    """The largest of the kinds (2, ...), of those that are known; -inf where none is."""
    return np.asarray(np.where(np.isnan(parts), -np.inf, parts).max(axis=0))


def _highest(values: Floats) -> Floats:
    """The highest (..., M) of each run's values (..., M, T)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a run without any value
        highest = np.nanmax(values, axis=-1)
    return np.asarray(np.nan_to_num(highest, nan=0.0, neginf=0.0))
