"""Do two groups of runs differ equally among themselves, or is one setting more sensitive to seeds?

The trajectory dissimilarity of a group (Hu et al. 2023, equation 3) is a mean over pairs of runs.
Of two groups, trained with different settings, this tests whether the means are equal.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from training_maps.analysis.dissimilarity import exact_means
from training_maps.training_map.paths import check_state_paths
from training_maps.utils.errors import InputError
from training_maps.utils.wording import plural

FEWEST_RUNS = 3
# Differences below this, relative to the numbers themselves, are rounding.
_ROUNDING = 1e-12
# Of t, digits behind which a difference is rounding too.
_DECIMALS = 9
# Numbers that the permutations may hold at once: some tens of MB.
_NUMBERS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class SpreadTest:
    """Whether two groups of runs are equally spread.

    Attributes:
        ground_distance: "index" or "discrete".
        n_runs: of each group.
        dissimilarity: mean within each group, over its pairs of runs.
        difference: the first less the second.
        standard_error: of the difference.
        p_value: two-sided; small if the groups are not equally spread.
        n_permutations: behind the p-value.
        random_state: their seed.
    """

    ground_distance: str
    n_runs: tuple[int, int]
    dissimilarity: tuple[float, float]
    difference: float
    standard_error: float
    p_value: float
    n_permutations: int
    random_state: int

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """The result in a sentence."""
        first, second = self.dissimilarity
        return (
            f"mean dissimilarity ({self.ground_distance}) {first:.3f} of {self.n_runs[0]} runs and "
            f"{second:.3f} of {self.n_runs[1]}: difference {self.difference:.3f}, standard error "
            f"{self.standard_error:.3f}, p = {self.p_value:.2g} over {self.n_permutations} "
            "permutations"
        )


def equally_spread(
    paths_a: pd.DataFrame,
    paths_b: pd.DataFrame,
    *,
    ground_distance: str = "index",
    n_permutations: int = 9999,
    random_state: int = 0,
) -> SpreadTest:
    """Test whether two groups of runs are equally spread.

    The groups may come from different models: runs are only compared within their group. With
    `index`, the default and the reports' headline, distances grow with the number of states;
    `discrete` is a share of time whatever their number.

    Mean dissimilarities share runs among their pairs, so that neither pairs nor the runs' mean
    distances may be shuffled as if they were independent. Each run's jackknife pseudo-value,
    n U - (n - 1) U(without the run), is nearly so, and their mean is U, the mean dissimilarity. The
    statistic is Welch's t of the two groups' pseudo-values, and its null distribution is that over
    permutations of the pseudo-values among the groups: it does not depend on where the groups lie,
    and holds for groups of unequal size and variance (Janssen 1997, on studentised permutation).

    Args:
        paths_a: state paths of the first group: `seed`, `step`, `state`.
        paths_b: of the second.
        ground_distance: "index" or "discrete"; see `analysis.dissimilarity`.
        n_permutations: how many; all that there are, if they are no more.
        random_state: their seed.

    Raises:
        InputError: if a group has fewer than 3 runs or broken paths.
    """
    if ground_distance not in ("index", "discrete"):
        raise InputError(
            f"the ground distance of a spread is index or discrete, got {ground_distance!r}"
        )
    from scipy.stats import permutation_test

    groups = [_pseudo_values(paths, ground_distance) for paths in (paths_a, paths_b)]
    n_a, n_b = (len(values) for values in groups)
    test = permutation_test(
        groups,
        _welch,
        vectorized=True,
        n_resamples=n_permutations,
        batch=max(1, _NUMBERS_AT_ONCE // (n_a + n_b)),
        alternative="greater",
        rng=np.random.default_rng(random_state),
    )
    means = (float(groups[0].mean()), float(groups[1].mean()))
    return SpreadTest(
        ground_distance=ground_distance,
        n_runs=(n_a, n_b),
        dissimilarity=means,
        difference=means[0] - means[1],
        standard_error=float(np.sqrt(sum(np.var(v, ddof=1) / len(v) for v in groups))),
        p_value=float(test.pvalue),
        n_permutations=len(test.null_distribution),
        random_state=random_state,
    )


def _pseudo_values(state_paths: pd.DataFrame, ground_distance: str) -> np.ndarray:
    """Jackknife pseudo-values of a group's mean dissimilarity, (n_runs,)."""
    state_paths = check_state_paths(state_paths)
    n = state_paths["seed"].nunique()
    if n < FEWEST_RUNS:
        raise InputError(f"a group has {plural(n, 'run')}; expected at least {FEWEST_RUNS}")
    sums = exact_means(state_paths)[ground_distance].to_numpy() * (n - 1)
    total = float(sums.sum()) / 2
    whole = total / (n * (n - 1) / 2)
    without = (total - sums) / ((n - 1) * (n - 2) / 2)
    return n * whole - (n - 1) * without


def _welch(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
    """Absolute values of Welch's t, of rows of values; (n_rows,)."""
    difference = first.mean(axis=axis) - second.mean(axis=axis)
    variance = sum(part.var(axis=axis, ddof=1) / part.shape[axis] for part in (first, second))
    scale = np.maximum(np.abs(first).max(axis=axis), np.abs(second).max(axis=axis))
    nothing = np.abs(difference) <= _ROUNDING * scale
    error = np.maximum(np.sqrt(variance), _ROUNDING * scale)
    t = np.where(nothing, 0.0, np.abs(difference) / np.where(error > 0, error, 1.0))
    return np.round(t, _DECIMALS)
