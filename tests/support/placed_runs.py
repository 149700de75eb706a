"""A small map of simulated runs with everything that new runs are placed by, and further runs.

A run's three metrics rise when it converges, at a step of its own, that its first checkpoints tell:
the second metric climbs the faster, the sooner the run will converge.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pandas as pd

from training_maps.analysis.semantics.outcomes import convergence_times, time_outcome
from training_maps.hmm.observations import Observations, observations
from training_maps.model_selection.fitted import FittedHMM, save_fitted
from training_maps.model_selection.select import select_hmm
from training_maps.placing.calibrate import calibrate
from training_maps.placing.reference import FILE, Reference
from training_maps.training_map.map import TrainingMap
from training_maps.utils.files import write_json, write_table

METRICS = ("l1", "l2", "var_w")
STEPS = np.arange(0, 300, 10)
THRESHOLD = 0.9


def metrics_of(converging: float, draw: np.random.Generator) -> pd.DataFrame:
    """A run's table of metrics, by the step at which it converges."""
    risen = 1 / (1 + np.exp(-(STEPS - converging) / 8))
    ahead = np.minimum(STEPS / converging, 1.5)
    values = np.stack([5 + 3 * risen, 2 + ahead, 1 - 0.5 * risen + 0.1 * ahead], axis=1)
    values += draw.normal(0, 0.02, size=values.shape)
    return pd.DataFrame({"step": STEPS, **dict(zip(METRICS, values.T, strict=True))})


def log_of(converging: float) -> pd.DataFrame:
    """A run's training log."""
    accuracy = 1 / (1 + np.exp(-(STEPS - converging + 1) / 2))
    return pd.DataFrame(
        {"step": STEPS, "epoch": STEPS / 10, "eval_accuracy": np.clip(accuracy, 0.1, 0.99)}
    )


def times(n_runs: int, seed: int = 0) -> list[float]:
    """Steps at which runs converge."""
    return np.random.default_rng([seed, 1]).uniform(80, 220, n_runs).round().tolist()


def tables(n_runs: int, seed: int = 0) -> dict[int, pd.DataFrame]:
    """Tables of metrics, by seed."""
    return {
        run: metrics_of(time, np.random.default_rng([seed, 2, run]))
        for run, time in enumerate(times(n_runs, seed))
    }


def write_map(
    folder: Path, n_runs: int = 24, scale: str = "pooled", model: str = "gaussian"
) -> Path:
    """Write the results of a map that `calibrate` reads; return their folder."""
    metrics = tables(n_runs)
    logs = {run: log_of(time) for run, time in enumerate(times(n_runs))}
    for run, table in metrics.items():
        write_table(table, folder / "runs" / f"seed-{run}" / "metrics.parquet")
        write_table(logs[run], folder / "runs" / f"seed-{run}" / "training_log.parquet")
    obs: Observations = observations(metrics, scale=scale)
    chosen = select_hmm(obs, n_states=[3], model=model, restarts=2, random_state=0)
    obs.save(folder / "observations.parquet")
    stem = "" if model == "gaussian" else f"{model}_"
    fitted = FittedHMM(chosen.hmm, 3, chosen.restart, chosen.scores)
    save_fitted(folder / "hmm" / f"{stem}states-3.npz", fitted, obs)
    tmap = TrainingMap.from_model(chosen, experiment="small")
    tmap.to_json(folder / "training_map.json")
    write_table(tmap.paths, folder / "state_paths.csv")
    converged = convergence_times(logs, THRESHOLD)
    write_table(converged, folder / "convergence.csv")
    about = time_outcome(converged, "eval_accuracy", THRESHOLD).to_dict()
    write_json({"outcome": about}, folder / "regression.json")
    write_json({"forks": [{"state": 0}]}, folder / "forks.json")
    return folder


def write_calibrated(folder: Path, **settings: object) -> Path:
    """Write the results of a map, and what runs are placed on it by."""
    write_map(folder, **settings)  # type: ignore[arg-type]
    calibrate(folder).save(folder / FILE)
    return folder


@functools.cache
def small_reference() -> Reference:
    """What runs are placed by on the map."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        return calibrate(write_map(Path(folder)))
