"""The rows that a hidden Markov model is fitted to: what EM starts from and counts of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training_maps.forward_backward import Expectation, Floats, Ints, PackedSequences


@dataclass(frozen=True)
class Statistics:
    """What the M-step needs of the posteriors.

    Attributes:
        start: (K,) expected number of sequences that start in each state.
        transitions: (K, K) expected number of transitions.
        rows: (K,) expected number of rows in each state.
        sums: (K, d) expected sum of a state's rows.
        squares: expected sum of their products: (K, d, d) outer products for full and tied
            covariances, (K, d) squares for diagonal and spherical ones.
    """

    start: Floats
    transitions: Floats
    rows: Floats
    sums: Floats
    squares: Floats


@dataclass(frozen=True)
class TrainingRows:
    """The rows of all sequences, packed by time, with the products that every M-step needs.

    Attributes:
        X: (n, d) packed rows.
        moments: (n, d (d + 1) / 2) products of each row's features, upper triangle row by row, for
            full and tied covariances; (n, d) squares for diagonal and spherical ones. Second
            moments are then one matrix product with the posteriors.
        outer: whether moments are products of pairs, not squares.
        packed: the order of the rows.
    """

    X: Floats
    moments: Floats
    outer: bool
    packed: PackedSequences

    @classmethod
    def of(cls, X: Floats, lengths: Ints, covariance_type: str) -> TrainingRows:
        """Pack the concatenated sequences `X` (n, d) of these `lengths`."""
        packed = PackedSequences.from_lengths(lengths)
        X = np.ascontiguousarray(X[packed.rows])
        if covariance_type in ("full", "tied"):
            i, j = np.triu_indices(X.shape[1])
            return cls(X, X[:, i] * X[:, j], True, packed)
        return cls(X, np.square(X), False, packed)

    def statistics(self, found: Expectation) -> Statistics:
        """What the M-step needs of the posteriors of these rows."""
        squares = found.posterior.T @ self.moments
        d = self.X.shape[1]
        if self.outer:
            squares = squares[:, _pair_index(d)]
        return Statistics(
            start=found.posterior[: self.packed.counts[0]].sum(axis=0),
            transitions=found.transitions,
            rows=found.posterior.sum(axis=0),
            sums=found.posterior.T @ self.X,
            squares=squares,
        )


def seed_means(X: Floats, states: int, draw: np.random.RandomState) -> Floats:
    """Rows of X (n, d) far from each other, (K, d): greedy k-means++, as scikit-learn draws it.

    Each next seed is, of a few rows drawn with probability proportional to the squared distance to
    the nearest seed so far, the one that lowers the sum of these distances most.
    """
    n_trials = 2 + int(np.log(states))
    seeds = [int(draw.choice(len(X), p=np.full(len(X), 1 / len(X))))]
    nearest = np.square(X - X[seeds[0]]).sum(axis=1)
    while len(seeds) < states:
        spots = draw.uniform(size=n_trials) * nearest.sum()
        trials = np.minimum(np.searchsorted(np.cumsum(nearest), spots), len(X) - 1)
        distances = [np.minimum(nearest, np.square(X - X[row]).sum(axis=1)) for row in trials]
        best = int(np.argmin([distance.sum() for distance in distances]))
        seeds.append(int(trials[best]))
        nearest = distances[best]
    return X[seeds]


def _pair_index(d: int) -> Ints:
    """(d, d) positions of the pairs (i, j) in the upper triangle written row by row."""
    index = np.empty((d, d), dtype=np.int64)
    i, j = np.triu_indices(d)
    index[i, j] = index[j, i] = np.arange(len(i))
    return index
