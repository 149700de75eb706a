"""Predicted outcomes: against regressions that really leave each run out, and what they cover."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from training_maps.placing.forecast import _PENALTIES, LEVEL, WORTH_IT, Forecast, Regressions

TIME = {"name": "convergence time", "is_time": True, "unit": "step"}


def data(n_runs=30, d=4, noise=0.1, seed=0):
    """Metrics at two steps, and logarithms of times that the second step's tell."""
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(n_runs, 2, d))
    outcome = 4 + 0.5 * values[:, 1, 0] - 0.2 * values[:, 1, 1] + noise * draw.normal(size=n_runs)
    return values, outcome


def everyone(values):
    return np.ones(values.shape[:2], dtype=bool)


def test_errors_are_those_of_regressions_without_the_run():
    values, outcome = data()
    fitted = Regressions.of(values, outcome, everyone(values))
    x = values[:, 1]
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    best = None
    for penalty in _PENALTIES:
        errors = np.array(
            [
                outcome[i]
                - Ridge(alpha=penalty * x.shape[1])
                .fit(np.delete(x, i, axis=0), np.delete(outcome, i))
                .predict(x[i : i + 1])[0]
                for i in range(len(x))
            ]
        )
        errors -= np.median(errors)
        if best is None or np.abs(errors).mean() < np.abs(best).mean():
            best = errors
    np.testing.assert_allclose(fitted.errors[1], best, atol=1e-8)


def test_the_prediction_is_that_regression_moved_to_the_median_error():
    values, outcome = data(noise=1e-6)
    fitted = Regressions.of(values, outcome, everyone(values))
    np.testing.assert_allclose(fitted.predict(values)[:, 1], outcome, atol=0.01)


@pytest.mark.parametrize("n_runs", [29, 30])
def test_what_does_not_tell_the_outcome_gives_the_median(n_runs):
    values, outcome = data(n_runs)
    outcome[3] = outcome[7]
    fitted = Regressions.of(values, outcome, everyone(values))
    assert not fitted.weights[0].any()
    assert fitted.constant[0] == np.median(outcome)
    others = [np.median(np.delete(outcome, i)) for i in range(len(outcome))]
    np.testing.assert_allclose(fitted.errors[0], outcome - others)
    assert 0 < WORTH_IT < 1


def test_more_metrics_than_runs_are_left_out_alike():
    """Against regressions that really leave each run out, in as many dimensions as it takes."""
    values, outcome = data(8, d=12, noise=1e-3)
    values[:, 1, 0] *= 3
    outcome = 4 + values[:, 1].sum(axis=1)
    found = Regressions.of(values, outcome, everyone(values)).errors[1]
    x = values[:, 1]
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    others = [np.arange(8) != i for i in range(8)]
    tried = [outcome - [np.median(outcome[kept]) for kept in others]]
    for penalty in _PENALTIES:
        fits = [Ridge(alpha=12 * penalty).fit(x[kept], outcome[kept]) for kept in others]
        errors = outcome - [fit.predict(x[[i]])[0] for i, fit in enumerate(fits)]
        tried.append(errors - np.median(errors))
    assert min(np.abs(found - errors).max() for errors in tried) < 1e-8


@pytest.mark.parametrize("n_runs", [9, 40])
def test_intervals_hold_what_they_say(n_runs):
    inside = []
    for seed in range(150):
        values, outcome = data(n_runs + 1, d=2, noise=0.5, seed=seed)
        fitted = Regressions.of(values[:-1], outcome[:-1], everyone(values[:-1]))
        low, high = fitted.interval()
        predicted = fitted.predict(values[-1])
        inside.append((predicted + low <= outcome[-1]) & (outcome[-1] <= predicted + high))
    assert np.mean(inside) == pytest.approx(LEVEL, abs=0.06)


