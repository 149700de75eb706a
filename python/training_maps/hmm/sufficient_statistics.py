"""The rows that a hidden Markov model sees, and what EM counts of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from training_maps._rust_metrics import moments
from training_maps.hmm.inference import Expectation
from training_maps.hmm.missing_values import IncompleteRows, incomplete_rows
from training_maps.utils.numbers import Floats, Ints


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


def weighted_moments(rows: Floats, weights: Floats, pairs: bool) -> tuple[Floats, Floats, Floats]:
    """Sums over rows weighted by each state's posteriors, in Rust; in a fixed order.

    Args:
        rows: (n, p) rows.
        weights: (n, K) weights.
        pairs: whether to sum products of all pairs of entries, or only squares.

    Returns:
        (K,) sums of weights, (K, p) sums of rows, and (K, p, p) sums of their outer products or
        (K, p) of their squares.
    """
    total, sums, products = moments(rows, weights, pairs)
    return total, sums, products.reshape(len(sums), *(2 if pairs else 1) * rows.shape[1:])


@dataclass(frozen=True)
class TrainingRows:
    """The rows of all sequences, concatenated.

    Attributes:
        X: (n, d) rows, 0 where an entry is missing.
        lengths: lengths of the sequences.
        outer: whether second moments are products of pairs of features (full and tied
            covariances), not squares.
        incomplete: the rows with missing entries.
    """

    X: Floats
    lengths: Ints
    outer: bool
    incomplete: tuple[IncompleteRows, ...] = ()

    @classmethod
    def of(cls, X: Floats, lengths: Ints, covariance_type: str) -> TrainingRows:
        """Sequences `X` (n, d) of these `lengths`; NaN is a missing entry."""
        incomplete = incomplete_rows(X)
        X = np.ascontiguousarray(np.nan_to_num(X) if incomplete else X)
        return cls(X, lengths, covariance_type in ("full", "tied"), incomplete)

    @cached_property
    def first(self) -> Ints:
        """Where each sequence's first row is."""
        return first_rows(self.lengths)

    def statistics(self, found: Expectation, means: Floats, covars: Floats) -> Statistics:
        """What the M-step needs of the posteriors of these rows.

        Args:
            found: the posteriors.
            means: (K, d) means of the model that gave them.
            covars: (K, d, d) its covariances; used for incomplete rows only.
        """
        complete = complete_only(found.posterior, self.incomplete)
        weights, sums, squares = weighted_moments(self.X, complete, self.outer)
        for part in self.incomplete:
            rows, missing_covars = part.completed(means[None], covars)
            for k, weight in enumerate(found.posterior[part.rows].T):
                weights[k] += weight.sum()
                sums[k] += weight @ rows[:, k]
                products = (weight * rows[:, k].T) @ rows[:, k] + weight.sum() * missing_covars[k]
                squares[k] += products if self.outer else products.diagonal()
        return Statistics(
            start=found.posterior[self.first].sum(axis=0),
            transitions=found.transitions,
            rows=weights,
            sums=sums,
            squares=squares,
        )


def first_rows(lengths: Ints) -> Ints:
    """Position of the first row of each sequence of these lengths."""
    return np.cumsum(lengths) - lengths


def complete_only(posterior: Floats, incomplete: tuple[IncompleteRows, ...]) -> Floats:
    """Posteriors (n, K) with zeros for incomplete rows."""
    if not incomplete:
        return posterior
    posterior = posterior.copy()
    posterior[np.concatenate([part.rows for part in incomplete])] = 0
    return posterior
