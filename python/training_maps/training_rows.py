"""The rows that a hidden Markov model sees, and what EM counts of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from training_maps.forward_backward import Expectation, Floats, Ints, PackedSequences
from training_maps.missing_values import IncompleteRows, incomplete_rows


@dataclass(frozen=True)
class Counts:
    """What the M-step needs of the posteriors, whatever the states emit.

    Attributes:
        start: (K,) expected number of sequences that start in each state.
        transitions: (K, K) expected number of transitions.
        rows: (K,) expected number of rows in each state.
    """

    start: Floats
    transitions: Floats
    rows: Floats


@dataclass(frozen=True)
class Statistics(Counts):
    """What the M-step of Gaussian states needs; see `Counts`.

    Attributes:
        sums: (K, d) expected sum of a state's rows.
        squares: expected sum of their products: (K, d, d) outer products for full and tied
            covariances, (K, d) squares for diagonal and spherical ones.
    """

    sums: Floats
    squares: Floats


@dataclass(frozen=True)
class TrainingRows:
    """The rows of all sequences, packed by time.

    Attributes:
        X: (n, d) packed rows, 0 where an entry is missing.
        outer: whether second moments are products of pairs of features (full and tied
            covariances), not squares.
        packed: the order of the rows.
        incomplete: the packed rows with missing entries.
    """

    X: Floats
    outer: bool
    packed: PackedSequences
    incomplete: tuple[IncompleteRows, ...] = ()

    @classmethod
    def of(cls, X: Floats, lengths: Ints, covariance_type: str) -> TrainingRows:
        """Pack the concatenated sequences `X` (n, d) of these `lengths`; NaN is a missing entry."""
        packed = PackedSequences.from_lengths(lengths)
        X = np.ascontiguousarray(X[packed.rows])
        incomplete = incomplete_rows(X)
        if incomplete:
            X = np.nan_to_num(X)
        return cls(X, covariance_type in ("full", "tied"), packed, incomplete)

    @cached_property
    def moments(self) -> Floats:
        """Products of each row's features, so that second moments are one matrix product.

        Returns:
            (n, d (d + 1) / 2) products, upper triangle row by row, or (n, d) squares.
        """
        if not self.outer:
            return np.square(self.X)
        n, d = self.X.shape
        products = np.empty((n, d * (d + 1) // 2))
        begin = 0
        for i in range(d):
            pairs = products[:, begin : begin + d - i]
            np.multiply(self.X[:, i, None], self.X[:, i:], out=pairs)
            begin += d - i
        return products

    def statistics(self, found: Expectation, means: Floats, covars: Floats) -> Statistics:
        """What the M-step needs of the posteriors of these rows.

        Args:
            found: the posteriors.
            means: (K, d) means of the model that gave them.
            covars: (K, d, d) its covariances; used for incomplete rows only.
        """
        complete = found.posterior
        if self.incomplete:
            complete = complete.copy()
            complete[np.concatenate([part.rows for part in self.incomplete])] = 0
        sums = complete.T @ self.X
        squares = complete.T @ self.moments
        if self.outer:
            squares = squares[:, _pair_index(self.X.shape[1])]
        for part in self.incomplete:
            rows, spread = part.completed(means[None], covars)
            for k, weight in enumerate(found.posterior[part.rows].T):
                sums[k] += weight @ rows[:, k]
                products = (weight * rows[:, k].T) @ rows[:, k] + weight.sum() * spread[k]
                squares[k] += products if self.outer else products.diagonal()
        return Statistics(
            start=found.posterior[: self.packed.counts[0]].sum(axis=0),
            transitions=found.transitions,
            rows=np.ones(len(self.X)) @ found.posterior,
            sums=sums,
            squares=squares,
        )


def _pair_index(d: int) -> Ints:
    """(d, d) positions of the pairs (i, j) in the upper triangle written row by row."""
    index = np.empty((d, d), dtype=np.int64)
    i, j = np.triu_indices(d)
    index[i, j] = index[j, i] = np.arange(len(i))
    return index
