"""The interval of a mean: Student's t where values are symmetric, and its coverage where not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from training_maps.stats.mean_interval import mean_interval


def test_symmetric_values_have_the_interval_of_students_t():
    values = np.array([1.0, 2.0, 4.0, 5.0, 7.0, 8.0])
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean_interval(values) == pytest.approx((theirs.low, theirs.high))


def test_the_cubic_is_inverted():
    """Hall's transform of the t of each end is the quantile of Student's t."""
    values = np.random.default_rng(0).lognormal(0, 0.7, 12)
    n, root = len(values), len(values) ** 0.5
    a = stats.skew(values) / 3

    def transformed(t):
        u = t / root
        return root * (u + a * u**2 + a**2 * u**3 / 3 + a / 2 / n)

    quantile = stats.t.ppf(0.975, n - 1)
    ends = [
        values.mean()
        - optimize.brentq(lambda t, q=q: transformed(t) - q, -99, 99) * stats.sem(values)
        for q in (quantile, -quantile)
    ]
    assert mean_interval(values) == pytest.approx(ends)


def test_scale_shift_and_mirror():
    values = np.random.default_rng(1).gamma(2, 1, 9)
    low, high = mean_interval(values)
    assert mean_interval(5 + 3 * values) == pytest.approx((5 + 3 * low, 5 + 3 * high))
    assert mean_interval(-values) == pytest.approx((-high, -low))
    assert high - values.mean() > values.mean() - low  # the long tail is above


def test_few_values_and_equal_ones():
    assert mean_interval(np.array([])) is None
    assert mean_interval(np.array([3.0, 5.0])) is None
    assert mean_interval(np.array([3.0, 3.0, 3.0])) == (3.0, 3.0)


@pytest.mark.parametrize("n", [10, 20, 40])
@pytest.mark.parametrize(
    ("draw", "truth"),
    [
        (lambda rng, n: rng.normal(10, 1, n), 10.0),
        (lambda rng, n: rng.gamma(4, 1, n), 4.0),
        (lambda rng, n: rng.gamma(1, 1, n), 1.0),
        (lambda rng, n: rng.lognormal(0, 0.5, n), np.exp(0.125)),
    ],
    ids=["normal", "gamma", "exponential", "log-normal"],
)
def test_coverage(draw, truth, n):
    rng = np.random.default_rng(n)
    sets = 1500
    intervals = np.array([mean_interval(draw(rng, n)) for _ in range(sets)])
    share = ((intervals[:, 0] <= truth) & (truth <= intervals[:, 1])).mean()
    error = 3 * (0.95 * 0.05 / sets) ** 0.5
    assert 0.93 - error / 2 <= share <= 0.97 + error / 2
