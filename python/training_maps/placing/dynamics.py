"""A run followed checkpoint by checkpoint: its states so far, and how surprising each step is.

The forward pass of the forward-backward algorithm (Rabiner 1989, section III.A), with noise as
heavy-tailed as the map's runs have it (`training_maps.hmm.predictive`). What is said of a
checkpoint depends on that one and those before it alone.

**Gaps.** A metric that is missing counts as at the checkpoint before. A step of the map at which
the run has no checkpoint is passed over: the chain goes on, and at the next checkpoint an
autoregressive model starts from halfway there (linear interpolation), which says where a run is,
and nothing about whether its step was usual. Such a step has no surprise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training_maps.hmm.base import HMM
from training_maps.hmm.predictive import heavy_tailed_densities
from training_maps.utils.numbers import Floats


def without_gaps(values: Floats) -> Floats:
    """A run's rows (T, d) with every gap filled, none from later than the next checkpoint.

    Entries that are missing at a checkpoint are those of the one before, and 0 before the first;
    rows between checkpoints are interpolated, those outside are the nearest one's.
    """
    there = ~np.isnan(values).all(axis=1)
    known = values[there]
    last = np.zeros(values.shape[1])
    for row in known:
        gaps = np.isnan(row)
        row[gaps] = last[gaps]
        last = row
    at = np.flatnonzero(there)
    if not len(at):
        return np.zeros_like(values)
    steps = np.arange(len(values))
    return np.stack([np.interp(steps, at, column) for column in known.T], axis=1)


def follow(hmm: HMM, degrees: float, values: Floats) -> tuple[Floats, Floats]:
    """States and surprise of M runs at each of T steps, from nothing later than that step.

    Args:
        hmm: the model.
        degrees: degrees of freedom of its noise.
        values: (M, T, d) metrics in the model's scale; NaN where an entry or a checkpoint is
            missing.

    Returns:
        Probability (M, T, K) of each state, given the run up to that step; and minus the log
        density (M, T) of each checkpoint given those before, in nats: NaN at a run's first
        checkpoint, after a step without one, and where there is none.
    """
    runs, steps = values.shape[:2]
    there = has_checkpoint(values)
    rows = np.concatenate([without_gaps(run) for run in values])
    lengths = np.full(runs, steps, dtype=np.int64)
    density = heavy_tailed_densities(hmm, rows, lengths, degrees).reshape(runs, steps, -1)
    density = np.where(there[:, :, None], density, 0.0)
    with np.errstate(divide="ignore"):  # the logarithm of 0 is minus infinity
        start, transition = np.log(hmm.startprob_), np.log(hmm.transmat_)
    states = np.empty_like(density)
    surprise = np.full((runs, steps), np.nan)
    arriving = np.tile(start, (runs, 1))
    for t in range(steps):
        joint = arriving + density[:, t]
        likelihood = np.logaddexp.reduce(joint, axis=1)
        states[:, t] = joint - likelihood[:, None]
        if t:
            told = there[:, t] & there[:, t - 1]
            surprise[told, t] = -likelihood[told]
        arriving = np.logaddexp.reduce(states[:, t, :, None] + transition, axis=1)
    return np.exp(states), surprise


def has_checkpoint(values: Floats) -> NDArray[np.bool_]:
    """Where (..., T) a run of rows (..., T, d) has a checkpoint."""
    return np.asarray(~np.isnan(values).all(axis=-1))
