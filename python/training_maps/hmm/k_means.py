"""Clusters of rows: Lloyd's algorithm from greedy k-means++ seeds, as scikit-learn has it.

A job that fits models would spend most of a second on importing scikit-learn for this alone. What
is drawn, and in which order, is the same as there (Arthur and Vassilvitskii 2007; the best of
2 + log k candidates for each seed but the first), so that the same source gives the same clusters.
"""

from __future__ import annotations

import numpy as np

from training_maps.utils.numbers import Floats, Ints
from training_maps.utils.threads import one_thread


def k_means(
    X: Floats, k: int, draw: np.random.RandomState, rounds: int, tolerance: float = 0.0
) -> tuple[Ints, Floats]:
    """Cluster rows.

    Args:
        X: (n, d) rows without missing entries.
        k: number of clusters, from 1 to n.
        draw: source of randomness.
        rounds: rounds of Lloyd's algorithm at most.
        tolerance: it ends when the centres' squared moves in a round sum to at most this part of
            the columns' mean variance, or no row changes its cluster.

    Returns:
        (n,) clusters and (k, d) centres. Some cluster may have no row, if there are fewer distinct
        rows than clusters.
    """
    mean = X.mean(axis=0)
    rows = np.ascontiguousarray(X - mean)
    least = tolerance * float(np.mean(np.var(X, axis=0)))
    with one_thread():  # always the same sums
        centres = _seeds(rows, k, draw)
        before: Ints = np.empty(0, dtype=np.int64)
        for _ in range(rounds):
            clusters = _nearest(rows, centres)
            moved = _centres(rows, clusters, centres)
            shift = float(np.square(moved - centres).sum())
            centres = moved
            if np.array_equal(clusters, before):
                break
            before = clusters
            if shift <= least:
                clusters = _nearest(rows, centres)
                break
        else:
            clusters = _nearest(rows, centres)
    return clusters, centres + mean


def _seeds(rows: Floats, k: int, draw: np.random.RandomState) -> Floats:
    """Rows (k, d) far from each other, by greedy k-means++."""
    n = len(rows)
    sizes = np.einsum("ij,ij->i", rows, rows)

    def squared_distances(centres: Floats) -> Floats:
        found = -2 * (centres @ rows.T)
        found += np.einsum("ij,ij->i", centres, centres)[:, None]
        found += sizes
        return np.maximum(found, 0, out=found)

    chosen = [int(draw.choice(n, p=np.full(n, 1.0 / n)))]
    nearest = squared_distances(rows[chosen])[0]
    for _ in range(1, k):
        at = draw.uniform(size=2 + int(np.log(k))) * nearest.sum()
        candidates = np.searchsorted(np.cumsum(nearest), at).clip(max=n - 1)
        with_each = np.minimum(nearest, squared_distances(rows[candidates]))
        best = int(with_each.sum(axis=1).argmin())
        nearest = with_each[best]
        chosen.append(int(candidates[best]))
    return rows[chosen]


def _nearest(rows: Floats, centres: Floats) -> Ints:
    """The nearest centre of each row."""
    distances = np.square(centres).sum(axis=1) - 2 * (rows @ centres.T)
    return distances.argmin(axis=1).astype(np.int64)


def _centres(rows: Floats, clusters: Ints, before: Floats) -> Floats:
    """Means of the clusters (k, d); an empty one moves to the row farthest from its centre."""
    k = len(before)
    of_cluster = (clusters == np.arange(k)[:, None]).astype(float)
    counts = of_cluster.sum(axis=1)
    totals = of_cluster @ rows
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        away = np.square(rows - before[clusters]).sum(axis=1)
        farthest = np.argpartition(away, -len(empty))[: -len(empty) - 1 : -1]
        for new, row in zip(empty, farthest, strict=True) if away.max() > 0 else ():
            old = clusters[row]
            totals[old] -= rows[row]
            totals[new] = rows[row]
            counts[old] -= 1
            counts[new] = 1
    there = counts > 0
    means = totals / np.where(there, counts, 1)[:, None]
    means[~there] = means[counts.argmax()]  # fewer distinct rows than clusters
    return means
