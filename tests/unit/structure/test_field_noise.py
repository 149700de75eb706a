"""The noise of smooth fields: by plain loops, SciPy's filters and all paths of its levels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.signal import lfilter

from training_maps.hmm.predictive import student_t
from training_maps.structure import field_noise as module
from training_maps.structure.field_noise import (
    Noise,
    Residuals,
    followed,
    lagged,
    log_densities,
    running_averages,
)

LEVELS = (1 / 16, 1 / 4, 1.0, 4.0)
DEGREES = [np.inf, 4.0]


def residuals(rows: np.ndarray, lengths: list[int], seed: int = 0) -> Residuals:
    """What a field with the unit covariance would leave, some entries not seen."""
    missing = np.random.default_rng(seed).uniform(size=rows.shape) < 0.1
    before = lagged(np.where(missing, 0.0, rows), lengths)
    before[missing] = 0.0
    products = np.swapaxes(before, 1, 2) @ before
    seen = (~missing).sum(axis=1).astype(float)
    return Residuals(products, np.linspace(-1, 1, len(rows)), seen, lengths)


def drawn(seed: int, lengths: list[int], d: int = 3) -> Residuals:
    return residuals(np.random.default_rng(seed).normal(size=(sum(lengths), d)), lengths, seed)


def observed_with_noise(
    seed: int, sizes: tuple[float, float] = (2.0, 0.2), n_runs: int = 12, length: int = 120
) -> Residuals:
    """Of a random walk that is observed with noise, which changes its size half-way.

    The field expects the next row where this one is, whatever the noise.
    """
    draw = np.random.default_rng(seed)
    rows = []
    for _ in range(n_runs):
        size = np.where(np.arange(length + 1) < draw.integers(30, 90), *sizes)[:, None]
        walk = 0.3 * np.cumsum(draw.normal(size=(length + 1, 4)), axis=0)
        rows.append(np.diff(walk + size * draw.normal(size=walk.shape), axis=0))
    before = np.concatenate(rows)
    return residuals(before / before.std(), [length] * n_runs, seed)


def test_lags_are_by_plain_loops() -> None:
    lengths = [4, 1, 6]
    rows = np.random.default_rng(0).normal(size=(11, 2))
    found, at = lagged(rows, lengths), 0
    for length in lengths:
        last, average = np.zeros(2), np.zeros(2)
        for row, parts in zip(rows[at : at + length], found[at : at + length], strict=True):
            np.testing.assert_allclose(parts, np.stack([row, last, average], axis=1), rtol=1e-12)
            last, average = row, 0.8 * average + 0.2 * row
        at += length


def sizes_by_loop(swell: float, squares: np.ndarray) -> list[float]:
    """s_t = 1 - c + c h_t, with h_t = 0.8 h_t-1 + 0.2 of the last square, at most 20; h_1 = 1."""
    h, found = 1.0, []
    for square in squares:
        found.append(1 - swell + swell * h)
        h = 0.8 * h + 0.2 * min(square, 20.0)
    return found


@pytest.mark.parametrize("degrees", DEGREES)
@pytest.mark.parametrize("swell", [0.0, 0.5, 0.9])
def test_noise_that_swells_by_a_plain_loop(swell: float, degrees: float) -> None:
    rows = np.random.default_rng(0).normal(size=(24, 3))
    rows[5] = 30.0  # a square beyond the largest
    left = residuals(rows, [9, 1, 14])
    found, at = log_densities(Noise(degrees, swell), None, left), 0
    distance = left.products[:, 0, 0]
    assert distance.max() > 20 * 3
    for i, length in enumerate(left.lengths):
        part = slice(at, at + length)
        at += length
        squares, total = distance[part] / np.maximum(left.seen[part], 1), 0.0
        for t, size in zip(range(part.start, at), sizes_by_loop(swell, squares), strict=True):
            log = left.log_determinant[t] + left.seen[t] * np.log(size)
            total += float(student_t(distance[t] / size, log, left.seen[t], degrees))
        assert found[i] == pytest.approx(total, rel=1e-10)


def test_noise_that_switches_by_all_paths_of_its_levels() -> None:
    noise, left = Noise(8.0, switching=True), drawn(0, [5])
    following = np.random.default_rng(1).normal(scale=0.3, size=(4, 2))
    total = 0.0
    for path in itertools.product(range(4), repeat=5):
        probability = 1 / 4
        for a, b in itertools.pairwise(path):
            probability *= 0.925 if a == b else 0.025  # stays at 0.9, or draws any of the four
        for t, level in enumerate(path):
            size, shares = LEVELS[level], np.array([1.0, *-following[level]])
            log = left.log_determinant[t] + left.seen[t] * np.log(size)
            distance = shares @ left.products[t] @ shares
            probability *= np.exp(student_t(distance / size, log, left.seen[t], 8.0))
        total += float(probability)
    assert log_densities(noise, following, left)[0] == pytest.approx(np.log(total), rel=1e-10)


def test_only_switching_noise_follows() -> None:
    left = drawn(0, [20, 20])
    for noise in module.NOISES:
        found = followed(noise, left)
        assert (found is None) == (not noise.switching)
        assert found is None or found.shape == (4, 2)


def penalised(noise: Noise, following: np.ndarray, left: Residuals) -> float:
    """What EM raises: the log density less the lean on not at all."""
    lean = 0.5 * module._LEAN * np.square(following).sum()
    return float(log_densities(noise, following.reshape(4, 2), left).sum() - lean)


@pytest.mark.parametrize("degrees", DEGREES)
def test_em_raises_the_penalised_density_and_ends_where_scipy_does(
    degrees: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise, left = Noise(degrees, switching=True), observed_with_noise(0)
    values = [penalised(noise, np.zeros((4, 2)), left)]
    for rounds in range(1, 6):
        monkeypatch.setattr(module, "_ROUNDS", rounds)
        found = followed(noise, left)
        assert found is not None
        values.append(penalised(noise, found, left))
    assert np.all(np.diff(values) >= -1e-6)
    assert values[4] > values[0] + 0.95 * (values[5] - values[0])  # four rounds are most of it
    monkeypatch.setattr(module, "_ROUNDS", 300)
    found = followed(noise, left)
    assert found is not None
    best = minimize(lambda f: -penalised(noise, f, left), np.zeros(8), options={"gtol": 1e-4})
    np.testing.assert_allclose(found.ravel(), best.x, atol=1e-2)
    assert penalised(noise, found, left) == pytest.approx(-best.fun, abs=1e-2)


def test_large_noise_is_followed_less_than_small() -> None:
    found = followed(Noise(np.inf, switching=True), observed_with_noise(1))
    assert found is not None
    # What large noise adds to a row is gone in the next.
    assert found[2:, 0].max() < -0.2
    assert found[:2].sum() > found[2:].sum() + 0.3


def test_nothing_is_followed_where_there_is_nothing_to_follow() -> None:
    found = followed(Noise(np.inf, switching=True), drawn(3, [200] * 10))
    assert found is not None
    assert np.abs(found[2]).max() < 0.1  # the level at which they are
    np.testing.assert_allclose(found[0], 0, atol=0.1)


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


def test_the_recent_size_of_noise_starts_anew_with_each_run() -> None:
    products = np.zeros((4, 3, 3))
    products[:, 0, 0] = [3.0, 6.0, 0.0, 9.0]
    left = Residuals(products, np.zeros(4), np.array([3.0, 3.0, 3.0, 0.0]), [2, 2])
    kept = module._KEPT
    expected = [1, kept + (1 - kept) * 1, 1, kept]
    np.testing.assert_allclose(module._recent(left), expected, rtol=1e-14)
