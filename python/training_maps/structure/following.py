"""How far a smooth field follows its residuals: what its last misses say of the next one.

A field foretells a row from the one before it (`training_maps.structure.field`). How far that row
is to be followed depends on the noise: what noise on the observations adds to a row is gone at the
next. Where the noise changes its size, a regression knows that on average only, and states would
gain by nothing but a rule each for how far rows are followed. So a field whose noise switches
(`training_maps.structure.field_noise`) expects of its next residual

    e_t = f e_t-1 + g a_t-1 + noise

with e_t what a row differs from what the field expected, and a_t the running average
a_t = 0.8 a_t-1 + 0.2 e_t; both are 0 where a run begins. The shares f and g are two numbers for a
whole field, the same for all metrics, places and levels: f alone is a moving average of order one
(Box and Jenkins 1970), g a trend that fades. With shares of their own, levels of noise would be
states in all but name.

They are learnt by weighted least squares, under the field's covariances, with the weights that
Student's t gives (Lange, Little and Taylor 1989).
"""

from __future__ import annotations

import numpy as np

from training_maps.utils.numbers import Floats

# How much of a running average is kept from one checkpoint to the next.
KEPT = 0.8
# The shares lean on 0, as if so many entries of residuals had shown that nothing is followed.
_LEAN = 20.0
# Degrees of freedom of the weights, and how often these and the shares are computed in turn.
_DEGREES, _ROUNDS = 4.0, 3


def lagged(residuals: Floats, lengths: list[int]) -> Floats:
    """Of each row, the residual of the one before it and the running average of all before it.

    Args:
        residuals: (n, d) of all runs, one after another.
        lengths: (M,) rows of each run, at least 1.

    Returns:
        (n, d, 2); 0 of a run's first row.
    """
    first = np.cumsum([0, *lengths[:-1]])
    averages = running_averages(residuals, lengths, KEPT, np.zeros((len(first), 1)))
    found = np.stack([np.roll(residuals, 1, axis=0), np.roll(averages, 1, axis=0)], axis=2)
    found[first] = 0.0
    return found


def products_of(whitening: Floats, residuals: Floats, lags: Floats) -> Floats:
    """What `shares_of` and `squares_of` take: inner products under the inverse of covariances.

    Args:
        whitening: (n or 1, d, d) inverse Cholesky factors of the rows' covariances.
        residuals: (n, d) of the rows.
        lags: (n, d, 2) as `lagged` gives them.

    Returns:
        (n, 3, 3) of a residual and its two lags with each other.
    """
    white = whitening @ np.concatenate([residuals[:, :, None], lags], axis=2)
    return np.asarray(np.swapaxes(white, 1, 2) @ white)


def shares_of(products: Floats, entries: Floats) -> Floats:
    """The shares f and g, (2,).

    Args:
        products: (n, 3, 3) as `products_of` gives them.
        entries: (n,) how many entries of a row are seen.
    """
    shares: Floats = np.zeros(2)
    for _ in range(_ROUNDS):
        heavy = (_DEGREES + entries) / (_DEGREES - 2 + squares_of(products, shares))
        sums = np.tensordot(heavy, products, 1)
        shares = np.linalg.solve(sums[1:, 1:] + _LEAN * np.eye(2), sums[1:, 0])
    return shares


def squares_of(products: Floats, shares: Floats) -> Floats:
    """Squared distances (n,) of residuals from what is expected of them."""
    parts = np.array([1.0, *-shares])
    return np.asarray(np.maximum(parts @ products @ parts, 0.0))


def running_averages(rows: Floats, lengths: list[int], kept: float, before: Floats) -> Floats:
    """Running averages of each run's rows: a share `kept` of the last average, else the new row.

    All runs go on side by side; scipy.signal takes longer to import than all of this to compute.

    Args:
        rows: (n, ...) the runs' rows, one run after another.
        lengths: (M,) rows of each run, at least 1.
        kept: from 0 to below 1.
        before: (M, ...) what each run's average is before its first row.

    Returns:
        (n, ...) the average after each row.
    """
    there = np.arange(max(lengths)) < np.array(lengths)[:, None]
    averages = np.zeros((*there.shape, *rows.shape[1:]))
    averages[there] = (1 - kept) * rows
    for step in range(there.shape[1]):
        averages[:, step] += kept * (averages[:, step - 1] if step else before)
    return np.asarray(averages[there])
