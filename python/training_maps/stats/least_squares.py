"""Linear regression of an outcome on state shares, and how firm it is.

The fit itself, its predictions for runs that it has not seen, its intervals over resampled runs,
and what it finds where there is nothing to find: on shuffled outcomes. Throughout, x is (n, k), the
shares of n runs in k states, whose columns' span holds the constant, and y is (n,), the outcome.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import fdtrc, stdtr, stdtrit

from training_maps.stats.permutation_test import shuffled

# Shares and fractions are quotients of small integers. Differences below this are rounding.
ROUNDING = 1e-12
# A null vector's entry below this does not touch its coefficient.
NO_PART = 1e-8
# Numbers that a batch of resampled regressions may hold: some tens of MB.
_NUMBERS_AT_ONCE = 4_000_000


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """A least-squares fit with an implied intercept.

    Attributes:
        coefficients: (k,); those of least norm where the data leave several.
        standard_errors: (k,).
        p_values: (k,), of the t tests that a coefficient is 0.
        determined: (k,), whether all least-squares solutions agree on the coefficient.
        r_squared: centred coefficient of determination, in [0, 1].
        adjusted_r_squared: the same, adjusted for the rank of x.
        f_statistic: of the hypothesis that no share matters; None for an exact fit.
        p_value: of that F test.
    """

    coefficients: np.ndarray
    standard_errors: np.ndarray
    p_values: np.ndarray
    determined: np.ndarray
    r_squared: float
    adjusted_r_squared: float
    f_statistic: float | None
    p_value: float


def fit_least_squares(x: np.ndarray, y: np.ndarray) -> LeastSquares:
    """Fit y (n,) on x (n, k), n > k, with an implied intercept; minimum norm if dependent.

    Degrees of freedom are (r - 1, n - r) with r the rank of x, r > 1.
    """
    n = len(x)
    left, singular, right, null = decompose(x)
    rank = len(singular)
    coefficients = right.T @ (left.T @ y / singular)
    residual = y - x @ coefficients
    rss = float(residual @ residual)
    tss = float(((y - y.mean()) ** 2).sum())
    if rss <= ROUNDING**2 * float(y @ y):
        rss = 0.0  # exact but for rounding
    r_squared = min(max(1 - rss / tss, 0.0), 1.0)
    free = n - rank
    errors = np.sqrt(rss / free * ((right.T / singular) ** 2).sum(axis=1))
    # An exact fit has infinite t and F: their p-values are 0, except for a coefficient of 0.
    exact_p = np.where(np.abs(coefficients) > ROUNDING * np.abs(y).max(), 0.0, 1.0)
    f_statistic, p_value, p_values = None, 0.0, exact_p
    if rss > 0:
        f_statistic = max(tss - rss, 0.0) / (rank - 1) / (rss / free)
        p_value = float(fdtrc(rank - 1, free, f_statistic))
        p_values = 2 * stdtr(free, -np.abs(coefficients) / errors)
    return LeastSquares(
        coefficients=coefficients,
        standard_errors=errors,
        p_values=p_values,
        determined=(np.abs(null) < NO_PART).all(axis=0),
        r_squared=r_squared,
        adjusted_r_squared=1 - (1 - r_squared) * (n - 1) / free,
        f_statistic=f_statistic,
        p_value=p_value,
    )


def decompose(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Singular value decomposition up to the rank r, and the null vectors (k - r, k)."""
    left, singular, right = np.linalg.svd(x, full_matrices=False)
    rank = int((singular > _least_singular(singular[0], x.shape)).sum())
    return left[:, :rank], singular[:rank], right[:rank], right[rank:]


