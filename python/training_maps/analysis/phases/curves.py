"""When a curve leaves chance for good: the definition behind memorisation and generalisation.

Hu et al. 2023 (section 3) call phase transitions "periods in training which contain an inflection
in the loss that is then sustained (no return to chance performance)", and place them by eye. Here
is a rule. A curve rises from *chance* to a *plateau*; where on this way it is, is its height: 0 at
chance, 1 at the plateau.

**Smoothing.** Heights are smoothed by a running median over `window` checkpoints (fewer at the
ends). It leaves a step where it is, and takes out spikes, up or down, of fewer than half of them.

**The transition** is the first checkpoint at which the smoothed height is at least `level`, and
after which the curve does not return to chance: of that checkpoint and all later ones at most the
share `dips` are back at chance (smoothed height below 0.1), and the last is not. The level keeps
noise at chance from passing for a beginning, the share of dips forgives collapses that are
recovered from, as networks trained at a high learning rate have them.

**Onset and completion.** The onset is the checkpoint after the last one before the transition that
is at chance; completion the first one from the transition on with a smoothed height of at least
0.9, if there is one.

**Chance and plateau of an accuracy.** Chance is given, or the mean of the runs' first checkpoints.
The plateau is the highest that any of the runs ends on: the median over the last tenth of its
checkpoints. A plateau that is not above chance by `SMALLEST_GAIN` of what is left above chance is
none: then no run has the transition.

**Chance and plateau of a loss,** of which neither is known: the curve is minus the logarithm of the
loss, and the two levels are those of its best change point, by least squares, of the smoothed curve
from one mean to another. They count if the loss falls at least by half at it, and if two levels fit
better than a straight line does, which is what steady decay looks like. A loss that has fallen to a
tenth of its first values is down, and counts as that tenth: logarithms would else see no end to a
training loss that goes on falling, and put the change where nothing happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from training_maps.settings.sections import PhaseTransitionsSettings
from training_maps.utils.numbers import Floats

Status = Literal["found", "not reached", "from the start"]

# Heights at which a curve has left chance, and has arrived.
CHANCE_HEIGHT = 0.1
FULL_HEIGHT = 0.9
# Share of what is left above chance that a plateau must gain to be one.
SMALLEST_GAIN = 0.2
# Share of a run's checkpoints, at its end, that its own plateau is the median of.
END = 0.1
# What a loss must fall by at a change point, in logarithms.
SMALLEST_FALL = float(np.log(2))
# How many times smaller than at first a loss is when it is down: further falls count no more.
DOWN = 10.0
# Fewest checkpoints on either side of a loss's change point.
FEWEST = 3


@dataclass(frozen=True)
class Rule:
    """The parameters of the definition.

    Attributes:
        level: smoothed height that counts as having happened, above 0.1.
        window: checkpoints of the running median; odd.
        dips: share of the later checkpoints that may be back at chance.
        chance: accuracy at chance; None takes the mean of the runs' first checkpoints.
    """

    level: float = PhaseTransitionsSettings.level
    window: int = PhaseTransitionsSettings.window
    dips: float = PhaseTransitionsSettings.dips
    chance: float | None = PhaseTransitionsSettings.chance


@dataclass(frozen=True)
class Found:
    """When a curve leaves chance for good; positions of checkpoints, from 0.

    Attributes:
        status: "found"; "not reached" by the curve's end; or "from the start", where the first
            checkpoint is past it already.
        onset: the first checkpoint after chance; None unless found.
        at: the transition; None unless found.
        completion: the first checkpoint on the plateau; None if there is none.
    """

    status: Status
    onset: int | None = None
    at: int | None = None
    completion: int | None = None


def running_median(values: Floats, window: int) -> Floats:
    """Median (n,) over the `window` checkpoints around each; fewer at the ends, still centred."""
    half, n = window // 2, len(values)
    smooth = np.array(values, dtype=float)
    if n >= window:
        windows = np.lib.stride_tricks.sliding_window_view(smooth.copy(), window)
        smooth[half : n - half] = np.median(windows, axis=1)
    for i in [*range(min(half, n)), *range(max(n - half, half), n)]:
        reach = min(half, i, n - 1 - i)
        smooth[i] = np.median(values[i - reach : i + reach + 1])
    return smooth


def leave_chance(heights: Floats, rule: Rule) -> Found:
    """When a curve leaves chance for good, by the definition of the module.

    Args:
        heights: (n,) height at each checkpoint, 0 at chance and 1 at the plateau; NaN, where a run
            has diverged, counts as chance.
        rule: the parameters.
    """
    smooth = running_median(np.nan_to_num(heights, nan=0.0), rule.window)
    low = smooth < CHANCE_HEIGHT
    later = np.arange(len(smooth), 0, -1)  # how many checkpoints from each one on
    share_low = np.cumsum(low[::-1])[::-1] / later
    candidates = np.flatnonzero((smooth >= rule.level) & (share_low <= rule.dips))
    if low[-1] or not candidates.size:
        return Found("not reached")
    at = int(candidates[0])
    before = np.flatnonzero(low[:at])
    onset = int(before[-1]) + 1 if before.size else 0
    full = np.flatnonzero(smooth[at:] >= FULL_HEIGHT)
    completion = at + int(full[0]) if full.size else None
    return Found("found" if at else "from the start", onset, at, completion)


def plateau(curves: Sequence[Floats], chance: float) -> float | None:
    """The highest level that any of some accuracies ends on; None if that is next to chance."""
    best = max((_end(curve) for curve in curves), default=chance)
    return best if best - chance >= SMALLEST_GAIN * (1 - chance) else None


def first_mean(curves: Sequence[Floats]) -> float:
    """Mean of the curves' first values that are known; 0 if there is none."""
    firsts = np.array([curve[0] for curve in curves if len(curve)])
    known = firsts[np.isfinite(firsts)]
    return float(known.mean()) if known.size else 0.0


