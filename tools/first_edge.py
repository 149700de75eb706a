"""The first transition of each run, and whether its drop of the L2 norm goes with convergence.

Hu et al. 2023, section 3.1: "the first edge that a training run takes to exit the initialization
state significantly impacts the number of epochs the run takes to generalize", and quick runs take
one along which the L2 norm falls "just right". Asked here: do runs whose L2 falls more along their
first transition converge earlier, or later?
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from training_maps.training_map.paths import path_times
from training_maps.utils.files import read_table


def first_edge(results: Path) -> dict[str, Any]:
    """How the change of L2 along the first transition goes with when a run converges.

    Args:
        results: folder of an experiment's results.

    Returns:
        `n_runs` that leave their first state; `rank_correlation` (Spearman's) of the change of L2,
        from the mean of the run's first stay to that of its second, in standard deviations of the
        run's L2, with the time of convergence; its 95 % interval `low` to `high` and `p_value`;
        None where it is not defined. And `edges`, for each first transition its states, number of
        runs, mean change and mean fraction of the time at convergence.
    """
    table = changes(results)
    edges = [
        {
            "from": int(start),
            "to": int(end),
            "n_runs": len(rows),
            "l2_change": float(rows["change"].mean()),
            "mean_fraction": float(rows["fraction"].mean()),
        }
        for (start, end), rows in table.groupby(["from", "to"])
    ]
    found: dict[str, Any] = {"n_runs": len(table), "edges": edges}
    return found | correlation(table["change"].to_numpy(), table["fraction"].to_numpy())


def changes(results: Path) -> pd.DataFrame:
    """`seed, from, to, change, fraction` of each run that leaves its first state and converges."""
    observed = pd.read_parquet(results / "observations.parquet", columns=["seed", "step", "l2"])
    paths = read_table(results / "state_paths.csv", ("seed", "step", "state"))
    times = read_table(results / "convergence.csv", ("seed", "fraction", "converged"))
    times = times[times["converged"].astype(bool)].set_index("seed")["fraction"]
    starts = path_times(paths)
    rows = []
    for seed, stays in starts.groupby("seed"):
        if len(stays) < 2 or seed not in times.index:
            continue
        own = observed[observed["seed"] == seed]
        bounds = [*stays["step"].tolist()[:3], np.inf]
        stay = np.searchsorted(bounds[1:], own["step"], side="right")
        means = own["l2"].groupby(stay).mean() / own["l2"].std(ddof=0)
        start, end = stays["state"].tolist()[:2]
        rows.append((seed, start, end, means[1] - means[0], times[seed]))
    return pd.DataFrame(rows, columns=["seed", "from", "to", "change", "fraction"])


def correlation(change: np.ndarray, time: np.ndarray) -> dict[str, Any]:
    """Spearman's correlation, its p-value (Student's t), its interval (Fieller et al. 1957)."""
    if len(change) < 4 or np.ptp(change) == 0 or np.ptp(time) == 0:
        return dict.fromkeys(("rank_correlation", "p_value", "low", "high"))
    found = stats.spearmanr(change, time)
    rho = float(np.clip(found.statistic, -1, 1))
    with np.errstate(divide="ignore"):
        z, half = np.arctanh(rho), stats.norm.ppf(0.975) * np.sqrt(1.06 / (len(change) - 3))
    low, high = np.tanh([z - half, z + half]).tolist()
    return {"rank_correlation": rho, "p_value": float(found.pvalue), "low": low, "high": high}
