"""The Tobit model against brute force, simulation, closed forms and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime, minimize
from scipy.stats import chi2, norm

from training_maps.stats.least_squares import fit_least_squares
from training_maps.stats.tobit import (
    NoEstimateError,
    fit_tobit,
    log_likelihood,
    resampled_tobit,
    shuffled_statistics,
)


def example(seed, n=40, k=4, share=0.25, noise=0.1):
    """Runs of which about `share` end before their time: (x, what is seen, censored, truth)."""
    rng = np.random.default_rng(seed)
    x = rng.dirichlet(np.ones(k), size=n)
    truth = rng.uniform(0.1, 1, size=k)
    times = x @ truth + rng.normal(0, noise, n)
    limits = np.quantile(times, 1 - share) + rng.normal(0, 0.02, n)
    return x, np.minimum(times, limits), times > limits, truth


def minus_log_likelihood(parameters, x, y, censored):
    """In β and log σ, by SciPy's normal distribution."""
    means, sigma = x @ parameters[:-1], np.exp(parameters[-1])
    return -np.where(censored, norm.logsf(y, means, sigma), norm.logpdf(y, means, sigma)).sum()


@pytest.mark.parametrize("seed", [0, 1])
def test_equals_brute_force(seed):
    x, y, censored, _ = example(seed, n=25, k=3)
    start = np.append(np.linalg.lstsq(x, y, rcond=None)[0], np.log(0.2))
    twin = minimize(
        minus_log_likelihood,
        start,
        (x, y, censored),
        method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-10, "maxiter": 3000},
    )
    fit = fit_tobit(x, y, censored)
    assert fit.log_likelihood == pytest.approx(-twin.fun, abs=1e-6)
    np.testing.assert_allclose(fit.coefficients, twin.x[:-1], atol=1e-4)
    assert fit.sigma == pytest.approx(np.exp(twin.x[-1]), rel=1e-3)


def test_standard_errors_are_those_of_the_observed_information():
    x, y, censored, _ = example(2, n=30, k=3)
    fit = fit_tobit(x, y, censored)
    at = np.append(fit.coefficients, np.log(fit.sigma))

    def gradient(parameters):
        return approx_fprime(parameters, minus_log_likelihood, 1e-6, x, y, censored)

    information = np.array([(gradient(at + h) - gradient(at - h)) / 2e-4 for h in 1e-4 * np.eye(4)])
    errors = np.sqrt(np.diag(np.linalg.inv(information)))
    np.testing.assert_allclose(fit.standard_errors, errors[:-1], rtol=1e-2)
    assert fit.sigma_standard_error == pytest.approx(fit.sigma * errors[-1], rel=1e-2)
    expected = 2 * norm.sf(abs(fit.coefficients / fit.standard_errors))
    np.testing.assert_allclose(fit.p_values, expected, rtol=1e-9)


@given(st.integers(0, 500))
@settings(max_examples=20, deadline=None)
def test_gradient_and_hessian_are_those_of_the_log_likelihood(seed):
    x, y, censored, _ = example(seed, n=12, k=3)
    rng = np.random.default_rng(seed)
    at = np.append(rng.normal(size=3), rng.uniform(0.5, 3))
    _, gradient, hessian = log_likelihood(at, x, y, censored)
    step = 1e-6 * np.eye(4)
    up = [log_likelihood(at + h, x, y, censored) for h in step]
    down = [log_likelihood(at - h, x, y, censored) for h in step]
    slope = [(a[0] - b[0]) / 2e-6 for a, b in zip(up, down, strict=True)]
    curve = [(a[1] - b[1]) / 2e-6 for a, b in zip(up, down, strict=True)]
    np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(hessian, curve, rtol=1e-4, atol=1e-5)
    assert np.linalg.eigvalsh(hessian).max() <= 1e-9  # concave, so a maximum is the maximum


def test_without_censoring_it_is_least_squares():
    x, y, _, _ = example(3, share=0.0)
    fit, twin = fit_tobit(x, y, np.zeros(40, dtype=bool)), fit_least_squares(x, y)
    np.testing.assert_allclose(fit.coefficients, twin.coefficients, rtol=1e-7)
    # Maximum likelihood divides by n, least squares by n - k.
    np.testing.assert_allclose(fit.standard_errors, twin.standard_errors * np.sqrt(36 / 40))
    assert fit.r_squared == pytest.approx(twin.r_squared)
    assert fit.statistic == pytest.approx(-40 * np.log(1 - twin.r_squared))
    assert fit.p_value == pytest.approx(chi2.sf(fit.statistic, 3))


