"""How far a run is from the map's runs at the same step, whatever way it came.

Metrics go together: the size of the weights says most of their norms, and a run that leaves such a
relation has left what the others do, though each metric by itself is usual. So the metrics are
whitened by their covariance across runs at the same step, of all steps together (Mahalanobis 1936).
The distance is then from the `NEAREST` runs at that step, not from the mean of all: where a map
forks, the mean is a place where no run is.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from training_maps.utils.numbers import Floats

#: Runs that a distance is taken from. With one, two odd runs would vouch for each other.
NEAREST = 3
# Share of a metric's own variance that is added to it, so that no combination of metrics counts for
# nothing though the runs differ in it by rounding alone; and the least variance, in squared
# standard deviations of a run's z-scored metric.
_RIDGE = 1e-3
_LEAST = 1e-6
# Below this, logarithms of distances are of rounding errors.
_NO_DISTANCE = 1e-9


def whitening(values: Floats) -> Floats:
    """The map (d, d) under which deviations from the mean of all runs have unit covariance.

    Args:
        values: (M, T, d) metrics of M runs at T steps; NaN where one is missing.
    """
    deviations = values - np.nanmean(values, axis=0)
    rows = deviations[~np.isnan(deviations).any(axis=2)]
    return _whitening(rows.T @ rows / max(len(rows), 1))


def _whitening(covariance: Floats) -> Floats:
    """The maps (..., d, d) under which covariances (..., d, d) become the unit matrix."""
    least = _LEAST * np.eye(covariance.shape[-1])
    own = np.einsum("...ii,ij->...ij", covariance, np.eye(covariance.shape[-1]))
    size, directions = np.linalg.eigh(covariance + _RIDGE * own + least)
    return np.asarray(directions / np.sqrt(size)[..., None, :])


def log_distances(others: Floats, run: Floats) -> Floats:
    """Logarithm (T,) of a run's distance from the nearest of other runs at each step.

    Args:
        others: (M, T, d) whitened metrics of other runs; NaN where they have no checkpoint.
        run: (T, d) those of the run.

    Returns:
        Root mean square of the `NEAREST` distances; NaN at a step where the run has no checkpoint,
        or fewer of the others have one.
    """
    return _log_nearest(np.square(others - run).sum(axis=2))


def _log_nearest(squares: Floats) -> Floats:
    """Logarithm (T,) of the distance from the nearest, by squares (M, T) of distances."""
    if len(squares) < NEAREST:
        return np.full(squares.shape[1], np.nan)
    nearest = np.partition(squares, NEAREST - 1, axis=0)[:NEAREST]  # NaN comes last
    return np.asarray(np.log(np.sqrt(nearest.mean(axis=0)) + _NO_DISTANCE))


def log_distances_of_each(values: Floats) -> Floats:
    """Logarithm (M, T) of every run's distance from the others, each whitened without the run."""
    found = []
    for run, white in enumerate(whitening_of_others(values)):
        away = (values - values[run]) @ white
        squares = np.einsum("mtd,mtd->mt", away, away)
        found.append(_log_nearest(np.delete(squares, run, axis=0)))
    return np.array(found)


def whitening_of_others(values: Floats) -> Floats:
    """`whitening` (M, d, d) of all runs but one, for each of M runs, in time linear in M.

    Args:
        values: (M, T, d) metrics; NaN where one is missing.
    """
    # About medians, so that no run moves the others far from where sums of squares are exact.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a step at which no run has the metric
        about: Floats = values - np.nanmedian(values, axis=0)
    known: NDArray[np.bool_] = ~np.isnan(about)
    number = _of_others(known.astype(float))
    total = _of_others(np.where(known, about, 0.0))
    mean = np.divide(total, number, out=np.zeros_like(total), where=number > 0)
    whole = np.asarray(known.all(axis=2))
    rows = np.where(whole[..., None], about, 0.0)
    squares = _of_others(rows.transpose(0, 2, 1) @ rows)
    crossed = _of_others(rows).transpose(0, 2, 1) @ mean
    n_rows = _of_others(whole.astype(float))
    of_means = (mean * n_rows[..., None]).transpose(0, 2, 1) @ mean
    covariance = squares - crossed - crossed.transpose(0, 2, 1) + of_means
    return _whitening(covariance / np.maximum(n_rows.sum(axis=1), 1.0)[:, None, None])


def _of_others(values: Floats) -> Floats:
    """For each of M runs the sum (M, ...) of the others' values; nothing is taken away again.

    A run whose values are huge would leave its rounding in what is left after a subtraction.
    """
    found = np.zeros_like(values)
    np.cumsum(values[:-1], axis=0, out=found[1:])
    found[:-1] += np.cumsum(values[:0:-1], axis=0)[::-1]
    return found
