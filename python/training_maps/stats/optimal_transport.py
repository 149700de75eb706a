"""The least cost of moving one distribution over a few points to another, for many pairs."""

from __future__ import annotations

import numpy as np

# Mass and cost (relative to the largest distance) below which a difference is rounding.
_MASS_ROUNDING = 1e-14

_COST_ROUNDING = 1e-12

# Pairs solved at once; bounds memory to some tens of MB.
_PAIRS_AT_ONCE = 20_000


def line_cost(differences: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Least cost of moving each row's surplus to its deficits, between points on a line.

    Mass crosses from each point to the next: what is too much so far.

    Args:
        differences: surplus (> 0) or deficit (< 0) at each point, (n_rows, n_points).
        positions: of the points, ascending, (n_points,).

    Returns:
        Cost of each row, (n_rows,).
    """
    return np.abs(differences.cumsum(axis=1)[:, :-1]) @ np.diff(positions).astype(float)


def mean_apart(values: np.ndarray) -> np.ndarray:
    """Mean over the other rows of the sum of absolute differences, without forming the pairs.

    In a sorted column, a value is above those before it and below those after it, so that sums of
    parts of the column are all it takes.

    Args:
        values: (n_rows, n_columns).

    Returns:
        (n_rows,); NaN of a lone row.
    """
    n = len(values)
    if n < 2:
        return np.full(n, np.nan)
    values = values - np.median(values, axis=0)  # equal rows are 0 apart, to the last digit
    order = values.argsort(axis=0)
    ascending = np.take_along_axis(values, order, axis=0)
    before = ascending.cumsum(axis=0) - ascending
    n_before = np.arange(n)[:, None]
    after = ascending.sum(axis=0) - before - ascending
    sums = n_before * ascending - before + after - (n - 1 - n_before) * ascending
    apart = np.empty_like(sums)
    np.put_along_axis(apart, order, sums, axis=0)
    return np.maximum(apart.sum(axis=1), 0.0) / (n - 1)


def transport_cost(differences: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Least cost of moving each row's surplus to its deficits: exact optimal transport.

    Only the difference between two distributions needs moving. It is a minimum-cost flow over the
    states, solved for all rows at once by successive shortest paths: a plan stays optimal for what
    it has moved so far if each step takes the cheapest path from a surplus to a deficit, where a
    path may also undo earlier moves at their cost. A linear program per row gives the same numbers
    but takes a millisecond or more each, and a thousand runs are half a million rows.

    Args:
        differences: surplus (> 0) or deficit (< 0) of each state, (n_rows, n_states); rows sum to
            0.
        distances: cost of moving a unit from state to state, (n_states, n_states), symmetric,
            nonnegative, zero on the diagonal, with the triangle inequality.

    Returns:
        Cost of each row, (n_rows,).
    """
    distances = np.asarray(distances, dtype=float)
    costs = np.zeros(len(differences))
    for start in range(0, len(differences), _PAIRS_AT_ONCE):
        rows = slice(start, start + _PAIRS_AT_ONCE)
        costs[rows] = (_cheapest_plans(differences[rows], distances) * distances).sum(axis=(1, 2))
    return costs


def _cheapest_plans(differences: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Optimal plan of each row, (n_rows, n_states, n_states): mass moved from state to state."""
    remaining = np.array(differences, dtype=float)
    n_rows, n_states = remaining.shape
    plans = np.zeros((n_rows, n_states, n_states))
    open_rows = np.arange(n_rows)
    while True:
        left = remaining[open_rows]
        unfinished = (left > _MASS_ROUNDING).any(axis=1) & (left < -_MASS_ROUNDING).any(axis=1)
        open_rows = open_rows[unfinished]
        if not len(open_rows):
            return plans
        left, plan = remaining[open_rows], plans[open_rows]
        _move_along_cheapest_path(left, plan, distances)
        remaining[open_rows], plans[open_rows] = left, plan


def _move_along_cheapest_path(
    remaining: np.ndarray, plans: np.ndarray, distances: np.ndarray
) -> None:
    """Move as much as fits along each row's cheapest path; updates both arrays in place."""
    costs, before = _cheapest_paths(remaining > _MASS_ROUNDING, plans, distances)
    costs[remaining >= -_MASS_ROUNDING] = np.inf
    rows = np.arange(len(remaining))
    # Each path from its end back to its start, filled up with -1.
    path = [costs.argmin(axis=1)]
    while (path[-1] >= 0).any():
        path.append(np.where(path[-1] >= 0, before[rows, path[-1]], -1))
    nodes = np.stack(path, axis=1)
    on_path = nodes[:, 1:] >= 0
    ends, starts = nodes[:, 0], nodes[rows, on_path.sum(axis=1)]
    row, arc = on_path.nonzero()
    origin, target = nodes[row, arc + 1], nodes[row, arc]

    planned = plans[row, target, origin]
    undo = planned > _MASS_ROUNDING
    amount = np.minimum(remaining[rows, starts], -remaining[rows, ends])
    np.minimum.at(amount, row[undo], planned[undo])
    plans[row[undo], target[undo], origin[undo]] -= amount[row[undo]]
    plans[row[~undo], origin[~undo], target[~undo]] += amount[row[~undo]]
    remaining[rows, starts] -= amount
    remaining[rows, ends] += amount


def _cheapest_paths(
    sources: np.ndarray, plans: np.ndarray, distances: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Bellman-Ford from any source state of each row, over moves and undoing planned moves.

    Returns:
        Cost of the cheapest path to each state and the state before it on that path (-1 at a
        path's start), both (n_rows, n_states).
    """
    undoing = plans.transpose(0, 2, 1) > _MASS_ROUNDING
    arc_costs = np.where(undoing, -distances.T, distances)
    slack = _COST_ROUNDING * distances.max(initial=0.0)
    costs = np.where(sources, 0.0, np.inf)
    before = np.full(sources.shape, -1)
    for _ in range(sources.shape[1]):
        through = costs[:, :, None] + arc_costs
        best = through.argmin(axis=1)
        candidates = np.take_along_axis(through, best[:, None, :], axis=1)[:, 0]
        # Only a real gain counts: rounding must not close a path into a circle.
        better = candidates < costs - slack
        if not better.any():
            break
        costs = np.where(better, candidates, costs)
        before = np.where(better, best, before)
    return costs, before
