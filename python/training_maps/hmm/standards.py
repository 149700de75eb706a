"""Mean and standard deviation of metrics, for z-scores: of a run, or common to all runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training_maps.utils.numbers import Floats

# A metric whose range in a run is below this share of its size varies by rounding only.
CONSTANT = 1e-12


@dataclass(frozen=True, eq=False)
class Standards:
    """Mean and standard deviation of each of d metrics over some checkpoints, for z-scores.

    Attributes:
        scale: (d,) the largest absolute values, which values are divided by first, so that neither
            huge nor tiny ones overflow when squared; 1 where that is 0.
        mean: (d,) of the scaled values.
        deviation: (d,) their population standard deviation; infinite for a constant metric, so
            that its z-scores are 0.
    """

    scale: Floats
    mean: Floats
    deviation: Floats

    @classmethod
    def of(cls, values: Floats) -> Standards:
        """Those of the checkpoints (n, d); NaN entries are missing."""
        size = np.nanmax(np.abs(values), axis=0)
        flat = np.nanmax(values, axis=0) - np.nanmin(values, axis=0) <= CONSTANT * size
        scale = np.where(size > 0, size, 1.0)
        mean = np.nanmean(values / scale, axis=0)
        deviation = np.sqrt(np.nanmean(np.square(values / scale - mean), axis=0))
        return cls(scale, mean, np.where(flat, np.inf, deviation))

    def z_scores(self, values: Floats) -> Floats:
        """Checkpoints (n, d) as z-scores; NaN entries stay NaN, and no zero is negative."""
        return (values / self.scale - self.mean) / self.deviation + 0.0


def common_standards(runs: Sequence[Floats]) -> Standards:
    """Standards common to all runs: the mean of their means, and their deviation within a run.

    The variance is the mean over the runs of that within a run; a run where the metric is constant
    adds 0. All runs count alike, however long they are.

    Args:
        runs: (T, d) metrics of each run; NaN entries are missing.
    """
    each = [Standards.of(values) for values in runs]
    scale = Standards.of(np.vstack(list(runs))).scale
    # A run that is 0 has a scale of 1, whatever that of the others.
    shrunk = np.minimum([of_run.scale / scale for of_run in each], 1.0)
    means = np.array([of_run.mean for of_run in each]) * shrunk
    flat = np.isinf([of_run.deviation for of_run in each])
    deviations = np.where(flat, 0.0, [of_run.deviation for of_run in each]) * shrunk
    # Squared as shares of the largest, so that none vanishes.
    largest = deviations.max(axis=0)
    shares = deviations / np.where(largest > 0, largest, 1.0)
    deviation = largest * np.sqrt(np.square(shares).mean(axis=0))
    return Standards(scale, means.mean(axis=0), np.where(flat.all(axis=0), np.inf, deviation))
