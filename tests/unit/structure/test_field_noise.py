"""The noise of smooth fields: by plain loops, and by all paths of its levels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from training_maps.hmm.predictive import student_t
from training_maps.structure import field_noise as module
from training_maps.structure.field_noise import Noise, Residuals, log_densities
from training_maps.structure.following import KEPT

LEVELS = (1 / 16, 1 / 4, 1.0, 4.0)


def drawn(seed: int, lengths: list[int]) -> Residuals:
    """What a field might leave of steps in three metrics, some entries not seen."""
    draw = np.random.default_rng(seed)
    n = sum(lengths)
    seen = draw.integers(0, 4, size=n).astype(float)
    distance, followed = draw.chisquare(3, (2, n)) * (seen > 0)
    return Residuals(distance, followed, draw.normal(size=n), seen, lengths)


def sizes_by_loop(swell: float, squares: np.ndarray) -> list[float]:
    """s_t = 1 - c + c h_t, with h_t = 0.8 h_t-1 + 0.2 of the last square, at most 20; h_1 = 1."""
    h, found = 1.0, []
    for square in squares:
        found.append(1 - swell + swell * h)
        h = 0.8 * h + 0.2 * min(square, 20.0)
    return found


@pytest.mark.parametrize("degrees", [np.inf, 4.0])
@pytest.mark.parametrize("swell", [0.0, 0.5, 0.9])
def test_noise_that_swells_by_a_plain_loop(swell: float, degrees: float) -> None:
    left = drawn(0, [9, 1, 14])
    left.distance[5] = 200.0  # a square beyond the largest
    found, at = log_densities(Noise(degrees, swell), left), 0
    for i, length in enumerate(left.lengths):
        part = slice(at, at + length)
        at += length
        squares, total = left.distance[part] / np.maximum(left.seen[part], 1), 0.0
        for t, size in zip(range(part.start, at), sizes_by_loop(swell, squares), strict=True):
            log = left.log_determinant[t] + left.seen[t] * np.log(size)
            total += float(student_t(left.distance[t] / size, log, left.seen[t], degrees))
        assert found[i] == pytest.approx(total, rel=1e-10)


def test_noise_that_switches_by_all_paths_of_its_levels() -> None:
    left, total = drawn(0, [5]), 0.0
    for path in itertools.product(range(4), repeat=5):
        probability = 1 / 4
        for a, b in itertools.pairwise(path):
            probability *= 0.925 if a == b else 0.025  # stays at 0.9, or draws any of the four
        for t, level in enumerate(path):
            size = LEVELS[level]
            log = left.log_determinant[t] + left.seen[t] * np.log(size)
            probability *= np.exp(student_t(left.followed[t] / size, log, left.seen[t], 8.0))
        total += float(probability)
    found = log_densities(Noise(8.0, switching=True), left)[0]
    assert found == pytest.approx(np.log(total), rel=1e-10)


def test_the_recent_size_of_noise_starts_anew_with_each_run() -> None:
    seen = np.array([3.0, 3.0, 3.0, 0.0])
    left = Residuals(np.array([3.0, 6.0, 0.0, 9.0]), np.ones(4), np.zeros(4), seen, [2, 2])
    expected = [1, KEPT + (1 - KEPT) * 1, 1, KEPT]
    np.testing.assert_allclose(module._recent(left), expected, rtol=1e-14)
