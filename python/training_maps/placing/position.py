"""How far a run is from the map's runs at the same step, whatever way it came.

Metrics go together: the size of the weights says most of their norms, and a run that leaves such a
relation has left what the others do, though each metric by itself is usual. So the metrics are
whitened by their covariance across runs at the same step, of all steps together (Mahalanobis 1936).
The distance is then from the `NEAREST` runs at that step, not from the mean of all: where a map
forks, the mean is a place where no run is.
"""

from __future__ import annotations

import numpy as np

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
    covariance = rows.T @ rows / max(len(rows), 1)
    covariance += _RIDGE * np.diag(covariance.diagonal()) + _LEAST * np.eye(len(covariance))
    size, directions = np.linalg.eigh(covariance)
    return np.asarray(directions / np.sqrt(size))


def log_distances(others: Floats, run: Floats) -> Floats:
    """Logarithm (T,) of a run's distance from the nearest of other runs at each step.

    Args:
        others: (M, T, d) whitened metrics of other runs; NaN where they have no checkpoint.
        run: (T, d) those of the run.

    Returns:
        Root mean square of the `NEAREST` distances; NaN at a step where the run has no checkpoint,
        or fewer of the others have one.
    """
    squares = np.square(others - run).sum(axis=2)
    if len(squares) < NEAREST:
        return np.full(len(run), np.nan)
    nearest = np.sort(squares, axis=0)[:NEAREST]  # NaN comes last
    return np.asarray(np.log(np.sqrt(nearest.mean(axis=0)) + _NO_DISTANCE))


def log_distances_of_each(values: Floats) -> Floats:
    """Logarithm (M, T) of every run's distance from the others, each whitened without the run."""
    found = []
    for run in range(len(values)):
        others = np.delete(values, run, axis=0)
        white = whitening(others)
        found.append(log_distances(others @ white, values[run] @ white))
    return np.array(found)
