"""Models whose parameters are known, and runs of them in given states."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd

from training_maps.hmm.gaussian import GaussianHMM
from training_maps.hmm.observations import Observations
from training_maps.utils.notes import Note

NOTE_OF_MODEL = Note("model", "A note of the model.")
METRICS = ("l2", "trace", "own_metric", "var_w")
# Well separated means and unequal covariances: state k's top feature is metric k.
MEANS = np.array([[0.0, 0, 0, 0], [10, 0, 0, 5], [20, 0, 3, 0], [40, -5, 0, 0]])
VARIANCES = np.where(np.eye(4, dtype=bool), 0.01, [[0.2, 0.3, 0.4, 0.5]])


def model_of(runs, notes=(), first_seed=0, covariance="full"):
    """A model with known parameters, and runs of it that are in the given states."""
    rng = np.random.default_rng(0)
    k = len(MEANS)
    hmm = GaussianHMM.from_parameters(
        np.full(k, 1 / k),
        np.full((k, k), 0.05) + (1 - 0.05 * k) * np.eye(k),
        MEANS,
        np.stack([np.diag(v) for v in VARIANCES]),
    )
    tables = []
    for i, states in enumerate(runs):
        states = np.asarray(states)
        noise = rng.normal(size=(len(states), 4)) * np.sqrt(VARIANCES[states])
        table = pd.DataFrame(MEANS[states] + noise, columns=list(METRICS))
        table.insert(0, "seed", first_seed + i)
        table.insert(1, "step", 32 * np.arange(len(states)))
        table.insert(2, "split", "validation" if i % 5 == 4 else "train")
        tables.append(table)
    observations = Observations(pd.concat(tables, ignore_index=True), METRICS, tuple(notes))
    return SimpleNamespace(
        hmm=hmm,
        observations=observations,
        scores=pd.DataFrame(),
        kind="gaussian",
        n_states=k,
        restart=2,
        criterion="bic",
        aggregate="mean",
        covariance=covariance,
        value=-12.5,
        notes=(NOTE_OF_MODEL,),
    )


def run_of(*route, stay=6):
    return [state for state in route for _ in range(stay)]


def paths_of(*runs):
    rows = [(seed, i, state) for seed, states in enumerate(runs) for i, state in enumerate(states)]
    return pd.DataFrame(rows, columns=["seed", "step", "state"])
