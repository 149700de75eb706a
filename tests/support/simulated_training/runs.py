"""From latent curves and times to tables of metrics and training logs.

Lengths are in checkpoints. Latent curves and noise are in units of a curve's standard deviation
over a run; a metric is its usual size times e to the power of about a seventh of them, so that it
is positive and all but linear in them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from training_maps.utils.numbers import Floats, Ints

Structure = Literal["drift", "phases", "regions"]

N_CHECKPOINTS = 100
STEPS_PER_CHECKPOINT = 10
THRESHOLD = 0.9
N_LATENT = 5
# A metric's usual size, the latent curve that it follows most, and the metric that it is all but
# collinear with, if there is one before it.
_METRICS: dict[str, tuple[float, int, str | None]] = {
    "l1": (200.0, 0, None),
    "l2": (3.5, 1, None),
    "l1_over_l2": (40.0, 0, "l1"),
    "mean_w": (1e-3, 3, None),
    "median_w": (5e-4, 3, "mean_w"),
    "var_w": (8e-3, 1, "l2"),
    "mean_b": (0.03, 2, None),
    "median_b": (0.02, 2, "mean_b"),
    "var_b": (0.02, 4, None),
    "trace": (0.2, 3, None),
    "lambda_max": (3.0, 1, "l2"),
    "trace_over_lambda_max": (0.07, 3, "trace"),
    "mean_lambda": (1.5, 1, None),
    "var_lambda": (0.1, 4, None),
}
METRICS = tuple(_METRICS)
_SWING = 0.15  # how far a metric goes, in its logarithm, for one unit of a latent curve


@dataclass(frozen=True)
class Truth:
    """What there is to find in a set of runs.

    Attributes:
        kind: the name of the kind.
        structure: the verdict that is right; a change of noise alone is no phase.
        paths: `seed, step, state`, the true state of each checkpoint; None where there is none.
        convergence: `seed, step`, the first checkpoint with an accuracy above `THRESHOLD`.
        forks: whether runs part ways.
        delays: states whose visitors converge later, by the time that they spend there.
        short_cuts: states whose visitors converge earlier than those that go another way.
        n_states: how many states there are; 1 where there are none.
        coincident: phases that happen as a state is entered. Others happen at times of their own.
    """

    kind: str
    structure: Structure
    paths: pd.DataFrame | None
    convergence: pd.DataFrame
    forks: bool = False
    delays: frozenset[int] = frozenset()
    short_cuts: frozenset[int] = frozenset()
    n_states: int = 1
    coincident: frozenset[str] = frozenset()


@dataclass(frozen=True)
class SimulatedRuns:
    """A set of runs: tables of metrics and training logs by seed, and the truth."""

    tables: dict[int, pd.DataFrame]
    logs: dict[int, pd.DataFrame]
    truth: Truth = field(repr=False)


def loadings(rng: np.random.Generator) -> Floats:
    """How each metric follows the latent curves, (d, N_LATENT); some rows are all but equal."""
    rows: dict[str, Floats] = {}
    for name, (_, curve, twin) in _METRICS.items():
        if twin is None:
            rows[name] = 0.35 * rng.normal(size=N_LATENT)
            rows[name][curve] += 1.0
        else:
            rows[name] = rows[twin] + 0.03 * rng.normal(size=N_LATENT)
    return np.stack(list(rows.values()))


def metric_tables(values: Floats) -> dict[int, pd.DataFrame]:
    """The runs' tables, from their metrics in latent units, (runs, checkpoints, d)."""
    sizes = np.array([size for size, _, _ in _METRICS.values()])
    metrics = sizes * np.exp(_SWING * values)
    steps = STEPS_PER_CHECKPOINT * np.arange(values.shape[1])
    tables = {}
    for seed, run in enumerate(metrics):
        tables[seed] = pd.DataFrame(run, columns=list(METRICS))
        tables[seed].insert(0, "step", steps)
    return tables


def training_logs(
    rng: np.random.Generator, memorised: Ints, generalised: Ints, n_checkpoints: int
) -> dict[int, pd.DataFrame]:
    """The runs' logs: training and evaluation accuracy first pass `THRESHOLD` at given checkpoints.

    Args:
        rng: random numbers.
        memorised: when the training accuracy does, (runs,).
        generalised: when the evaluation accuracy does, (runs,).
        n_checkpoints: how long each run is.
    """
    train, evaluation = (
        _accuracies(rng, times, n_checkpoints) for times in (memorised, generalised)
    )
    at = np.arange(n_checkpoints)
    columns = ("train_loss", "eval_loss", "train_accuracy", "eval_accuracy")
    logs = {}
    for seed, (of_train, of_evaluation) in enumerate(zip(train, evaluation, strict=True)):
        values = np.column_stack([1.2 - of_train, 1.2 - of_evaluation, of_train, of_evaluation])
        logs[seed] = pd.DataFrame(values, columns=list(columns))
        logs[seed].insert(0, "step", STEPS_PER_CHECKPOINT * at)
        logs[seed].insert(1, "epoch", at.astype(float))
    return logs


def _accuracies(rng: np.random.Generator, times: Ints, n_checkpoints: int) -> Floats:
    """Accuracies that rise from 0.1 to 0.98 within some checkpoints, (runs, checkpoints)."""
    after = np.arange(n_checkpoints) - times[:, None]
    rise = 0.1 + 0.88 / (1 + np.exp(-(after + 2.3) / 1.0))
    noisy = np.clip(rise + 0.01 * rng.normal(size=rise.shape), 0.0, 1.0)
    before = np.minimum(noisy, THRESHOLD - 0.005)
    return np.where(after < 0, before, np.maximum(noisy, THRESHOLD + 0.005))


def convergence_table(checkpoints: Ints) -> pd.DataFrame:
    """`seed, step` of runs that converge at given checkpoints."""
    seeds = np.arange(len(checkpoints))
    return pd.DataFrame({"seed": seeds, "step": STEPS_PER_CHECKPOINT * checkpoints})


def path_table(states: Ints) -> pd.DataFrame:
    """`seed, step, state` of states (runs, checkpoints)."""
    n_runs, n_checkpoints = states.shape
    return pd.DataFrame(
        {
            "seed": np.repeat(np.arange(n_runs), n_checkpoints),
            "step": np.tile(STEPS_PER_CHECKPOINT * np.arange(n_checkpoints), n_runs),
            "state": states.ravel(),
        }
    )


def independent_times(
    rng: np.random.Generator, n_runs: int, mean: float, n_checkpoints: int
) -> Ints:
    """Checkpoints about a mean, with a third of it as their spread, that follow nothing else."""
    times = rng.gamma(9, mean / 9, n_runs).astype(np.int64)
    return np.clip(times, 2, n_checkpoints - 6)
