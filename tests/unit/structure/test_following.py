"""Residuals that are followed: plain loops, least squares by SciPy, and moving averages."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.signal import lfilter

from training_maps.structure import following as module
from training_maps.structure.following import (
    lagged,
    products_of,
    running_averages,
    shares_of,
    squares_of,
)


def test_lags_are_by_plain_loops() -> None:
    lengths = [4, 1, 6]
    rows = np.random.default_rng(0).normal(size=(11, 2))
    found, at = lagged(rows, lengths), 0
    for length in lengths:
        last, average = np.zeros(2), np.zeros(2)
        for row, lags in zip(rows[at : at + length], found[at : at + length], strict=True):
            np.testing.assert_allclose(lags, np.stack([last, average], axis=1), rtol=1e-12)
            last, average = row, 0.8 * average + 0.2 * row
        at += length


def test_products_are_those_under_the_inverse_covariance() -> None:
    draw = np.random.default_rng(0)
    a = draw.normal(size=(5, 3, 4))
    covariances = a @ np.swapaxes(a, 1, 2)
    residuals, lags = draw.normal(size=(5, 3)), draw.normal(size=(5, 3, 2))
    found = products_of(np.linalg.inv(np.linalg.cholesky(covariances)), residuals, lags)
    for t in range(5):
        parts = np.column_stack([residuals[t], lags[t]])
        expected = parts.T @ np.linalg.inv(covariances[t]) @ parts
        np.testing.assert_allclose(found[t], expected, rtol=1e-8)
        left = residuals[t] - 0.4 * lags[t, :, 0] + 0.7 * lags[t, :, 1]
        square = left @ np.linalg.inv(covariances[t]) @ left
        assert squares_of(found, np.array([0.4, -0.7]))[t] == pytest.approx(square, rel=1e-8)


def moving_averages(theta: float, seed: int, n: int = 4000, d: int = 2) -> np.ndarray:
    """Residuals e_t = z_t + theta z_t-1."""
    z = np.random.default_rng(seed).normal(size=(n + 1, d))
    return np.asarray(z[1:] + theta * z[:-1])


def products(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of residuals under the unit covariance, and how many entries are seen."""
    found = products_of(np.eye(rows.shape[1])[None], rows, lagged(rows, [len(rows)]))
    return found, np.full(len(rows), float(rows.shape[1]))


def test_shares_minimise_the_weighted_squares(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = moving_averages(-0.5, 0, n=300)
    rows[40] += 25.0  # a spike counts for little
    found, seen = products(rows)
    monkeypatch.setattr(module, "_ROUNDS", 200)

    def lost(shares: np.ndarray) -> float:
        # Student's t of 4 degrees whose covariance is the unit one, and the lean on 0.
        distance = squares_of(found, shares)
        return float(np.sum((4 + seen) / 2 * np.log1p(distance / 2)) + 10 * shares @ shares)

    best = minimize(lost, np.zeros(2), options={"gtol": 1e-8})
    np.testing.assert_allclose(shares_of(found, seen), best.x, atol=1e-4)


def test_three_rounds_are_nearly_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found, seen = products(moving_averages(-0.5, 0))
    few = shares_of(found, seen)
    monkeypatch.setattr(module, "_ROUNDS", 100)
    all_rounds = squares_of(found, shares_of(found, seen)).mean()
    assert squares_of(found, few).mean() == pytest.approx(all_rounds, rel=1e-3)
    assert squares_of(found, np.zeros(2)).mean() > 1.1 * all_rounds


@pytest.mark.parametrize("theta", [-0.8, -0.4, 0.5])
def test_a_moving_average_is_followed_the_right_way(theta: float) -> None:
    rows = moving_averages(theta, 1)
    found, seen = products(rows)
    f, g = shares_of(found, seen)
    # The best of two lags foretells nearly as well as all of them would, which leave variance 1.
    left = squares_of(found, np.array([f, g])).mean() / 2
    assert left < 1 + 0.55 * theta**2
    assert np.sign(f + 0.2 * g) == np.sign(theta)


def test_nothing_is_followed_where_there_is_nothing_to_follow() -> None:
    for seed in range(20):
        rows = np.random.default_rng(seed).normal(size=(2000, 3))
        assert np.abs(shares_of(*products(rows))).max() < 0.12


@pytest.mark.parametrize("kept", [0.0, 0.7, 0.9])
@pytest.mark.parametrize("shape", [(), (3,)])
def test_running_averages_are_scipy_s_filter_of_each_run(
    kept: float, shape: tuple[int, ...]
) -> None:
    draw = np.random.default_rng(0)
    runs = [draw.normal(size=(length, *shape)) for length in (7, 1, 30, 2)]
    before = draw.normal(size=(len(runs), *shape))
    found = running_averages(np.concatenate(runs), list(map(len, runs)), kept, before)
    expected = [
        lfilter([1 - kept], [1, -kept], run, axis=0, zi=kept * first[None])[0]
        for run, first in zip(runs, before, strict=True)
    ]
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-14, atol=1e-15)
