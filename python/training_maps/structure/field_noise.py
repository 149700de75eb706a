"""How a smooth field's residuals scatter: heavy tails, and a size that changes over training.

Of each step, a field (`training_maps.structure.field`) leaves what is not expected of it. Its noise
is Student's t (`training_maps.hmm.predictive`), of one size or of one that

- swells after large residuals and calms down again, as in GARCH (Bollerslev 1986):
  s_t = 1 - c + c h_t, with h_t a running average of the squared residuals; or
- switches between levels, as a Markov chain of its own does (Hamilton 1989). Then residuals are
  followed (`training_maps.structure.following`): of noise of one size, the field's regressions
  know how far a row is to be followed; of noise that changes they know it on average only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from training_maps.hmm.inference import log_likelihood
from training_maps.hmm.predictive import DEGREES, student_t
from training_maps.structure.following import KEPT, running_averages
from training_maps.utils.numbers import Floats

# The largest square that the average of squared residuals takes in, in its expected size.
_LARGEST = 20.0
# Sizes of switching noise, as shares of the covariance, and how often a step keeps its size.
_LEVELS, _STAYING = (1 / 16, 1 / 4, 1.0, 4.0), 0.9


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
        distance: (n,) squared distance of the next row from what is expected, under the covariance.
        followed: (n,) the same once residuals are followed.
        log_determinant: (n,) of the covariance.
        seen: (n,) how many entries the next row has.
        lengths: (M,) steps of each run.
    """

    distance: Floats
    followed: Floats
    log_determinant: Floats
    seen: Floats
    lengths: list[int]


def log_densities(noise: Noise, residuals: Residuals) -> Floats:
    """Log density (M,) of each run's steps, in nats."""
    distance, followed, log_determinant, seen, lengths = residuals
    sizes: Floats = np.ones((1, 1))
    if noise.switching:
        distance, sizes = followed, np.array([_LEVELS])
    elif noise.swell:
        sizes = (1 - noise.swell + noise.swell * _recent(residuals))[:, None]
    density = student_t(
        distance[:, None] / sizes,
        log_determinant[:, None] + seen[:, None] * np.log(sizes),
        seen[:, None],
        noise.degrees,
    )
    runs = np.split(density, np.cumsum(lengths)[:-1])
    if not noise.switching:
        return np.array([run.sum() for run in runs])
    levels = len(_LEVELS)
    equally = np.full(levels, 1 / levels)
    moves = (1 - _STAYING) * equally + _STAYING * np.eye(levels)
    return np.array([log_likelihood(np.array([len(run)]), equally, moves, run) for run in runs])


def _recent(residuals: Residuals) -> Floats:
    """h_t (n,): the running average of the squared residuals before each step, 1 at first."""
    lengths = residuals.lengths
    squares = np.minimum(residuals.distance / np.maximum(residuals.seen, 1), _LARGEST)
    recent = np.roll(running_averages(squares, lengths, KEPT, np.ones(len(lengths))), 1)
    recent[np.cumsum([0, *lengths[:-1]])] = 1.0
    return recent
