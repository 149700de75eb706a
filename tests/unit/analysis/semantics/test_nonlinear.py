"""Ridge and random forest beside the linear model, against plain NumPy and scikit-learn."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from training_maps.analysis.semantics import nonlinear
from training_maps.analysis.semantics.nonlinear import (
    compare_alternatives,
    forest_predictions,
    ridge_predictions,
)
from training_maps.stats.cross_validation import PENALTIES
from training_maps.stats.least_squares import left_out_predictions, predictive_r_squared


@pytest.fixture(autouse=True)
def small_forests(monkeypatch):
    monkeypatch.setattr(nonlinear, "N_TREES", 100)
    monkeypatch.setattr(nonlinear, "N_REPEATS", 3)


def shares(seed, n=30, k=3):
    return np.random.default_rng(seed).dirichlet(np.ones(k), size=n)


def compare(x, y):
    return compare_alternatives(x, y, left_out_predictions(x, y), list(range(x.shape[1])), 0)


def plain_ridge(x, y, at, penalty):
    """Ridge with intercept on standardised columns, by the normal equations."""
    mean, scale = x.mean(axis=0), x.std(axis=0)
    z = (x - mean) / scale
    slopes = np.linalg.solve(z.T @ z + penalty * np.eye(x.shape[1]), z.T @ (y - y.mean()))
    return y.mean() + (at - mean) / scale @ slopes


def test_of_many_runs_a_hundredth_is_left_out_at_a_time(monkeypatch):
    x = shares(2, n=400)
    y = x @ [0.1, 0.5, 0.9] + np.random.default_rng(2).normal(0, 0.1, 400)
    one, penalty = ridge_predictions(x, y)
    assert compare(x, y)["ridge"]["predictions"] == "one left out"
    monkeypatch.setattr(nonlinear, "MOST_LEFT_OUT", 399)
    several, same = ridge_predictions(x, y)
    assert compare(x, y)["ridge"]["predictions"] == "a hundredth left out"
    assert penalty == same
    assert np.abs(several - one).mean() < 0.01 * np.abs(one - y).mean()
    # What is left out has no say: another outcome of a run does not change its own prediction.
    assert not np.array_equal(several, one)
    y[7] += 100.0
    assert ridge_predictions(x, y)[0][7] == several[7]


def test_ridge_equals_two_plain_loops():
    """The outer loop leaves out the run to predict, the inner one chooses the penalty."""
    x = shares(0, n=12)
    y = x @ [0.1, 0.5, 0.9] + np.random.default_rng(0).normal(0, 0.1, 12)
    expected = []
    for run in range(12):
        a, b = np.delete(x, run, 0), np.delete(y, run)
        # Standardised once for all others, as the penalty is chosen among them.
        mean, scale = a.mean(axis=0), a.std(axis=0)
        z = (a - mean) / scale
        errors = []
        for penalty in PENALTIES * 11:
            total = 0.0
            for inner in range(11):
                c, d = np.delete(z, inner, 0), np.delete(b, inner)
                middle = c.mean(axis=0)
                inverse = np.linalg.inv((c - middle).T @ (c - middle) + penalty * np.eye(3))
                slopes = inverse @ (c - middle).T @ (d - d.mean())
                total += (b[inner] - d.mean() - (z[inner] - middle) @ slopes) ** 2
            errors.append(total)
        best = PENALTIES[int(np.argmin(errors))] * 11
        expected.append(plain_ridge(a, b, x[run], best))
    found, penalty = ridge_predictions(x, y)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.isclose(penalty, PENALTIES).any()


def test_forest_predictions_are_scikit_learns_out_of_bag_ones():
    x, y = shares(1), np.random.default_rng(1).normal(size=30)
    twin = RandomForestRegressor(100, random_state=5, oob_score=True).fit(x, y)
    np.testing.assert_allclose(forest_predictions(x, y, 5)[0], twin.oob_prediction_, rtol=1e-9)


def test_a_run_in_every_bag_is_predicted_by_the_mean(monkeypatch):
    monkeypatch.setattr(nonlinear, "N_TREES", 1)
    x, y = shares(2, n=8), np.arange(8.0)
    drawn = RandomForestRegressor(1, random_state=0).fit(x, y).estimators_samples_[0]
    predictions = forest_predictions(x, y, 0)[0]
    np.testing.assert_array_equal(predictions[drawn], y.mean())


def test_importance_lies_with_the_state_that_matters():
    x = shares(3, n=60, k=4)
    importance = forest_predictions(x, (x[:, 2] > 0.25).astype(float), 0)[1]
    assert importance.argmax() == 2
    assert importance[2] > 0.5
    assert np.abs(np.delete(importance, 2)).max() < 0.2


def test_a_threshold_is_beyond_the_linear_model():
    x = shares(4, n=60)
    found = compare(x, np.sin(15 * x[:, 0]))
    assert found["forest"]["leave_one_out_r_squared"] > 0.6
    assert "Linearity is the limit" in found["sentence"]


def test_a_linear_outcome_is_not_limited_by_linearity():
    x = shares(5, n=60)
    found = compare(x, x @ [0.1, 0.5, 0.9] + np.random.default_rng(5).normal(0, 0.02, 60))
    assert found["linear"]["leave_one_out_r_squared"] > 0.95
    assert "linear model predicts runs it has not seen clearly better" in found["sentence"]
    assert "not the limit" in found["sentence"]


def test_noise_is_predicted_by_nothing():
    x, y = shares(6), np.random.default_rng(8).normal(size=30)
    found = compare(x, y)
    assert "No model predicts" in found["sentence"]
    assert found["linear"]["leave_one_out_r_squared"] == predictive_r_squared(
        y, left_out_predictions(x, y)
    )


def test_repeatable_and_ready_for_json():
    x = shares(7, n=15)
    y = x[:, 0] ** 2
    first = compare(x, y)
    assert first == compare(x, y)
    json.dumps(first, allow_nan=False)
    assert [row["state"] for row in first["forest"]["importance"]] == [0, 1, 2]
