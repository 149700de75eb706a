"""Linear regression of times that some runs never reach: the Tobit model.

A run that ends before its time has come says only that its time is later than its last checkpoint.
The model is y* = x'β + σε with ε standard normal, of which y = y* is seen in runs that got there
and y* > c in those that ended at c. Source: Tobin 1958, Econometrica 26; in the coordinates β/σ and
1/σ, in which the log-likelihood is concave: Olsen 1978, Econometrica 46.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, log_ndtr, ndtr

from training_maps.stats.least_squares import NO_PART, decompose

# A linear program's gain up to this is its solver's rounding.
_NO_GAIN = 1e-6
_GRADIENT_TOLERANCE = 1e-8


class NoEstimateError(Exception):
    """The likelihood has no maximum; the message says so in a sentence."""


@dataclass(frozen=True, eq=False)
class Tobit:
    """A maximum-likelihood fit of the Tobit model.

    Attributes:
        coefficients: β, (k,); those of least norm where the data leave several.
        standard_errors: (k,), from the observed information.
        p_values: (k,), of the Wald tests that a coefficient is 0 (normal).
        determined: (k,), whether the data determine the coefficient.
        sigma: σ, standard deviation of y* about x'β.
        sigma_standard_error: of σ.
        log_likelihood: at the maximum.
        statistic: twice the gain in log-likelihood over a constant: the likelihood-ratio test.
        p_value: of that test (chi-squared, rank of x less one).
        r_squared: variance of x'β over variance of x'β plus σ² (McKelvey and Zavoina 1975); the
            usual R² where no run is censored.
    """

    coefficients: np.ndarray
    standard_errors: np.ndarray
    p_values: np.ndarray
    determined: np.ndarray
    sigma: float
    sigma_standard_error: float
    log_likelihood: float
    statistic: float
    p_value: float
    r_squared: float


def fit_tobit(x: np.ndarray, y: np.ndarray, censored: np.ndarray) -> Tobit:
    """Fit the Tobit model by maximum likelihood.

    Args:
        x: shares, (n, k), whose columns' span holds the constant.
        y: outcomes, (n,); of a censored run its limit, which the outcome exceeds.
        censored: (n,), whether the outcome is such a limit.

    Raises:
        NoEstimateError: if the likelihood has no maximum.
    """
    return _fit(x, y, censored, _constant_log_likelihood(y, censored))


def _constant_log_likelihood(y: np.ndarray, censored: np.ndarray) -> float:
    return _maximum(np.ones((len(y), 1)), y, censored)[3]


def _fit(x: np.ndarray, y: np.ndarray, censored: np.ndarray, constant: float) -> Tobit:
    """As `fit_tobit`, given the log-likelihood of a constant."""
    _, _, right, null = decompose(x)
    reduced = x @ right.T
    beta, sigma, covariance, value = _maximum(reduced, y, censored)
    rank = reduced.shape[1]
    statistic = 2 * (value - constant)
    coefficients = right.T @ beta
    errors = np.sqrt(np.einsum("rk,rs,sk->k", right, covariance[:-1, :-1], right))
    explained = float(np.var(reduced @ beta))
    return Tobit(
        coefficients=coefficients,
        standard_errors=errors,
        p_values=2 * ndtr(-np.abs(coefficients) / errors),
        determined=(np.abs(null) < NO_PART).all(axis=0),
        sigma=sigma,
        sigma_standard_error=float(np.sqrt(covariance[-1, -1])),
        log_likelihood=value,
        statistic=statistic,
        p_value=float(chdtrc(rank - 1, max(statistic, 0.0))),
        r_squared=explained / (explained + sigma**2),
    )


def resampled_tobit(
    x: np.ndarray, y: np.ndarray, censored: np.ndarray, n_resamples: int, random_state: int
) -> tuple[np.ndarray, np.ndarray]:
    """Fits to runs drawn with replacement: coefficients (n_resamples, k) and R² (n_resamples,).

    NaN where a resample does not determine a coefficient, or has no estimate at all.
    """
    rng = np.random.default_rng(random_state)
    constant = np.nan  # the tests of the resamples are of no interest
    coefficients = np.full((n_resamples, x.shape[1]), np.nan)
    r_squared = np.full(n_resamples, np.nan)
    for i in range(n_resamples):
        drawn = rng.integers(len(y), size=len(y))
        try:
            fit = _fit(x[drawn], y[drawn], censored[drawn], constant)
        except NoEstimateError:
            continue
        coefficients[i] = np.where(fit.determined, fit.coefficients, np.nan)
        r_squared[i] = fit.r_squared
    return coefficients, r_squared


def shuffled_statistics(
    x: np.ndarray, y: np.ndarray, censored: np.ndarray, n_permutations: int, random_state: int
) -> tuple[np.ndarray, np.ndarray]:
    """Statistic and R² of fits to outcomes shuffled among the runs, censoring with them.

    Both are (m,), m being the permutations whose fit has an estimate.
    """
    rng = np.random.default_rng(random_state)
    constant = _constant_log_likelihood(y, censored)
    found = []
    for _ in range(n_permutations):
        order = rng.permutation(len(y))
        try:
            fit = _fit(x, y[order], censored[order], constant)
        except NoEstimateError:
            continue
        found.append((fit.statistic, fit.r_squared))
    pairs = np.array(found).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def log_likelihood(
    parameters: np.ndarray, x: np.ndarray, y: np.ndarray, censored: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Log-likelihood of δ = β/σ (k,) and θ = 1/σ, its gradient and its Hessian.

    Args:
        parameters: δ followed by θ, (k + 1,); θ > 0.
        x: (n, k).
        y: (n,).
        censored: (n,).

    Returns:
        A number, (k + 1,) and (k + 1, k + 1).

    Source: Olsen 1978.
    """
    theta = parameters[-1]
    # Of every run, (x, -y): its product with the parameters is minus the standardised residual.
    rows = np.column_stack([x, -y])
    distance = rows @ parameters
    seen, beyond = rows[~censored], rows[censored]
    residual, z = distance[~censored], distance[censored]
    log_phi = -(z**2 + np.log(2 * np.pi)) / 2
    log_cdf = log_ndtr(z)
    mills = np.exp(log_phi - log_cdf)
    value = (
        len(seen) * (np.log(theta) - np.log(2 * np.pi) / 2)
        - residual @ residual / 2
        + log_cdf.sum()
    )
    gradient = -seen.T @ residual + beyond.T @ mills
    hessian = -seen.T @ seen - (beyond.T * (mills * (mills + z))) @ beyond
    gradient[-1] += len(seen) / theta
    hessian[-1, -1] -= len(seen) / theta**2
    return float(value), gradient, hessian