def loss_heights(loss: Floats, rule: Rule) -> Floats | None:
    """Heights (n,) of a loss between the two levels of its best change point.

    None where there is no change point: too few checkpoints, a change of less than half, or a
    curve that a straight line fits better. Losses that are not finite count as the largest one.
    """
    positive = loss[np.isfinite(loss) & (loss > 0)]
    if len(loss) < 2 * FEWEST or not positive.size:
        return None
    clean = np.where(np.isfinite(loss), loss, positive.max())
    first = float(np.median(clean[:FEWEST]))
    down = first / DOWN if first > 0 else float(positive.min())
    curve = -np.log(np.maximum(clean, down))
    smooth = running_median(curve, rule.window)
    split, residual = change_point(smooth)
    before, after = float(np.median(smooth[:split])), float(np.median(smooth[split:]))
    if after - before < SMALLEST_FALL or residual >= _line_residual(smooth):
        return None
    return (curve - before) / (after - before)


def change_point(values: Floats) -> tuple[int, float]:
    """The split of a curve into two means with the least squared residual, and that residual.

    Returns:
        Position of the first value of the second part, at least `FEWEST` from either end, and the
        sum of squared residuals about the two means.
    """
    n = len(values)
    centred = values - values.mean()
    sums = np.cumsum(centred)
    splits = np.arange(FEWEST, n - FEWEST + 1)
    # With the mean taken out, the squares between the two parts are s^2 / k + s^2 / (n - k).
    gain = np.square(sums[splits - 1]) * (1 / splits + 1 / (n - splits))
    best = int(gain.argmax())
    return int(splits[best]), float(centred @ centred - gain[best])


def _line_residual(values: Floats) -> float:
    """Sum of squared residuals about the least-squares line."""
    time = np.arange(len(values)) - (len(values) - 1) / 2
    centred = values - values.mean()
    return float(centred @ centred - (time @ centred) ** 2 / (time @ time))


def _end(curve: Floats) -> float:
    """Median of the last tenth of a curve, NaN counting as 0."""
    n = max(1, int(np.ceil(END * len(curve))))
    return float(np.median(np.nan_to_num(curve[-n:], nan=0.0)))
