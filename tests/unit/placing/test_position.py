"""Distances from the map's runs, against loops over runs and steps."""

import numpy as np
import pytest

from training_maps.placing.position import (
    NEAREST,
    log_distances,
    log_distances_of_each,
    whitening,
    whitening_of_others,
)


@pytest.fixture
def runs():
    draw = np.random.default_rng(0)
    mixing = draw.normal(size=(4, 4))
    course = draw.normal(size=(9, 4)).cumsum(axis=0)
    return course + draw.normal(size=(7, 9, 4)) @ mixing


def test_whitened_deviations_have_unit_covariance(runs):
    deviations = (runs - runs.mean(axis=0)).reshape(-1, 4)
    covariance = deviations.T @ deviations / len(deviations)
    ridge = 1e-3 * np.diag(covariance.diagonal()) + 1e-6 * np.eye(4)
    white = whitening(runs)
    np.testing.assert_allclose(white.T @ (covariance + ridge) @ white, np.eye(4), atol=1e-9)


def test_a_metric_in_which_runs_do_not_differ_does_not_explode(runs):
    runs[:, :, 2] = runs[0, :, 2]
    white = whitening(runs)
    assert np.isfinite(white).all()
    assert np.abs(runs[1] @ white - runs[0] @ white).max() < 1e3


def test_distances_are_from_the_nearest(runs):
    others, run = runs[1:], runs[0]
    found = log_distances(others, run)
    for t in range(9):
        each = sorted(np.linalg.norm(other[t] - run[t]) for other in others)
        expected = np.sqrt(np.mean(np.square(each[:NEAREST])))
        assert found[t] == pytest.approx(np.log(expected), abs=1e-6)


def test_runs_that_have_ended_are_not_there(runs):
    runs[1:3, 5:] = np.nan
    found = log_distances(runs[1:], runs[0])
    np.testing.assert_allclose(found[5:], log_distances(runs[3:], runs[0])[5:])
    runs[1:5, 7:] = np.nan
    assert np.isnan(log_distances(runs[1:], runs[0])[7:]).all()


def test_where_a_run_has_no_checkpoint_there_is_no_distance(runs):
    runs[0, 4] = np.nan
    found = log_distances(runs[1:], runs[0])
    assert np.isnan(found[4])
    assert np.isfinite(np.delete(found, 4)).all()


def test_each_run_is_whitened_without_itself(runs):
    found = log_distances_of_each(runs)
    for run in range(len(runs)):
        others = np.delete(runs, run, axis=0)
        white = whitening(others)
        np.testing.assert_allclose(found[run], log_distances(others @ white, runs[run] @ white))
    runs[3] += 100.0
    np.testing.assert_allclose(
        log_distances(np.delete(runs, 3, axis=0) @ (white := whitening(np.delete(runs, 3, axis=0))),
                      runs[3] @ white), log_distances_of_each(runs)[3]
    )  # fmt: skip


def test_distances_do_not_depend_on_units(runs):
    """Metrics in other units, or mixed, are as far apart: the ridge is in their own variances."""
    scaled = runs * np.array([100.0, 1.0, 0.5, 10.0])
    found, expected = log_distances_of_each(scaled), log_distances_of_each(runs)
    np.testing.assert_allclose(found, expected, atol=1e-2)


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
def test_whitening_without_each_run_is_that_of_the_others(runs):
    """Also where checkpoints or single metrics are missing."""
    runs[2, 6:] = np.nan
    runs[4, 1, 3] = np.nan
    runs[:, 8] = np.nan
    runs[0, 8] = 1.0
    for run, white in enumerate(whitening_of_others(runs)):
        expected = whitening(np.delete(runs, run, axis=0))
        np.testing.assert_allclose(white @ white.T, expected @ expected.T, rtol=1e-9)


def test_a_run_that_is_far_away_leaves_no_rounding_in_the_whitening_of_others(runs):
    runs[3] += 1e9
    expected = whitening(np.delete(runs, 3, axis=0))
    found = whitening_of_others(runs)[3]
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, rtol=1e-9)
