"""Runs that were killed and resumed: which rows are of a branch that was given up.

A logger writes rows as training goes, so a column's steps ascend. Where they go back, the run was
resumed from an earlier checkpoint, and what was logged after it belongs to a branch that no
checkpoint continues; or else the file's rows are in no order. Both are told apart by the lengths of
the stretches in which steps ascend: those of rows in no order are two rows long on average.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# So many rows a stretch, on average, no shuffled table has.
_LONG_STRETCHES = 3.0


class GoneBack(NamedTuple):
    """A place at which steps go back: the numbers of the row and of the one before it."""

    before: int
    row: int


def goes_back(steps: NDArray[np.int64]) -> GoneBack | None:
    """Where a column's steps, (n,) in the file's order, go back as those of a resumed run do.

    Returns:
        The first place at which a stretch of ascending steps begins amid those before it; None if
        the steps ascend, are in no order, or are stretches that do not overlap.
    """
    starts = np.flatnonzero(np.diff(steps) < 0) + 1
    if not len(starts) or len(steps) / (len(starts) + 1) < _LONG_STRETCHES:
        return None
    lowest, highest = steps[0], steps[starts[0] - 1]
    for start, end in zip(starts, [*starts[1:], len(steps)], strict=True):
        if lowest <= steps[start] <= highest or lowest <= steps[end - 1] <= highest:
            return GoneBack(int(start) - 1, int(start))
        lowest, highest = min(lowest, steps[start]), max(highest, steps[end - 1])
    return None


def superseded(steps: NDArray[np.int64], present: Iterable[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Which rows of a run a later resumption makes void.

    Where a column's step is before that of its last row, the run was resumed: earlier rows from
    that step on, of all columns, are of a branch that was given up. Rows of the same step directly
    before it are the same moment's, as loggers write that are called several times a step.

    Args:
        steps: (n,) each row's step, in the file's order.
        present: of each column, (n,) whether a row has a value.

    Returns:
        (n,) whether the row is void.
    """
    before = np.full(len(steps), -1)  # the last row that a row goes back behind
    for of_column in present:
        rows = np.flatnonzero(of_column)
        back = np.flatnonzero(np.diff(steps[rows]) < 0)
        before[rows[back + 1]] = np.maximum(before[rows[back + 1]], rows[back])
    void = np.zeros(len(steps), dtype=bool)
    resumed: list[tuple[int, int]] = []  # from which row on, and at which step
    for row in np.flatnonzero(before >= 0):
        if any(before[row] < start and steps[row] >= first for start, first in resumed):
            continue  # a column that is logged seldom notices a resumption only here
        start = int(row)
        while start > 0 and steps[start - 1] == steps[row]:
            start -= 1
        void[:start] |= steps[:start] >= steps[row]
        resumed.append((start, int(steps[row])))
    return void
