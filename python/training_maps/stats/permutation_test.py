"""A permutation test of whether groups of runs differ in a number, and Holm's correction.

The statistic is the F of a one-way analysis of variance (for two groups, the square of Student's
t). Its distribution is not taken from a table, which would suppose normal values of equal variance:
it is that of the same values dealt to groups of the same sizes at random, which is exact for any
values, ties and capped ones included, if the groups do not matter (Fisher 1935; Pitman 1937).
Permutations keep the total sum of squares, so that F grows with the share of it that is between
groups, and that is what is compared. SciPy's `permutation_test` refuses a group of one value, and a
branch that one run takes is such a group.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np

# All ways to deal values to groups are tried if they are no more than this.
MOST_EXACT = 20_000
# Shares of the sum of squares that differ by less are equal but for rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class PermutationTest:
    """Whether groups differ.

    Attributes:
        f: the statistic; None where values do not vary within groups, so that it is infinite, or
            where every group has one value.
        p_value: share of the ways to deal the values to the groups, the real one included, whose
            statistic is at least as large.
        exact: whether all ways were tried; else a random sample of them.
        n_permutations: how many were tried.
        smallest_p_value: the smallest p-value that groups of these sizes could have had with these
            values; a test of few values cannot be significant.
    """

    f: float | None
    p_value: float
    exact: bool
    n_permutations: int
    smallest_p_value: float

    def to_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return asdict(self)


def permutation_test(
    values: Sequence[float] | np.ndarray,
    groups: Sequence[Hashable],
    *,
    n_permutations: int = 9999,
    random_state: int = 0,
) -> PermutationTest:
    """Test whether the means of two or more groups differ.

    Args:
        values: (n,) finite numbers.
        groups: (n,) each value's group; at least two, and values that are not all equal.
        n_permutations: how many random permutations to try where all would be too many; p is then
            (1 + those at least as extreme) / (1 + n_permutations), never 0 (Phipson and Smyth
            2010).
        random_state: seed of those.

    Raises:
        ValueError: if there is one group only, the values do not vary, or lengths disagree.
    """
    values = np.asarray(values, dtype=float)
    names = sorted(set(groups), key=str)
    if len(groups) != len(values) or len(names) < 2 or np.ptp(values) == 0:
        raise ValueError("a permutation test needs two groups or more and values that vary")
    labels = np.array([names.index(group) for group in groups])
    sizes = np.bincount(labels).tolist()
    centred = values - values.mean()
    explained = float(_explained(centred[None], labels)[0])
    f = _f_statistic(explained, len(values), len(sizes))
    ways = math.factorial(len(values)) // math.prod(map(math.factorial, sizes))
    if ways <= MOST_EXACT:
        found = _explained(centred[_all_deals(tuple(sizes))], np.sort(labels))
        p = float((found >= explained - _ROUNDING).mean())
        smallest = float((found >= found.max() - _ROUNDING).mean())
        return PermutationTest(f, p, True, ways, smallest)
    found = _explained(shuffled(centred, n_permutations, random_state), labels)
    extreme = int((found >= explained - _ROUNDING).sum())
    tried = n_permutations + 1
    return PermutationTest(f, (1 + extreme) / tried, False, n_permutations, 1 / tried)


def shuffled(values: np.ndarray, n_permutations: int, random_state: int) -> np.ndarray:
    """Random permutations of values (n,), one a row; (n_permutations, n)."""
    rows = np.tile(values, (n_permutations, 1))
    return np.random.default_rng(random_state).permuted(rows, axis=1, out=rows)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number by Holm's (1979) step-down method, in the given order.

    Rejecting those below a level keeps the probability of any false rejection at that level,
    however the tests depend on each other.
    """
    order = np.argsort(p_values, kind="stable")
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, i in enumerate(order.tolist()):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def _explained(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Share of the sum of squares that is between groups (m,), of rows (m, n) whose mean is 0."""
    sums = values @ np.eye(labels.max() + 1)[labels]
    between = (np.square(sums) / np.bincount(labels)).sum(axis=1)
    return between / (values[0] @ values[0])  # permuted rows have the same sum of squares


def _f_statistic(explained: float, n: int, n_groups: int) -> float | None:
    if n <= n_groups or 1 - explained <= _ROUNDING:
        return None
    return explained / (n_groups - 1) / ((1 - explained) / (n - n_groups))


@lru_cache(maxsize=8)
def _all_deals(sizes: tuple[int, ...]) -> np.ndarray:
    """All ways (m, n) to deal n positions to groups: a row is the first group's, then the next."""
    return np.array(list(_deals(sizes, tuple(range(sum(sizes))))), dtype=int)


def _deals(sizes: tuple[int, ...], positions: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """All ways to deal positions to groups: the first group's, then the second's, ..."""
    if len(sizes) == 1:
        yield positions
        return
    for chosen in combinations(positions, sizes[0]):
        rest = tuple(p for p in positions if p not in chosen)
        for others in _deals(sizes[1:], rest):
            yield chosen + others
