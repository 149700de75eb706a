"""Which runs each refit sees: random pairs of disjoint halves, or all runs but one where few.

With at least `LEAST_RUNS` runs, fits 2p and 2p + 1 see the two halves of random pair p, which share
no run (of an odd number of runs, one is in neither). With fewer, halves would be too small to fit
anything to, and fit i leaves out the i-th run of a random order. These fits share most of their
runs, so that agreement between them says less: only that no single run makes the map.

A half holds out validation runs of its own, by the share that the observations have.

**Folds.** Half of ten runs is enough to ask whether the same states come out, but not to learn what
runs without states look like. So with fewer than `ENOUGH_TO_HALVE` runs, the first `FOLDS` fits are
those of a cross-validation: each leaves out a sixth of the runs, every run is left out once, and
models are judged by these alone (`training_maps.reproducibility.rates`). Halves come after them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from training_maps.hmm.observations import Observations

Scheme = Literal["halves", "folds", "leave_one_out"]
#: With fewer runs than this, single runs are left out in place of halves.
LEAST_RUNS = 10
#: With fewer runs than this, folds judge the models in place of halves.
ENOUGH_TO_HALVE = 20
#: How many fits the cross-validation is; an even number, so that pairs of halves begin with one.
FOLDS = 6


def scheme_of(n_runs: int, number: int) -> Scheme:
    """What a fit sees of this many runs: a half, all folds but one, or all runs but one."""
    if n_runs < LEAST_RUNS:
        return "leave_one_out"
    return "folds" if number < _first_half(n_runs) else "halves"


def judging_scheme(n_runs: int) -> Scheme:
    """Which fits to this many runs judge the models: the first ones."""
    return scheme_of(n_runs, 0)


def _first_half(n_runs: int) -> int:
    """The number of the first fit to a half."""
    return FOLDS if LEAST_RUNS <= n_runs < ENOUGH_TO_HALVE else 0


def n_fits(n_runs: int, halves: int) -> int:
    """How many fits there are.

    Args:
        n_runs: number of runs.
        halves: pairs of halves asked for.

    Returns:
        Two for each pair, and the folds where there are any; or as many runs left out as cost no
        more than the pairs would: `halves` times all the data. A single run cannot be left out.
    """
    if n_runs >= LEAST_RUNS:
        return _first_half(n_runs) + 2 * halves if halves else 0
    return min(n_runs, halves * n_runs // (n_runs - 1)) if n_runs > 1 else 0


def runs_of(seeds: Sequence[int], number: int, random_state: int) -> list[int]:
    """The runs that a fit sees.

    Args:
        seeds: of all runs.
        number: of the fit, from 0 on. It is drawn without regard to how many others there are, so
            that more of them leave those already made as they are.
        random_state: seed of the draws.

    Returns:
        Their seeds, ascending; empty if there are too few runs for a fit of this number.
    """
    n, scheme = len(seeds), scheme_of(len(seeds), number)
    if scheme != "halves":
        order = np.random.default_rng([random_state]).permutation(np.sort(seeds))
        parts = n if scheme == "leave_one_out" else FOLDS
        if number >= parts or n < 2:
            return []
        return sorted(int(seed) for seed in np.delete(order, np.s_[number::parts]))
    pair, side = divmod(number, 2)
    order = np.random.default_rng([random_state, pair]).permutation(np.sort(seeds))
    half = n // 2
    return sorted(int(seed) for seed in order[side * half : (side + 1) * half])


def observations_of(
    obs: Observations, seeds: Sequence[int], validation_share: float, random_state: Sequence[int]
) -> Observations:
    """The observations of some runs, split anew into training and validation runs.

    Their rows are those of all runs' table: of z-scores by a scale common to all runs, that scale
    stays the one thing that all halves share.

    Args:
        obs: observations of all runs.
        seeds: of the runs to keep.
        validation_share: share of them held out, rounded down.
        random_state: seed of that draw, one or several numbers.
    """
    from training_maps.hmm.observations import Observations  # with pandas; not to plan jobs

    # The tiny addition is that of `training_maps.hmm.observations`.
    n_validation = math.floor(validation_share * len(seeds) + 1e-9)
    order = np.random.default_rng(list(random_state)).permutation(np.sort(seeds))
    table = obs.table[obs.table["seed"].isin(seeds)].reset_index(drop=True)
    split = np.where(table["seed"].isin(order[:n_validation]), "validation", "train")
    return Observations(table.assign(split=split), obs.metrics)


def pairs_of(numbers: Sequence[int], scheme: Scheme) -> list[tuple[int, int]]:
    """Which fits are compared with each other.

    Args:
        numbers: of the fits that there are.
        scheme: how their runs were drawn.

    Returns:
        Halves are compared with the other half of their pair. Fits that leave out a run are
        compared with the next one, in a circle, so that each has a part in two comparisons; of two
        fits there is one comparison.
    """
    numbers = sorted(numbers)
    if scheme == "halves":
        return [(a, a + 1) for a in numbers if a % 2 == 0 and a + 1 in numbers]
    if len(numbers) < 3:
        return [(numbers[0], numbers[1])] if len(numbers) == 2 else []
    return list(zip(numbers, numbers[1:] + numbers[:1], strict=True))
