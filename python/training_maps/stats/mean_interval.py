"""The interval of a mean that keeps its coverage with few and skewed values.

Student's t supposes a symmetric mean. Times until runs converge are skewed, and of few of them the
interval by t, and more so one by resampling (percentile, BCa), covers the mean too rarely. Hall
(1992, On the removal of skewness by transformation, J. R. Statist. Soc. B 54, 221-228) takes the
skew out of t by a cubic that is monotone, and can be inverted in closed form. Measured coverage is
in docs/concepts.md.
"""

from __future__ import annotations

import numpy as np

CONFIDENCE = 0.95
# Fewer values have no interval: two tell next to nothing of how much they vary.
FEWEST_VALUES = 3
# Below this the cubic is a straight line but for rounding.
_NO_SKEW = 1e-9


def mean_interval(values: np.ndarray) -> tuple[float, float] | None:
    """The 95 % interval of a mean; None of fewer than three values.

    Args:
        values: (n,) finite numbers.

    Source: Hall 1992, transformation g2 (T + a n^-1/2 T^2 + a^2 T^3 / 3n + b n^-1/2).
    """
    n = len(values)
    if n < FEWEST_VALUES:
        return None
    from scipy.special import stdtrit

    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    if np.ptp(values) == 0:
        return mean, mean
    error = deviation / n**0.5
    skew = float((((values - mean) / values.std()) ** 3).mean())
    quantile = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))
    return (
        mean - _without_skew(quantile, skew, n) * error,
        mean - _without_skew(-quantile, skew, n) * error,
    )


def _without_skew(quantile: float, skew: float, n: int) -> float:
    """The t of skewed values whose transform is the quantile."""
    if abs(skew) < _NO_SKEW:
        return quantile
    slope, shift = skew / 3, skew / 6
    root = n**0.5
    inner = 1 + 3 * slope * (quantile / root - shift / n)
    return float((np.cbrt(inner) - 1) * root / slope)
