"""How a smooth field's residuals scatter: heavy tails, and a size that changes over training.

A field (`training_maps.structure.field`) leaves a residual r_t of each step. Its noise is Student's
t (`training_maps.hmm.predictive`), of one size or of one that

- swells after large residuals and calms down again, as in GARCH (Bollerslev 1986):
  s_t = 1 - c + c h_t, with h_t a running average of the squared residuals; or
- switches between levels, as a Markov chain of its own does (Hamilton 1989). With the level
  switches how far a residual is followed: what noise on the observations adds to one checkpoint is
  gone at the next, so that of much noise little should be followed, and of little noise much. A
  field alone, which does not know the level, follows by the average. At level l the next residual
  is then expected to be f_l r_t-1 + g_l a_t-1, with a_t-1 the running average of residuals.

The shares f and g are one number each, the same for all metrics and places: with the level changes
how far a run is followed along the field, but not the field.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from training_maps.hmm.inference import expectation, log_likelihood
from training_maps.hmm.predictive import DEGREES, student_t
from training_maps.utils.numbers import Floats

# How much of a running average is kept from one checkpoint to the next, and the largest square that
# the average of squared residuals takes in, in its expected size.
_KEPT, _LARGEST = 0.8, 20.0
# Sizes of switching noise, as shares of the covariance, and how often a step keeps its size.
_LEVELS, _STAYING = (1 / 16, 1 / 4, 1.0, 4.0), 0.9
# How far residuals are followed leans on not at all, as if so many entries of them had shown that;
# and is learnt in so many rounds of EM.
_LEAN, _ROUNDS = 20.0, 4


class Noise(NamedTuple):
    """How residuals scatter.

    Attributes:
        degrees: of freedom of Student's t; infinity is the Gaussian.
        swell: c above: how far the size follows the last residuals, from 0 to below 1.
        switching: whether the size switches between `_LEVELS` instead.
    """

    degrees: float
    swell: float = 0.0
    switching: bool = False


#: All kinds that are tried.
NOISES = (
    *(Noise(degrees, swell) for swell in (0.0, 0.5, 0.9) for degrees in DEGREES),
    *(Noise(degrees, switching=True) for degrees in DEGREES),
)


class Residuals(NamedTuple):
    """What a field leaves of n steps.

    Attributes:
        products: (n, 3, 3) inner products of what `lagged` gives, under the inverse of the field's
            covariance; the first is the squared distance of the residual itself.
        log_determinant: (n,) of that covariance.
        seen: (n,) how many entries the next row has.
        lengths: (M,) steps of each run.
    """

    products: Floats
    log_determinant: Floats
    seen: Floats
    lengths: list[int]


def lagged(residuals: Floats, lengths: list[int]) -> Floats:
    """Each step's residual, the one before it, and the running average of those before it.

    Args:
        residuals: (n, d) of all runs, one after another.
        lengths: (M,) steps of each run.

    Returns:
        (n, d, 3); of a run's first step the last two are 0.
    """
    first = np.cumsum([0, *lengths[:-1]])
    averages = running_averages(residuals, lengths, _KEPT, np.zeros((len(first), 1)))
    found = np.stack([residuals, np.roll(residuals, 1, 0), np.roll(averages, 1, 0)], axis=2)
    found[first, :, 1:] = 0.0
    return found


def followed(noise: Noise, residuals: Residuals) -> Floats | None:
    """How far residuals are followed at each level of switching noise.

    By EM: the levels' posterior, with the weights that Student's t gives the steps (Lange, Little
    and Taylor 1989), and a weighted regression at each level.

    Returns:
        (L, 2), f and g of each level; None if the noise does not switch.
    """
    if not noise.switching:
        return None
    levels = np.array(_LEVELS)
    start, moves = _chain()
    lengths = np.array(residuals.lengths)
    found: Floats = np.zeros((len(levels), 2))
    for _ in range(_ROUNDS):
        squares = _distances(found, residuals) / levels
        density = _density(noise, squares, np.log(levels), residuals)
        weights = expectation(lengths, start, moves, density).posterior
        if np.isfinite(noise.degrees):
            seen = residuals.seen[:, None]
            weights = weights * (noise.degrees + seen) / (noise.degrees - 2 + squares)
        sums = np.tensordot(weights.T, residuals.products, axes=1)
        lean = (_LEAN * levels)[:, None, None] * np.eye(2)
        found = np.linalg.solve(sums[:, 1:, 1:] + lean, sums[:, 1:, :1])[:, :, 0]
    return np.asarray(found)


def log_densities(noise: Noise, following: Floats | None, residuals: Residuals) -> Floats:
    """Log density (M,) of each run's steps, in nats.

    Args:
        noise: how residuals scatter.
        following: as `followed` gives it.
        residuals: of the runs.
    """
    distance = residuals.products[:, 0, 0]
    if following is not None:
        levels = np.array(_LEVELS)
        squares = _distances(following, residuals) / levels
        density = _density(noise, squares, np.log(levels), residuals)
        start, moves = _chain()
        runs = np.split(density, np.cumsum(residuals.lengths)[:-1])
        return np.array([log_likelihood(np.array([len(run)]), start, moves, run) for run in runs])
    sizes: Floats = np.ones(1)
    if noise.swell:
        sizes = 1 - noise.swell + noise.swell * _recent(residuals)
    density = _density(noise, (distance / sizes)[:, None], np.log(sizes)[:, None], residuals)
    return np.add.reduceat(density[:, 0], np.cumsum([0, *residuals.lengths[:-1]]))


def _chain() -> tuple[Floats, Floats]:
    """Where levels begin, and how they move: they stay, or are drawn anew."""
    levels = len(_LEVELS)
    equally = np.full(levels, 1 / levels)
    return equally, (1 - _STAYING) * equally + _STAYING * np.eye(levels)


def _distances(following: Floats, residuals: Residuals) -> Floats:
    """Squared distances (n, L) of residuals from what is expected of them at each level."""
    parts = np.hstack([np.ones((len(following), 1)), -following])
    return np.einsum("li,nij,lj->nl", parts, residuals.products, parts, optimize=True)


def _density(noise: Noise, squares: Floats, log_size: Floats, residuals: Residuals) -> Floats:
    """Log density (n, L) of steps whose covariance has some size, from squares under that."""
    seen = residuals.seen[:, None]
    log_determinant = residuals.log_determinant[:, None] + seen * log_size
    return student_t(squares, log_determinant, seen, noise.degrees)


def _recent(residuals: Residuals) -> Floats:
    """h_t (n,): the running average of the squared residuals before each step, 1 at first."""
    lengths = residuals.lengths
    squares = np.minimum(residuals.products[:, 0, 0] / np.maximum(residuals.seen, 1), _LARGEST)
    recent = np.roll(running_averages(squares, lengths, _KEPT, np.ones(len(lengths))), 1)
    recent[np.cumsum([0, *lengths[:-1]])] = 1.0
    return recent


def running_averages(rows: Floats, lengths: list[int], kept: float, before: Floats) -> Floats:
    """Running averages of each run's rows: a share `kept` of the last average, else the new row.

    All runs go on side by side; scipy.signal takes longer to import than all of this to compute.

    Args:
        rows: (n, ...) the runs' rows, one run after another.
        lengths: (M,) rows of each run, at least 1.
        kept: from 0 to below 1.
        before: (M, ...) what each run's average is before its first row.

    Returns:
        (n, ...) the average after each row.
    """
    there = np.arange(max(lengths)) < np.array(lengths)[:, None]
    averages = np.zeros((*there.shape, *rows.shape[1:]))
    averages[there] = (1 - kept) * rows
    for step in range(there.shape[1]):
        averages[:, step] += kept * (averages[:, step - 1] if step else before)
    return np.asarray(averages[there])