def test_planted_coefficients_are_recovered_where_the_last_step_is_biased():
    x, y, censored, truth = example(4, n=4000, share=0.3)
    fit = fit_tobit(x, y, censored)
    assert np.all(np.abs(fit.coefficients - truth) < 4 * fit.standard_errors)
    assert fit.sigma == pytest.approx(0.1, rel=0.05)
    naive = fit_least_squares(x, y)
    assert np.abs(naive.coefficients - truth).max() > 5 * fit.standard_errors.max()


def test_scale_of_the_outcome_carries_through():
    x, y, censored, _ = example(5)
    fit, scaled = fit_tobit(x, y, censored), fit_tobit(x, 1e5 * y, censored)
    np.testing.assert_allclose(scaled.coefficients, 1e5 * fit.coefficients, rtol=1e-5)
    np.testing.assert_allclose(scaled.standard_errors, 1e5 * fit.standard_errors, rtol=1e-4)
    assert scaled.statistic == pytest.approx(fit.statistic, rel=1e-6)
    n_seen = (~censored).sum()
    assert scaled.log_likelihood == pytest.approx(fit.log_likelihood - n_seen * np.log(1e5))


def test_tied_states_have_no_coefficients():
    x, y, censored, _ = example(6)
    x = np.column_stack([x[:, :3], x[:, 3] * 0.5, x[:, 3] * 0.5])
    fit = fit_tobit(x, y, censored)
    assert fit.determined.tolist() == [True, True, True, False, False]
    merged = fit_tobit(np.column_stack([x[:, :3], x[:, 3] * 2]), y, censored)
    np.testing.assert_allclose(fit.coefficients[:3], merged.coefficients[:3], rtol=1e-5)
    np.testing.assert_allclose(fit.standard_errors[:3], merged.standard_errors[:3], rtol=1e-5)


def test_a_state_of_censored_runs_only_has_no_estimate():
    x, y, censored, _ = example(7, k=3)
    x = np.column_stack([x, np.zeros(len(x))])
    x[censored] = x[censored] * 0.5 + [0, 0, 0, 0.5]
    with pytest.raises(NoEstimateError, match="no estimate"):
        fit_tobit(x, y, censored)
    x[np.flatnonzero(~censored)[0]] = [0.2, 0.2, 0.1, 0.5]  # one run is seen there
    fit_tobit(x, y, censored)


def test_an_exact_fit_has_no_estimate():
    x = np.random.default_rng(8).dirichlet(np.ones(3), size=10)
    with pytest.raises(NoEstimateError):
        fit_tobit(x, x @ [0.1, 0.5, 0.9], np.zeros(10, dtype=bool))


def test_resamples_count_those_without_an_estimate():
    x, y, censored, _ = example(9, n=12, k=3)
    coefficients, r_squared = resampled_tobit(x, y, censored, 20, random_state=1)
    rng = np.random.default_rng(1)
    for i in range(20):
        drawn = rng.integers(12, size=12)
        try:
            twin = fit_tobit(x[drawn], y[drawn], censored[drawn])
        except NoEstimateError:
            assert np.isnan(r_squared[i])
            continue
        np.testing.assert_array_equal(coefficients[i], twin.coefficients)
        assert r_squared[i] == twin.r_squared


def test_the_likelihood_ratio_holds_its_level():
    """Nothing to find: p below 0.1 in about a tenth, and never far from the permutations' p."""
    rng = np.random.default_rng(10)
    hits = 0
    for _ in range(60):
        x = rng.dirichlet(np.ones(4), size=40)
        times = rng.normal(0.5, 0.1, 40)
        limit = np.quantile(times, 0.8)
        hits += fit_tobit(x, np.minimum(times, limit), times > limit).p_value < 0.1
    assert 1 <= hits <= 14  # Binomial(60, 0.1): mean 6, standard deviation 2.3


def test_shuffled_statistics_are_below_a_real_one():
    x, y, censored, _ = example(11)
    statistics, r_squared = shuffled_statistics(x, y, censored, 20, random_state=0)
    assert len(statistics) == len(r_squared) == 20
    assert statistics.max() < fit_tobit(x, y, censored).statistic
