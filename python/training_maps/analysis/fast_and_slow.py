"""Which transitions the runs that converge early take, and which those that converge late.

Runs that converge before the median time are the fast ones, those after it, or never, the slow
ones. A transition is counted for a run if the run takes it before any run has converged: until then
all have had the same time. (Up to its own convergence a slow run has more time, after it less, so
that either count would differ for transitions that have nothing to do with convergence.) Hu et al.
2023 point at such edges by eye (sections 3.1 to 3.3, Figures 2 to 5); here each has Fisher's exact
test of its counts, adjusted by Holm's method for the number of transitions that some of these runs
take and others do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import comb
from typing import Any

import pandas as pd

from training_maps.settings.sections import ForksSettings
from training_maps.stats.permutation_test import holm
from training_maps.training_map.paths import path_times

# A half of so few runs shows nothing.
FEWEST = 3


@dataclass(frozen=True)
class TransitionUse:
    """How many fast and slow runs take a transition before any run has converged.

    Attributes:
        transition: the states from and to which it leads.
        n_fast: how many of the fast runs.
        n_slow: how many of the slow ones.
        p_value: of the difference, adjusted; 1 where all of these runs take it, or none.
        differs: whether that is below the significance.
    """

    transition: tuple[int, int]
    n_fast: int
    n_slow: int
    p_value: float
    differs: bool


@dataclass(frozen=True)
class FastAndSlow:
    """The transitions of fast and of slow runs.

    Attributes:
        n_fast: runs that converge before the median time.
        n_slow: runs that converge after it, or never.
        until_step: the step at which the first run converges.
        transitions: all that fast and slow runs take by then, ascending.
    """

    n_fast: int
    n_slow: int
    until_step: int
    transitions: tuple[TransitionUse, ...]

    def to_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return asdict(self)


def fast_and_slow(
    state_paths: pd.DataFrame,
    convergence: pd.DataFrame,
    *,
    significance: float = ForksSettings.significance,
) -> FastAndSlow | None:
    """Compare the transitions of runs that converge early with those of runs that do so late.

    Args:
        state_paths: table of `seed`, `step`, `state`, one row a checkpoint.
        convergence: table of `seed`, `step`, `converged`, one row a run.
        significance: level that an adjusted p-value must be below.

    Returns:
        The comparison; None where fewer than three runs are fast, or slow, or none converges.
    """
    known = convergence[convergence["seed"].isin(state_paths["seed"])]
    fast, slow = _halves(known)
    if min(len(fast), len(slow)) < FEWEST:
        return None
    until = int(known.loc[known["converged"].astype(bool), "step"].min())
    taken = _taken(state_paths[state_paths["step"] <= until])
    edges = sorted({edge for seed in (*fast, *slow) for edge in taken.get(seed, ())})

    def count(seeds: Sequence[int], edge: tuple[int, int]) -> int:
        return sum(edge in taken.get(seed, ()) for seed in seeds)

    counts = {edge: (count(fast, edge), count(slow, edge)) for edge in edges}
    tested = [edge for edge in edges if sum(counts[edge]) < len(fast) + len(slow)]
    p_values = holm([fisher_exact(*counts[edge], len(fast), len(slow)) for edge in tested])
    adjusted = dict.fromkeys(edges, 1.0) | dict(zip(tested, p_values, strict=True))
    return FastAndSlow(
        len(fast),
        len(slow),
        until,
        tuple(
            TransitionUse(edge, *counts[edge], adjusted[edge], adjusted[edge] < significance)
            for edge in edges
        ),
    )


def fisher_exact(n_fast: int, n_slow: int, all_fast: int, all_slow: int) -> float:
    """The two-sided p-value of Fisher's exact test of counts out of two groups.

    The probability, given all margins, of counts that are as improbable or more (Fisher 1935). As
    SciPy's, without the half second that its import takes.
    """
    total = n_fast + n_slow
    first, last = max(0, total - all_slow), min(all_fast, total)
    ways = [comb(all_fast, first) * comb(all_slow, total - first)]
    for k in range(first, last):  # each from the one before: of thousands of runs they are huge
        more = (all_fast - k) * (total - k)
        ways.append(ways[-1] * more // ((k + 1) * (all_slow - total + k + 1)))
    return sum(way for way in ways if way <= ways[n_fast - first]) / sum(ways)


def _halves(convergence: pd.DataFrame) -> tuple[Sequence[int], Sequence[int]]:
    """The seeds of fast and of slow runs; those that converge at the median time are neither."""
    converged = convergence["converged"].astype(bool)
    # Runs that never converge come after all others.
    times = convergence["step"].astype(float).where(converged, float("inf"))
    middle = times.median() if converged.any() else float("inf")
    fast = convergence.loc[times < middle, "seed"].tolist()
    slow = convergence.loc[(times > middle) | (~converged), "seed"].tolist()
    return fast, slow


def _taken(state_paths: pd.DataFrame) -> dict[int, set[tuple[int, int]]]:
    """The transitions that each run takes, by seed."""
    stays = path_times(state_paths)
    moves = stays.assign(before=stays.groupby("seed")["state"].shift(1)).dropna(subset=["before"])
    taken: dict[int, set[tuple[int, int]]] = {}
    for seed, start, end in zip(moves["seed"], moves["before"], moves["state"], strict=True):
        taken.setdefault(int(seed), set()).add((int(start), int(end)))
    return taken
