"""How differently runs train: Wasserstein distances between their distributions over states.

Source: Hu et al. 2023, equation 3, which leaves the ground distance between two states open. Three
are computed here:

- `index`: |j - k|, states being numbered in the order in which runs visit them;
- `discrete`: 0 or 1, which makes the Wasserstein distance the total variation;
- `means`: the Euclidean distance between the states' means, in standard deviations of the metrics.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from training_maps.result_tables import GROUND_DISTANCES
from training_maps.stats.optimal_transport import transport_cost
from training_maps.training_map.paths import state_shares
from training_maps.utils.errors import InputError


def dissimilarity(state_paths: pd.DataFrame, means: pd.DataFrame | None = None) -> pd.DataFrame:
    """Wasserstein-1 distance between the state distributions of every pair of runs.

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
    a, b = np.triu_indices(len(shares), k=1)
    differences = values[a] - values[b]
    table = pd.DataFrame(
        {
            "seed_a": shares.index.to_numpy()[a],
            "seed_b": shares.index.to_numpy()[b],
            # On a line, mass crosses from each state to the next: what is too much so far.
            "index": np.abs(differences.cumsum(axis=1)[:, :-1]) @ np.diff(states).astype(float),
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


def trajectory_dissimilarity(table: pd.DataFrame) -> dict[str, float | None]:
    """Mean distance over all pairs of runs, for each ground distance (equation 3).

    Args:
        table: as `dissimilarity` returns it.

    Returns:
        A number for each of `index`, `discrete` and `means`; None where there is no pair or no
        such column.
    """
    return {
        name: float(table[name].mean()) if name in table.columns and len(table) else None
        for name in GROUND_DISTANCES
    }


def mean_per_run(table: pd.DataFrame) -> pd.DataFrame:
    """Each run's mean distance to the other runs.

    Args:
        table: as `dissimilarity` returns it.

    Returns:
        Table of `seed` (ascending) and the ground distances of `table`; no rows for fewer than two
        runs. The mean of a column is that over all pairs of runs.
    """
    names = [name for name in GROUND_DISTANCES if name in table.columns]
    ends = [table[[end, *names]].rename(columns={end: "seed"}) for end in ("seed_a", "seed_b")]
    return pd.concat(ends).groupby("seed", as_index=False)[names].mean()