def _least_singular(largest: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Singular values up to this are rounding, for matrices of `shape`."""
    return largest * max(shape[-2:]) * np.finfo(float).eps


def left_out_predictions(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Each run's outcome as predicted by the regression on all other runs; (n,).

    What the others leave open counts as their mean: a state that only the left-out run visits has
    the mean outcome of the others as its coefficient. (The outcome is centred before the fit of
    least norm; as shares sum to a constant, this changes nothing else.)
    """
    predictions = np.empty(len(y))
    for run in range(len(y)):
        others = np.arange(len(y)) != run
        left, singular, right, _ = decompose(x[others])
        mean = y[others].mean()
        coefficients = right.T @ (left.T @ (y[others] - mean) / singular)
        predictions[run] = mean + x[run] @ coefficients
    return predictions


def predictive_r_squared(y: np.ndarray, predictions: np.ndarray) -> float:
    """1 - sum of squared errors / sum of squared errors of the mean of the other runs.

    Both what is judged and what it is compared with are predictions of a run not seen: 0 means no
    better than the mean of the others, and there is no lower limit.

    Args:
        y: outcomes, (n,), not all equal.
        predictions: of each run by a model that has not seen it, (n,).
    """
    n = len(y)
    # y - mean of the others = (y - mean) n / (n - 1).
    total = ((y - y.mean()) ** 2).sum() * (n / (n - 1)) ** 2
    return float(1 - ((y - predictions) ** 2).sum() / total)


def shuffled_r_squared(
    x: np.ndarray, y: np.ndarray, n_permutations: int, random_state: int
) -> np.ndarray:
    """R² of the same regression on outcomes shuffled among the runs; (n_permutations,)."""
    basis = decompose(x)[0]
    centred = y - y.mean()
    outcomes = shuffled(centred, n_permutations, random_state)
    return ((outcomes @ basis) ** 2).sum(axis=1) / (centred @ centred)


def permutation_p_value(observed: float, shuffled: np.ndarray) -> float:
    """Share of permutations with at least the observed value, the observed one counted among them.

    Counting it keeps the test exact: under the null all n + 1 are equally likely to be largest.
    """
    at_least = int((shuffled >= observed - ROUNDING).sum())
    return (at_least + 1) / (len(shuffled) + 1)


def resampled_fits(
    x: np.ndarray, y: np.ndarray, n_resamples: int, random_state: int
) -> tuple[np.ndarray, np.ndarray]:
    """Regressions on runs drawn with replacement.

    Returns:
        Coefficients, (n_resamples, k), NaN where a resample does not determine one (none of its
        runs visits the state, say); and adjusted R², (n_resamples,), NaN where it is undefined
        (equal outcomes, or no more runs than the rank).
    """
    n, k = x.shape
    drawn = np.random.default_rng(random_state).integers(n, size=(n_resamples, n))
    coefficients, r_squared = np.empty((n_resamples, k)), np.empty(n_resamples)
    at_once = max(1, _NUMBERS_AT_ONCE // (n * k))
    for start in range(0, n_resamples, at_once):
        rows = slice(start, start + at_once)
        coefficients[rows], r_squared[rows] = _fit_many(x[drawn[rows]], y[drawn[rows]])
    return coefficients, r_squared


def _fit_many(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit y (B, n) on x (B, n, k): what `resampled_fits` returns, for B resamples."""
    n = x.shape[1]
    left, singular, right = np.linalg.svd(x, full_matrices=False)
    kept = singular > _least_singular(singular[:, :1], x.shape)
    inverse = np.where(kept, 1 / np.where(kept, singular, 1), 0)
    coefficients = np.einsum("brk,br->bk", right, np.einsum("bnr,bn->br", left, y) * inverse)
    loose = ((np.abs(right) >= NO_PART) & ~kept[:, :, None]).any(axis=1)
    coefficients[loose] = np.nan
    centred = y - y.mean(axis=1, keepdims=True)
    total = (centred**2).sum(axis=1)
    explained = (np.einsum("bnr,bn->br", left, centred) ** 2 * kept).sum(axis=1)
    free = n - kept.sum(axis=1)
    defined = (np.ptp(y, axis=1) > ROUNDING * np.abs(y).max(axis=1)) & (free > 0)
    unexplained = 1 - np.minimum(explained / np.where(defined, total, 1), 1)
    adjusted = 1 - unexplained * (n - 1) / np.maximum(free, 1)
    return coefficients, np.where(defined, adjusted, np.nan)


def coefficient_intervals(x: np.ndarray, y: np.ndarray, level: float = 0.95) -> np.ndarray:
    """Intervals of the coefficients of y (n,) on x (n, k), (k, 2), by Student's t and HC3 errors.

    HC3 (MacKinnon and White 1985) does not suppose that runs vary alike, and keeps its coverage at
    10 runs, where the percentiles of resampled runs are too narrow. NaN where a coefficient hangs
    on a single run (its leverage is 1), which cannot tell how much it varies.
    """
    left, singular, right, _ = decompose(x)
    inverse = (right.T / singular) @ left.T
    coefficients = inverse @ y
    leverage = (left**2).sum(axis=1)
    alone = 1 - leverage < NO_PART
    residual = (y - x @ coefficients) / np.where(alone, 1, 1 - leverage)
    errors = np.sqrt((inverse**2) @ residual**2)
    errors[(np.abs(inverse[:, alone]) > NO_PART).any(axis=1)] = np.nan
    half = stdtrit(len(x) - len(singular), (1 + level) / 2) * errors
    return np.column_stack([coefficients - half, coefficients + half])


def r_squared_interval(
    x: np.ndarray, y: np.ndarray, level: float = 0.95
) -> tuple[float, float] | None:
    """Interval of the R² of all runs that there might be, of y (n,) on x (n, k), within [0, 1].

    By the jackknife (Tukey 1958) of the logarithm of 1 - adjusted R², whose spread hardly depends
    on its size, and Student's t with Satterthwaite's degrees of freedom: 2 n / (kurtosis - 1) of
    the pseudo-values, from 2 to those of the residuals, as a few of them often make most of the
    variance. Percentiles of resampled runs are too narrow with few runs.

    Returns:
        None where fewer than three degrees of freedom are left, which tell next to nothing, or all
        runs but one have equal outcomes.
    """
    n = len(y)
    left, singular, _, _ = decompose(x)
    rank = len(singular)
    centred = y - y.mean()
    residual = y - left @ (left.T @ y)
    leverage = (left**2).sum(axis=1)
    alone = 1 - leverage < NO_PART  # without such a run the rank is one less
    rss, tss = float(residual @ residual), float(centred @ centred)
    if rss <= ROUNDING**2 * float(y @ y):
        return (1.0, 1.0)
    without = rss - np.where(alone, 0.0, residual**2 / np.where(alone, 1.0, 1 - leverage))
    total = tss - centred**2 * n / (n - 1)
    free = n - 1 - rank + alone
    if n < rank + 3 or (total <= ROUNDING * tss).any():
        return None
    unexplained = np.append(without / free / (total / (n - 2)), rss / (n - rank) / (tss / (n - 1)))
    logs = np.log(np.maximum(unexplained, ROUNDING))
    pseudo = n * logs[-1] - (n - 1) * logs[:-1]
    spread = (pseudo - pseudo.mean()) ** 2
    variance = float(spread.mean())
    if variance == 0.0:
        return None
    kurtosis = float((spread**2).mean()) / variance**2
    degrees = min(max(2 * n / max(kurtosis - 1, ROUNDING), 2.0), n - rank)
    half = stdtrit(degrees, (1 + level) / 2) * np.sqrt(variance / (n - 1))
    low, high = (min(max(float(1 - np.exp(logs[-1] + sign * half)), 0.0), 1.0) for sign in (1, -1))
    return low, high


def percentile_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The middle `level` of the values, NaN ones left out."""
    tail = 50 * (1 - level)
    low, high = np.nanpercentile(values, [tail, 100 - tail])
    return float(low), float(high)
