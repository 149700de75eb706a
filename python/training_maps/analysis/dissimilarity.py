"""How differently runs train: Wasserstein distances between their distributions over states.

Source: Hu et al. 2023, equation 3, which leaves the ground distance between two states open. Three
are computed here:

- `index`: |j - k|, states being numbered in the order in which runs visit them;
- `discrete`: 0 or 1, which makes the Wasserstein distance the total variation;
- `means`: the Euclidean distance between the states' means, in standard deviations of the metrics.

Pairs grow with the square of the runs. Beyond `MOST_RUNS` the table holds a random sample of them,
in which every run has as many partners. Means over all pairs are still exact for `index` and
`discrete`, which need no pairs; that of `means` is then the sample's, with an interval.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from training_maps.result_tables import GROUND_DISTANCES
from training_maps.stats.optimal_transport import line_cost, mean_apart, transport_cost
from training_maps.training_map.paths import state_shares
from training_maps.utils.errors import InputError

#: Of more runs, only a sample of the pairs is told: as many runs have two million pairs.
MOST_RUNS = 2000
#: How many others each run is compared with then.
N_PARTNERS = 200
_RANDOM_STATE = 0
# Of a normal distribution, for an interval of 95 %.
_Z = 1.959964


def dissimilarity(state_paths: pd.DataFrame, means: pd.DataFrame | None = None) -> pd.DataFrame:
    """Wasserstein-1 distance between the state distributions of every pair of runs.

    Of more than `MOST_RUNS` runs each is compared with `N_PARTNERS` others: the runs stand in a
    ring in random order, always the same, and each is compared with its neighbours.

    Args:
        state_paths: table of `seed`, `step`, `state`, one row a checkpoint.
        means: means of the states, (n_states, n_metrics), indexed by state; must have every state
            of `state_paths`. Without them the column `means` is left out.

    Returns:
        Table of `seed_a`, `seed_b` (seed_a < seed_b, ascending) and a column for each ground
        distance; no rows for fewer than two runs.

    Raises:
        InputError: if the paths are empty or `means` lacks a state.

    Source: Hu et al. 2023, equation 3.
    """
    shares = state_shares(state_paths)
    states = shares.columns.to_numpy()
    values = shares.to_numpy()
    a, b = _pairs(len(shares))
    differences = values[a] - values[b]
    table = pd.DataFrame(
        {
            "seed_a": shares.index.to_numpy()[a],
            "seed_b": shares.index.to_numpy()[b],
            "index": line_cost(differences, states),
            "discrete": np.abs(differences).sum(axis=1) / 2,
        }
    )
    if means is not None:
        missing = [str(state) for state in states if state not in means.index]
        if missing:
            raise InputError(
                f"there are no means for state {', '.join(missing)} of the state paths; "
                "the paths and the training map must come from the same model"
            )
        positions = means.loc[states].to_numpy(dtype=float)
        distances = np.linalg.norm(positions[:, None] - positions[None, :], axis=2)
        table["means"] = transport_cost(differences, distances)
    return table


def _pairs(n_runs: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of both runs of each pair, the first below the second, in ascending order."""
    if n_runs <= MOST_RUNS:
        a, b = np.triu_indices(n_runs, k=1)
        return a, b
    ring = np.random.default_rng(_RANDOM_STATE).permutation(n_runs)
    sides = [np.tile(ring, N_PARTNERS // 2)]
    sides += [np.concatenate([np.roll(ring, -k) for k in range(1, N_PARTNERS // 2 + 1)])]
    a, b = np.sort(sides, axis=0)
    order = np.lexsort((b, a))
    return a[order], b[order]


def exact_means(state_paths: pd.DataFrame) -> pd.DataFrame:
    """Each run's mean distance to all other runs, for the ground distances that need no pairs.

    Args:
        state_paths: table of `seed`, `step`, `state`, one row a checkpoint.

    Returns:
        Table of `seed` (ascending), `index` and `discrete`; NaN of a lone run.
    """
    shares = state_shares(state_paths)
    values, gaps = shares.to_numpy(), np.diff(shares.columns.to_numpy())
    return pd.DataFrame(
        {
            "seed": shares.index.to_numpy(),
            "index": mean_apart(values.cumsum(axis=1)[:, :-1] * gaps),
            "discrete": mean_apart(values) / 2,
        }
    )


def trajectory_dissimilarity(
    table: pd.DataFrame, per_run: pd.DataFrame | None = None
) -> dict[str, float | None]:
    """Mean distance over all pairs of runs, for each ground distance (equation 3).

    Args:
        table: as `dissimilarity` returns it.
        per_run: as `mean_per_run` returns it; must be there if the table holds a sample.

    Returns:
        A number for each of `index`, `discrete` and `means`; None where there is no pair or no
        such column.
    """
    # Every run has as many partners, so that the mean of runs is that of pairs.
    told = table if per_run is None or not is_sample(table) else per_run
    return {
        name: float(told[name].mean()) if name in told.columns and len(told) else None
        for name in GROUND_DISTANCES
    }


def mean_per_run(table: pd.DataFrame, state_paths: pd.DataFrame | None = None) -> pd.DataFrame:
    """Each run's mean distance to the other runs.

    Args:
        table: as `dissimilarity` returns it.
        state_paths: what the table was made of. If it holds a sample of the pairs, `index` and
            `discrete` are then those of all pairs.

    Returns:
        Table of `seed` (ascending) and the ground distances of `table`; no rows for fewer than two
        runs. The mean of a column is that over all pairs of runs.
    """
    names = [name for name in GROUND_DISTANCES if name in table.columns]
    ends = [table[[end, *names]].rename(columns={end: "seed"}) for end in ("seed_a", "seed_b")]
    means = pd.concat(ends).groupby("seed", as_index=False)[names].mean()
    if state_paths is not None and is_sample(table):
        means = means.assign(**exact_means(state_paths).drop(columns="seed"))
    return means


def _n_runs(table: pd.DataFrame) -> int:
    return len(np.union1d(table["seed_a"], table["seed_b"]))


def is_sample(table: pd.DataFrame) -> bool:
    """Whether a table of pairs holds a sample of them."""
    n = _n_runs(table)
    return len(table) < n * (n - 1) // 2


def sample_of_pairs(table: pd.DataFrame) -> dict[str, Any] | None:
    """What a sample of the pairs comes to, ready for JSON; None if the table holds all pairs.

    Returns:
        `n_pairs`; `n_all_pairs`; and `interval`, 95 % of the mean of `means` over all pairs (None
        without the column). It is that of pairs drawn one by one. As every run has as many
        partners here, differences between runs cancel, and the interval is rather too wide.
    """
    if not is_sample(table):
        return None
    n, n_pairs = _n_runs(table), len(table)
    found: dict[str, Any] = {"n_pairs": n_pairs, "n_all_pairs": n * (n - 1) // 2, "interval": None}
    if "means" in table:
        mean, variance = float(table["means"].mean()), float(table["means"].var())
        unseen = 1 - n_pairs / found["n_all_pairs"]
        half = _Z * float(np.sqrt(variance / n_pairs * unseen))
        found["interval"] = [mean - half, mean + half]
    return found


def sample_sentence(sample: dict[str, Any] | None) -> str:
    """Says that only a sample of the pairs was looked at; "" if all were."""
    if sample is None:
        return ""
    means = sample["interval"]
    return (
        f"Of {sample['n_all_pairs']:,} pairs, {sample['n_pairs']:,} were drawn at random. "
        "The means of index and discrete are those of all pairs, computed without forming them"
        + (
            f"; that of means is the sample's (95 % interval {means[0]:.4g} to {means[1]:.4g})."
            if means
            else "."
        )
    )
