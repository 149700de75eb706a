"""Runs through known phases, whose states a model must find again."""

from __future__ import annotations

import numpy as np
import pandas as pd

from training_maps.hmm.observations import Observations, observations


def unscaled(tables):
    """Observations of the values themselves: z-scores of each run would move its phases."""
    split = observations(tables).table["split"]
    table = pd.concat([t.assign(seed=s) for s, t in tables.items()], ignore_index=True)
    return Observations(table.assign(split=split), ("l1", "l2"))


def phases(seed, n_runs=20, length=40, spread=0.15):
    """Three phases far apart, gone through in order by every run, at its own pace."""
    draw = np.random.default_rng(seed)
    means = np.array([[-1.0, 0.0], [0.0, 1.5], [1.0, 0.0]])
    tables = {}
    for run in range(n_runs):
        cuts = np.sort(draw.choice(np.arange(8, length - 8), 2, replace=False))
        path = np.repeat([0, 1, 2], np.diff([0, *cuts, length]))
        values = means[path] + spread * draw.normal(size=(length, 2))
        tables[run] = pd.DataFrame(values, columns=["l1", "l2"]).assign(step=np.arange(length))
    return unscaled(tables)


# Three phases, gone through in order; some runs skip the second.
MEANS = np.array([[-1.0, 0.0, 1.0], [0.0, 1.5, 0.0], [1.0, 0.0, -1.0]])
TRANSMAT = np.array([[0.9, 0.06, 0.04], [0.0, 0.85, 0.15], [0.0, 0.0, 1.0]])
SPREAD = 0.15


def simulated(seed: int, n_runs: int = 20, length: int = 50) -> tuple[Observations, np.ndarray]:
    """Observations of known phases, as raw tables z-scored by the stage before, and the phases."""
    draw = np.random.default_rng(seed)
    tables, phases = {}, []
    for run in range(n_runs):
        path = [0]
        for _ in range(length - 1):
            path.append(draw.choice(3, p=TRANSMAT[path[-1]]))
        values = MEANS[path] + SPREAD * draw.normal(size=(length, 3))
        tables[run] = pd.DataFrame(values, columns=["l1", "l2", "trace"])
        tables[run].insert(0, "step", 10 * np.arange(length))
        phases.append(path)
    table = pd.concat([t.assign(seed=s) for s, t in tables.items()], ignore_index=True)
    split = observations(tables, split_seed=seed).table["split"]
    # The simulated scale itself is kept: z-scores per run would blur what is to be recovered.
    table = table.assign(split=split)[["seed", "step", "split", "l1", "l2", "trace"]]
    return Observations(table, ("l1", "l2", "trace")), np.concatenate(phases)


def assert_same_model(a, b):
    for name in ("startprob_", "transmat_", "means_", "covars_"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