def _maximum(
    x: np.ndarray, y: np.ndarray, censored: np.ndarray
) -> tuple[np.ndarray, float, np.ndarray, float]:
    """Estimates β (r,) and σ, their covariance (r + 1, r + 1) and the log-likelihood."""
    _check_estimate(x, y, censored)
    scale = np.abs(y).max() or 1.0
    y = y / scale
    beta = np.linalg.lstsq(x, y, rcond=None)[0]
    sigma = max(float(np.sqrt(np.mean((y - x @ beta) ** 2))), 1e-3)

    def minus(parameters: np.ndarray) -> float:
        if parameters[-1] <= 0:
            return np.inf  # a step too far; the optimiser takes a shorter one
        return -log_likelihood(parameters, x, y, censored)[0]

    from scipy.optimize import minimize  # not where a report only reads what was found

    found = minimize(
        minus,
        np.append(beta, 1) / sigma,
        jac=lambda parameters: -log_likelihood(parameters, x, y, censored)[1],
        hess=lambda parameters: -log_likelihood(parameters, x, y, censored)[2],
        method="trust-exact",
        options={"gtol": _GRADIENT_TOLERANCE, "maxiter": 500},
    )
    value, gradient, hessian = log_likelihood(found.x, x, y, censored)
    if np.abs(gradient).max() > 1e-4 * max(1.0, found.x[-1]):
        raise NoEstimateError(f"The Tobit model's optimiser did not converge: {found.message}")
    delta, theta = found.x[:-1], found.x[-1]
    # At the maximum the information transforms by the Jacobian of (β, σ) in (δ, θ).
    jacobian = np.zeros((len(found.x), len(found.x)))
    jacobian[:-1, :-1] = np.eye(len(delta)) / theta
    jacobian[:-1, -1] = -delta / theta**2
    jacobian[-1, -1] = -1 / theta**2
    covariance = jacobian @ np.linalg.inv(-hessian) @ jacobian.T * scale**2
    value -= (~censored).sum() * np.log(scale)
    return scale * delta / theta, float(scale / theta), covariance, float(value)


def _check_estimate(x: np.ndarray, y: np.ndarray, censored: np.ndarray) -> None:
    """Whether the likelihood has a maximum: no direction in which it never falls.

    Along (d, t) it never falls if every seen run's residual stays (x'd = t y), every censored run
    moves further beyond its limit (x'd >= t c) and t >= 0; it rises if t > 0 or one of the censored
    runs does move. A linear program finds such a direction if there is one.
    """
    rows = np.column_stack([x, -y / (np.abs(y).max() or 1.0)])
    gain = rows[censored].sum(axis=0)
    gain[-1] += 1
    from scipy.optimize import linprog

    found = linprog(
        -gain,
        A_ub=-rows[censored] if censored.any() else None,
        b_ub=np.zeros(censored.sum()) if censored.any() else None,
        A_eq=rows[~censored] if (~censored).any() else None,
        b_eq=np.zeros((~censored).sum()) if (~censored).any() else None,
        bounds=[(-1, 1)] * x.shape[1] + [(0, 1)],
        method="highs",
    )
    if -found.fun > _NO_GAIN:
        raise NoEstimateError(
            "The Tobit model has no estimate for these runs: their times grow without limit, for "
            "instance because only runs that never get there visit a state, or the fit is exact."
        )
