"""Left-out predictions, resamples and permutations of the regression, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from training_maps.stats.least_squares import (
    coefficient_intervals,
    fit_least_squares,
    left_out_predictions,
    percentile_interval,
    permutation_p_value,
    predictive_r_squared,
    r_squared_interval,
    resampled_fits,
    shuffled_r_squared,
)


def example(seed, n=30, k=4, noise=0.1):
    rng = np.random.default_rng(seed)
    x = rng.dirichlet(np.ones(k), size=n)
    return x, x @ rng.normal(size=k) + rng.normal(0, noise, n)


@given(st.integers(0, 1000), st.integers(8, 30), st.integers(2, 6))
@settings(max_examples=25, deadline=None)
def test_left_out_predictions_equal_the_hat_matrix(seed, n, k):
    """Closed form: a left-out residual is the residual over 1 - leverage."""
    x, y = example(seed, n, k)
    hat = x @ np.linalg.pinv(x)
    expected = y - (y - hat @ y) / (1 - np.diag(hat))
    np.testing.assert_allclose(left_out_predictions(x, y), expected, rtol=1e-6, atol=1e-8)


def test_predictive_r_squared_equals_a_plain_loop():
    x, y = example(1)
    errors, baseline = [], []
    for run in range(len(y)):
        others = np.arange(len(y)) != run
        twin = sm.OLS(y[others], x[others]).fit()
        errors.append((y[run] - twin.predict(x[[run]])[0]) ** 2)
        baseline.append((y[run] - y[others].mean()) ** 2)
    found = predictive_r_squared(y, left_out_predictions(x, y))
    assert found == pytest.approx(1 - sum(errors) / sum(baseline), rel=1e-9)


def test_the_mean_of_the_others_has_a_predictive_r_squared_of_zero():
    y = np.random.default_rng(2).normal(size=12)
    means = (y.sum() - y) / 11
    assert predictive_r_squared(y, means) == pytest.approx(0, abs=1e-12)
    assert predictive_r_squared(y, y) == 1


def test_a_state_that_only_the_left_out_run_visits_counts_as_the_mean_of_the_others():
    x, y = example(3, n=20, k=3)
    x = np.column_stack([x, np.zeros(20)])
    x[4] = [0, 0, 0, 1]
    predicted = left_out_predictions(x, y)
    assert predicted[4] == pytest.approx(np.delete(y, 4).mean())
    x[4] = [0.5, 0, 0, 0.5]
    others = sm.OLS(np.delete(y, 4), np.delete(x, 4, 0)[:, :3]).fit()
    expected = 0.5 * others.params[0] + 0.5 * np.delete(y, 4).mean()
    assert left_out_predictions(x, y)[4] == pytest.approx(expected)


def test_resampled_fits_equal_a_plain_loop():
    x, y = example(4, n=15, k=3)
    coefficients, adjusted = resampled_fits(x, y, 50, random_state=7)
    drawn = np.random.default_rng(7).integers(15, size=(50, 15))
    for i in range(50):
        twin = sm.OLS(y[drawn[i]], x[drawn[i]]).fit()
        np.testing.assert_allclose(coefficients[i], twin.params, rtol=1e-7)
        assert adjusted[i] == pytest.approx(twin.rsquared_adj, rel=1e-7)


def test_resamples_without_a_state_do_not_determine_its_coefficient():
    """State 2 is visited by one run of 10: (9/10)^10 of the resamples lack it."""
    x, y = example(5, n=10, k=2)
    x = np.column_stack([x, np.zeros(10)])
    x[3] = [0.2, 0.3, 0.5]
    coefficients, adjusted = resampled_fits(x, y, 2000, random_state=0)
    drawn = np.random.default_rng(0).integers(10, size=(2000, 10))
    lacking = ~(drawn == 3).any(axis=1)
    assert lacking.mean() == pytest.approx(0.9**10, abs=0.04)
    np.testing.assert_array_equal(np.isnan(coefficients[:, 2]), lacking)
    assert np.isfinite(coefficients[:, :2]).mean() > 0.99
    assert np.isfinite(adjusted).all()


def test_resamples_with_equal_outcomes_have_no_r_squared():
    x = np.array([[1.0, 0.0], [0.5, 0.5], [0.2, 0.8]])
    y = np.array([0.0, 0.0, 1.0])
    adjusted = resampled_fits(x, y, 500, random_state=0)[1]
    drawn = np.random.default_rng(0).integers(3, size=(500, 3))
    equal = np.ptp(y[drawn], axis=1) == 0
    assert equal.any()
    np.testing.assert_array_equal(np.isnan(adjusted), equal)


def test_resampling_in_parts_changes_nothing(monkeypatch):
    x, y = example(6)
    whole = resampled_fits(x, y, 100, random_state=0)
    monkeypatch.setattr("training_maps.stats.least_squares._NUMBERS_AT_ONCE", 7 * x.size)
    for a, b in zip(whole, resampled_fits(x, y, 100, random_state=0), strict=True):
        np.testing.assert_array_equal(a, b)


def test_shuffled_r_squared_equals_fits_to_shuffled_outcomes():
    x, y = example(7, n=12, k=3)
    found = shuffled_r_squared(x, y, 20, random_state=3)
    shuffled = np.tile(y - y.mean(), (20, 1))
    shuffled = np.random.default_rng(3).permuted(shuffled, axis=1)
    expected = [fit_least_squares(x, values).r_squared for values in shuffled]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_shuffled_outcomes_explain_what_chance_does():
    """The mean of R² under the null is (k - 1) / (n - 1)."""
    x, y = example(8, n=21, k=5)
    assert shuffled_r_squared(x, y, 4000, 0).mean() == pytest.approx(4 / 20, abs=0.01)


def test_permutation_p_values_are_uniform_under_the_null():
    rng = np.random.default_rng(9)
    p_values = []
    for _ in range(300):
        x, y = rng.dirichlet(np.ones(3), size=12), rng.exponential(size=12)
        observed = fit_least_squares(x, y).r_squared
        p_values.append(permutation_p_value(observed, shuffled_r_squared(x, y, 99, 0)))
    for level in (0.05, 0.2, 0.5):
        # Binomial(300, level): within three standard deviations.
        share = np.mean(np.array(p_values) <= level)
        assert abs(share - level) < 3 * np.sqrt(level * (1 - level) / 300)


def test_permutation_p_value_counts_the_observed_one():
    assert permutation_p_value(0.5, np.array([0.1, 0.5, 0.9])) == 3 / 4
    assert permutation_p_value(2.0, np.array([0.1, 0.5, 0.9])) == 1 / 4


def test_intervals_cover_the_truth():
    """Of 60 data sets with a fork, about 95 % of intervals hold the planted coefficient."""
    truth = np.array([0.9, 0.7, 0.2, 0.05])
    rng = np.random.default_rng(10)
    covered = 0
    for seed in range(60):
        parts = rng.gamma(8, (2, 3, 1.5), size=(40, 3)) / 100
        parts[:, 1] *= rng.random(40) < 0.5
        x = np.column_stack([parts, 1 - parts.sum(axis=1)])
        y = x @ truth + rng.normal(0, 0.1, 40)
        low, high = percentile_interval(resampled_fits(x, y, 300, seed)[0][:, 1])
        covered += low <= 0.7 <= high
    assert 51 <= covered <= 60


def test_the_interval_of_r_squared_by_a_plain_loop_over_runs():
    """Tukey's jackknife with statsmodels' regressions; one run alone visits state 3."""
    x, y = example(8, n=12, k=3, noise=0.3)
    x = np.column_stack([x, np.zeros(12)])
    x[5] = [0.1, 0.2, 0.3, 0.4]
    whole = np.log(1 - sm.OLS(y, x).fit().rsquared_adj)
    pseudo = []
    for run in range(12):
        rest = np.arange(12) != run
        visited = x[rest][:, x[rest].any(axis=0)]
        without = np.log(1 - sm.OLS(y[rest], visited).fit().rsquared_adj)
        pseudo.append(12 * whole - 11 * without)
    kurtosis = stats.kurtosis(pseudo, fisher=False)
    degrees = np.clip(24 / (kurtosis - 1), 2, 8)
    half = stats.t.ppf(0.975, degrees) * stats.sem(pseudo)
    expected = np.clip([1 - np.exp(whole + half), 1 - np.exp(whole - half)], 0, 1)
    np.testing.assert_allclose(r_squared_interval(x, y), expected, rtol=1e-9)


def test_where_r_squared_has_no_interval():
    x, y = example(9, n=6, k=3)
    assert r_squared_interval(x[:5], y[:5]) is None
    low, high = r_squared_interval(x, y)
    assert 0 <= low < high <= 1
    x = np.array([[1.0, 0.0], [0.8, 0.2], [0.5, 0.5], [0.2, 0.8]])
    x = np.vstack([x, x])
    assert r_squared_interval(x, np.eye(8)[0]) is None
    assert r_squared_interval(x, x @ [1.0, 3.0]) == (1.0, 1.0)


@pytest.mark.parametrize("n", [10, 20, 40])
@pytest.mark.parametrize("noise", ["normal", "gamma"])
def test_the_interval_of_r_squared_keeps_its_coverage(n, noise):
    """Where resampled percentiles cover as few as 77 %."""
    rng = np.random.default_rng(n)
    truth = np.array([0.2, 0.6, 1.0])
    variance = np.var(rng.dirichlet([4, 4, 4], 100_000) @ truth)
    covered, sets = 0, 1000
    for _ in range(sets):
        x = rng.dirichlet([4, 4, 4], n)
        error = rng.normal(0, 1, n) if noise == "normal" else rng.gamma(4, 0.5, n) - 2
        low, high = r_squared_interval(x, x @ truth + np.sqrt(variance / 4) * error)
        covered += low <= 0.8 <= high
    assert 0.93 - 0.01 <= covered / sets <= 0.97 + 0.01


def test_percentile_interval_leaves_nan_out():
    values = np.append(np.arange(101.0), np.nan)
    assert percentile_interval(values, 0.9) == pytest.approx((5, 95))


def test_coefficient_intervals_by_the_formula():
    """HC3: (X'X)^-1 X' diag(r² / (1 - h)²) X (X'X)^-1, MacKinnon and White 1985."""
    rng = np.random.default_rng(3)
    x = rng.dirichlet([3, 3, 3], 12)
    y = x @ [0.2, 0.5, 0.9] + rng.normal(0, 0.1, 12)
    gram = np.linalg.inv(x.T @ x)
    hat = np.diag(x @ gram @ x.T)
    residual = y - x @ gram @ x.T @ y
    errors = np.sqrt(np.diag(gram @ x.T @ np.diag((residual / (1 - hat)) ** 2) @ x @ gram))
    half = stats.t.ppf(0.975, 9) * errors
    middle = gram @ x.T @ y
    expected = np.column_stack([middle - half, middle + half])
    np.testing.assert_allclose(coefficient_intervals(x, y), expected)


def test_a_coefficient_of_a_single_run_has_no_interval():
    x = np.array([[0.5, 0.5, 0.0]] * 3 + [[0.3, 0.7, 0.0]] * 3 + [[0.4, 0.2, 0.4]])
    found = coefficient_intervals(x, np.arange(7.0))
    assert np.isfinite(found[:2]).all()
    assert np.isnan(found[2]).all()


@pytest.mark.parametrize("n", [10, 20, 40])
@pytest.mark.parametrize("noise", ["normal", "gamma"])
def test_coefficient_intervals_keep_their_coverage(n, noise):
    """Where resampled percentiles cover 88 to 90 % of 10 runs."""
    rng = np.random.default_rng(n)
    truth = np.array([0.2, 1.0])
    covered, sets = 0.0, 1000
    for _ in range(sets):
        x = rng.dirichlet([4, 4], n)
        error = rng.normal(0, 1, n) if noise == "normal" else rng.gamma(4, 0.5, n) - 2
        low, high = coefficient_intervals(x, x @ truth + 0.1 * error).T
        covered += ((low <= truth) & (truth <= high)).mean()
    assert 0.93 - 0.01 <= covered / sets <= 0.97 + 0.01