def test_too_few_runs_predict_nothing():
    values, outcome = data()
    counts = everyone(values)
    counts[4:, 1] = False
    fitted = Regressions.of(values, outcome, counts)
    assert np.isnan(fitted.predict(values[0])[1])
    assert np.isfinite(fitted.predict(values[0])[0])
    assert np.isnan(fitted.interval()[0][1])


STEPS = np.arange(0, 200, 20.0)


def forecast(n_runs=30, seed=0, told=0.02):
    """Runs that converge between 50 and 170, which one metric tells from the start."""
    draw = np.random.default_rng(seed)
    times = draw.uniform(50, 170, n_runs).round()
    values = draw.normal(size=(n_runs, len(STEPS), 3))
    values[:, :, 0] = np.log(times)[:, None] + told * draw.normal(size=(n_runs, len(STEPS)))
    none = np.zeros(n_runs, dtype=bool)
    return Forecast.of(TIME, values, STEPS, times, none), values, times


def test_times_are_told_in_steps_and_never_lie_in_the_past():
    made, values, times = forecast()
    predicted, low, high, _ = made.predict(values[0], STEPS, STEPS, True)
    assert predicted[0] == pytest.approx(times[0], rel=0.1)
    there = ~np.isnan(predicted)
    assert (predicted[there] >= STEPS[there]).all()
    assert (low[there] >= STEPS[there]).all()
    assert (low[there] <= predicted[there]).all()
    assert (predicted[there] <= high[there]).all()
    unknown = made.predict(values[0], STEPS, STEPS, False)[0]
    assert unknown[-1] == pytest.approx(times[0], rel=0.1)  # it may have converged already


def test_a_run_that_has_not_converged_is_compared_with_those_that_had_not():
    made, values, times = forecast(told=10.0)
    predicted = made.predict(values[0], STEPS, STEPS, True)[0]
    at = 5
    later = times[times > STEPS[at]]
    assert predicted[at] == pytest.approx(np.exp(np.median(np.log(later + 20))) - 20)


def test_slow_runs_are_told_and_others_are_not():
    made, values, times = forecast()
    assert made.slow_after == np.quantile(times, 0.75)
    over = np.array(
        [
            np.where(time > STEPS, made.predict(run, STEPS, STEPS, True)[3], 0).max()
            for run, time in zip(values, times, strict=True)
        ]
    )
    slow = times > made.slow_after
    assert (over[slow] > 1).mean() > 0.8
    assert (over[~slow] > 1).mean() <= 0.1


def test_who_has_not_converged_when_three_quarters_had_is_slow():
    made, values, _ = forecast(told=10.0)
    over = made.predict(values[0], STEPS, STEPS, True)[3]
    assert (over[made.slow_after <= STEPS] > 1).all()


def test_of_further_runs_like_them_few_are_called_slow_and_are_not():
    wrong, others = 0, 0
    for seed in range(40):
        made = forecast(41, seed=seed, told=0.3)[0]
        draw = np.random.default_rng([seed, 1])
        time = draw.uniform(50, 170)
        run = draw.normal(size=(len(STEPS), 3))
        run[:, 0] = np.log(time) + 0.3 * draw.normal(size=len(STEPS))
        if time <= made.slow_after:
            over = made.predict(run, STEPS, STEPS, True)[3]
            others += 1
            wrong += bool((over[time > STEPS] > 1).any())
    assert wrong / others <= 0.15


def test_other_outcomes_are_predicted_as_they_are():
    values, outcome = data(noise=1e-6)
    about = {"name": "final loss", "is_time": False, "unit": "nats"}
    made = Forecast.of(about, values, np.array([0.0, 1.0]), outcome, np.zeros(30, dtype=bool))
    predicted, low, high, over = made.predict(values[0], np.array([0.0, 1.0]), STEPS[:2], True)
    assert predicted[1] == pytest.approx(outcome[0], abs=0.02)
    assert low[1] <= predicted[1] <= high[1]
    assert not over.any()
