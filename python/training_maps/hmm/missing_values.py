"""Rows with missing entries, exactly: what their observed entries say, and what the others may be.

A few metrics may be missing (NaN) at a few checkpoints. Under a Gaussian with mean mu and
covariance Sigma, split into observed (o) and missing (m) entries of a row x:

- its density is the marginal one, N(x_o; mu_o, Sigma_oo);
- given x_o, the missing entries are Gaussian with mean mu_m + G (x_o - mu_o) and covariance
  Sigma_mm - G Sigma_om, where G = Sigma_mo Sigma_oo^-1.

EM then uses, for every state, the row completed by those means, and adds those covariances to the
state's second moment (Little and Rubin, Statistical Analysis with Missing Data, section 11.2). Rows
that miss the same entries share all matrices. They are few, so this is plain loops; complete rows
never come here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training_maps.utils.numbers import Floats, Ints


@dataclass(frozen=True)
class IncompleteRows:
    """Rows that miss the same entries.

    Attributes:
        rows: (m,) their positions among all rows.
        observed: (d,) which entries they have.
        values: (m, d) the rows; NaN where an entry is missing.
    """

    rows: Ints
    observed: NDArray[np.bool_]
    values: Floats

    def log_density(self, means: Floats, covars: Floats) -> Floats:
        """Log density (m, K) of the observed entries under each state; 0 if there are none.

        Args:
            means: (m, K, d) each row's mean under each state, or (1, K, d).
            covars: (K, d, d) covariances.
        """
        o = self.observed
        result = np.zeros((len(self.rows), len(covars)))
        for k, covariance in enumerate(covars):
            factor = np.linalg.cholesky(covariance[np.ix_(o, o)])
            white = np.linalg.solve(factor, (self.values[:, o] - means[:, k, o]).T)
            result[:, k] = -0.5 * np.square(white).sum(axis=0) - np.log(factor.diagonal()).sum()
        return result - 0.5 * np.count_nonzero(o) * np.log(2 * np.pi)

    def completed(self, means: Floats, covars: Floats) -> tuple[Floats, Floats]:
        """The rows with each state's expectation of what is missing; arguments as above.

        Returns:
            Completed rows (m, K, d), and the covariances (K, d, d) of their entries, which are 0
            where an entry is observed.
        """
        o, m = self.observed, ~self.observed
        rows = np.repeat(self.values[:, None, :], len(covars), axis=1)
        missing_covars = np.zeros_like(covars)
        for k, covariance in enumerate(covars):
            crossed = covariance[np.ix_(o, m)]
            gain = np.linalg.solve(covariance[np.ix_(o, o)], crossed).T
            rows[:, k, m] = means[:, k, m] + (self.values[:, o] - means[:, k, o]) @ gain.T
            missing_covars[k][np.ix_(m, m)] = covariance[np.ix_(m, m)] - gain @ crossed
        return rows, missing_covars


def incomplete_rows(X: Floats) -> tuple[IncompleteRows, ...]:
    """The rows of (n, d) that miss entries (NaN), grouped by which."""
    missing = np.isnan(X)
    rows = np.flatnonzero(missing.any(axis=1))
    if not rows.size:
        return ()
    patterns, which = np.unique(missing[rows], axis=0, return_inverse=True)
    which = which.reshape(-1)
    return tuple(
        IncompleteRows(rows[which == i], ~pattern, X[rows[which == i]])
        for i, pattern in enumerate(patterns)
    )


def gaps_filled(X: Floats, lengths: Ints) -> Floats:
    """Rows (n, d) of all sequences with missing entries interpolated linearly in time.

    Before a sequence's first observed entry of a feature and after its last, that entry holds; a
    feature that a sequence never has is 0, the mean of a z-scored metric.
    """
    if not np.isnan(X).any():
        return X
    filled = X.copy()
    for end, length in zip(np.cumsum(lengths), lengths, strict=True):
        run = filled[end - length : end]  # a view
        for j in np.flatnonzero(np.isnan(run).any(axis=0)):
            missing = np.isnan(run[:, j])
            known = np.flatnonzero(~missing)
            gaps = np.flatnonzero(missing)
            run[gaps, j] = np.interp(gaps, known, run[known, j]) if known.size else 0.0
    return filled


def checked_rows(X: Any, lengths: Any) -> tuple[Floats, Ints]:
    """Rows (n, d) of sequences and their lengths as arrays.

    Args:
        X: rows of all sequences, concatenated; NaN marks a missing entry.
        lengths: lengths of the sequences; one sequence if None.

    Raises:
        ValueError: if X has not two dimensions, holds an infinity, or the lengths are not
            positive or do not sum to the number of rows.
    """
    X = np.asarray(X, dtype=np.float64)
    lengths = np.asarray([len(X)] if lengths is None else lengths, dtype=np.int64)
    if X.ndim != 2 or np.isinf(X).any():
        raise ValueError("X must have two dimensions and finite values (NaN where one is missing)")
    if (lengths < 1).any() or lengths.sum() != len(X):
        raise ValueError(f"lengths must be positive and sum to the {len(X)} rows of X")
    return X, lengths
