"""Tables of metrics of runs, drawn from a seed: a huge column, a plain one, and a tiny one."""

from __future__ import annotations

import numpy as np
import pandas as pd

METRICS = ["l1", "trace", "mean_w"]


def run_table(seed: int, n: int = 20) -> pd.DataFrame:
    """One run's table of n checkpoints: `step` and `METRICS`, each a walk."""
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(n, len(METRICS))).cumsum(axis=0) * [1e6, 1.0, 1e-7] + [1e6, 0, 3]
    table = pd.DataFrame(values, columns=METRICS)
    table.insert(0, "step", np.arange(n) * 32)
    return table


def run_tables(n_runs: int, n: int = 20) -> dict[int, pd.DataFrame]:
    """Tables of several runs, by seed."""
    return {seed: run_table(seed, n) for seed in range(n_runs)}
