"""Writes a complete result folder of made-up but consistent runs, for tests of what reads one.

State sequences are drawn first; the map, the convergence times, the regression and the distances
are then computed from them, so that the files of a folder agree with each other.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.support.half_fits import half_of, observed
from training_maps.analysis.fast_and_slow import fast_and_slow
from training_maps.analysis.forks import explain_forks
from training_maps.analysis.outliers import outlier_runs
from training_maps.analysis.phases.transitions import find_phase_transitions
from training_maps.analysis.reproducibility.gather import gather_halves
from training_maps.analysis.semantics.delays import delays
from training_maps.analysis.semantics.foretelling import foretelling
from training_maps.analysis.semantics.outcomes import time_outcome
from training_maps.analysis.semantics.regression import regress
from training_maps.hmm.observations import Observations
from training_maps.model_selection.criteria import Candidate, choose
from training_maps.model_selection.restarts import Restarts
from training_maps.model_selection.stability import measure_stability
from training_maps.training_map.paths import path_times, state_shares
from training_maps.utils.files import made_by, write_json, write_table
from training_maps.utils.notes import Note

METRICS = ["l1", "l2", "l1_over_l2", "mean_w", "var_w", "trace", "lambda_max", "var_lambda"]
THRESHOLD = 0.9


def write_results(
    folder: Path,
    n_runs: int = 8,
    n_states: int = 4,
    *,
    forking: bool = True,
    back_edges: bool = False,
    n_censored: int = 0,
    n_checkpoints: int = 60,
    experiment: str = "synthetic",
    logs: bool = True,
    notes: tuple[Note, ...] = (),
    seed: int = 0,
) -> Path:
    """Write a result folder; return it.

    Args:
        folder: where to write.
        n_runs: number of runs, seeds 0, 1, ...
        n_states: number of states that some run visits.
        forking: some runs leave out inner states; otherwise every run visits all in order.
        back_edges: some runs return to an earlier state for a while.
        n_censored: runs (the last seeds) that never pass the threshold.
        n_checkpoints: checkpoints a run, 32 steps and 10 epochs apart, and step 0.
        experiment: the experiment's name.
        logs: whether to write the training logs.
        notes: notes of the training map.
        seed: of the random numbers.
    """
    rng = np.random.default_rng(seed)
    sequences = {
        run: _sequence(rng, n_states, n_checkpoints, forking and n_states > 2, back_edges)
        for run in range(n_runs)
    }
    _renumber(sequences, n_states)
    steps = np.arange(n_checkpoints) * 32
    paths = pd.DataFrame(
        {
            "seed": np.repeat(np.arange(n_runs), n_checkpoints),
            "step": np.tile(steps, n_runs),
            "state": np.concatenate(list(sequences.values())),
        }
    )
    write_table(paths, folder / "state_paths.csv")
    means = rng.normal(0, 1, (n_states, len(METRICS)))
    write_json(
        _training_map(rng, sequences, means, experiment, notes), folder / "training_map.json"
    )
    _write_selection(rng, folder, n_states, sequences)
    convergence = _write_convergence(folder, sequences, steps, n_censored)
    if logs:
        _write_logs(rng, folder, sequences, steps, convergence)
    _write_regression(folder, paths, convergence)
    _write_dissimilarity(folder, sequences, means)
    _write_forks_and_phases(folder, paths, convergence)
    _write_observations(folder, paths, means)
    _write_reproducibility(folder, paths)
    return folder


def _write_reproducibility(folder: Path, paths: pd.DataFrame) -> None:
    """What four halves say: one finds the map's states, three do not tell the last one apart."""
    last = int(paths["state"].max())
    states = {last + 1: paths["state"], last or 1: paths["state"].clip(upper=max(last - 1, 0))}
    halves = []
    for number in range(4):
        order = list(states) if number == 0 else list(states)[::-1]
        of = {k: [rows.tolist() for _, rows in states[k].groupby(paths["seed"])] for k in order}
        halves.append(half_of(number, of))
    runs = [rows["step"].tolist() for _, rows in paths.groupby("seed")]
    table = observed(runs).table.assign(step=np.concatenate(runs))
    found = gather_halves(halves, Observations(table, ("l1",)), paths)
    write_json({**found, "made_by": made_by()}, folder / "reproducibility.json")


def write_path_results(folder: Path, n_runs: int = 8, n_states: int = 4, seed: int = 0) -> Path:
    """Write a result folder of runs whose state paths alone are known; return it.

    There is no model, no log and no convergence. The files are those of the stages that run then.
    """
    from training_maps.training_map.map import TrainingMap

    rng = np.random.default_rng(seed)
    sequences = {run: _sequence(rng, n_states, 40, True, False) for run in range(n_runs)}
    _renumber(sequences, n_states)
    rows = [(run, 32 * i, s) for run, states in sequences.items() for i, s in enumerate(states)]
    paths = pd.DataFrame(rows, columns=["seed", "step", "state"])
    write_table(paths, folder / "state_paths.csv")
    TrainingMap.from_paths(paths, experiment="paths").to_json(folder / "training_map.json")
    _write_dissimilarity(folder, sequences, np.zeros((n_states, 1)))
    distances = pd.read_csv(folder / "dissimilarity.csv")
    write_table(distances.drop(columns="means"), folder / "dissimilarity.csv")
    _write_forks_and_phases(folder, paths, None)
    return folder


def write_analysis(folder: Path, paths: pd.DataFrame, convergence: pd.DataFrame) -> Path:
    """Write what the stages after the map make of state paths and convergence times; return it.

    There is no model and no log; times are in steps.
    """
    from training_maps.training_map.map import TrainingMap

    write_table(paths, folder / "state_paths.csv")
    TrainingMap.from_paths(paths, experiment="paths").to_json(folder / "training_map.json")
    write_table(convergence, folder / "convergence.csv")
    _write_regression(folder, paths, convergence)
    sequences = {int(seed): rows["state"].to_numpy() for seed, rows in paths.groupby("seed")}
    _write_dissimilarity(folder, sequences, np.zeros((int(paths["state"].max()) + 1, 1)))
    _write_forks_and_phases(folder, paths, convergence)
    return folder


def _sequence(
    rng: np.random.Generator, n_states: int, n_checkpoints: int, forking: bool, back_edges: bool
) -> np.ndarray:
    route = list(range(n_states))
    if forking:
        inner = np.arange(1, n_states - 1)
        # A handful of routes, the full one the most common.
        left_out = {0: inner[:0], 1: inner[:1], 2: inner[-1:], 3: inner[::2]}
        skipped = left_out[int(rng.choice(4, p=[0.5, 0.2, 0.2, 0.1]))]
        route = [state for state in route if state not in skipped]
    if back_edges and len(route) > 2 and rng.random() < 0.4:
        at = int(rng.integers(2, len(route)))
        route[at:at] = [route[at - 1], route[at - 2]]
        route = [s for i, s in enumerate(route) if i == 0 or route[i - 1] != s]
    cuts = np.sort(rng.choice(np.arange(1, n_checkpoints), len(route) - 1, replace=False))
    return np.repeat(route, np.diff([0, *cuts, n_checkpoints]))


def _renumber(sequences: dict[int, np.ndarray], n_states: int) -> None:
    """Make sure that every state is visited: the first run takes the full route."""
    n = len(sequences[0])
    if not set(range(n_states)) <= set(np.concatenate(list(sequences.values()))):
        sequences[0] = np.minimum(np.arange(n) * n_states // n, n_states - 1)


def _route(states: np.ndarray) -> tuple[int, ...]:
    keep = np.append(True, states[1:] != states[:-1])
    return tuple(int(s) for s in states[keep])


def _training_map(
    rng: np.random.Generator,
    sequences: dict[int, np.ndarray],
    means: np.ndarray,
    experiment: str,
    notes: tuple[Note, ...],
) -> dict[str, Any]:
    n_states = len(means)
    everything = np.concatenate(list(sequences.values()))
    importance = rng.gamma(2.0, 5.0, (n_states, len(METRICS)))
    top = np.argsort(-importance, axis=1)[:, :3]
    states = [
        {
            "state": k,
            "name": f"state {k}",
            "features": [
                {
                    "metric": METRICS[m],
                    "inverse_covariance": float(importance[k, m]),
                    "mean": float(means[k, m]),
                }
                for m in top[k]
            ],
            "share_of_checkpoints": float(np.mean(everything == k)),
            "n_runs": sum(k in s for s in sequences.values()),
            "mean": dict(zip(METRICS, map(float, means[k]), strict=True)),
        }
        for k in range(n_states)
    ]
    routes: dict[tuple[int, ...], list[int]] = {}
    for run, sequence in sequences.items():
        routes.setdefault(_route(sequence), []).append(run)
    ordered = sorted(routes.items(), key=lambda item: (-len(item[1]), item[0]))
    return {
        "experiment": experiment,
        "metrics": METRICS,
        "linear": len(routes) == 1,
        "selected_model": {
            "model": "gaussian",
            "n_states": n_states,
            "restart": 0,
            "criterion": "bic",
            "aggregate": "mean",
            "covariance": "full",
            "value": 1000.0 - 40 * n_states,
        },
        "feature_ranking": "inverse_covariance",
        "states": states,
        "transitions": _transitions(ordered, everything, means, top),
        "paths": [{"states": list(route), "seeds": seeds} for route, seeds in ordered],
        "notes": [note.to_dict() for note in notes],
        "made_by": made_by(synthetic=True),
    }


def _transitions(
    routes: list[tuple[tuple[int, ...], list[int]]],
    everything: np.ndarray,
    means: np.ndarray,
    top: np.ndarray,
) -> list[dict[str, Any]]:
    runs: dict[tuple[int, int], set[int]] = {}
    uses: dict[tuple[int, int], int] = {}
    for route, seeds in routes:
        for edge in pairwise(route):
            runs.setdefault(edge, set()).update(seeds)
            uses[edge] = uses.get(edge, 0) + len(seeds)
    return [
        {
            "from": j,
            "to": k,
            "probability": uses[j, k] / int(np.sum(everything == j)),
            "n_runs": len(runs[j, k]),
            "n_uses": uses[j, k],
            "feature_changes": [
                {"metric": METRICS[m], "change": float(means[k, m] - means[j, m])} for m in top[k]
            ],
        }
        for j, k in sorted(runs)
    ]


def _write_selection(
    rng: np.random.Generator, folder: Path, n_states: int, sequences: dict[int, np.ndarray]
) -> None:
    """Scores of restarts whose parts are known, and the stability of the choice of `n_states`."""
    seeds = np.array(sorted(sequences))
    paths = np.concatenate([sequences[seed] for seed in seeds])
    lengths = np.array([len(sequences[seed]) for seed in seeds])
    held_out = seeds % 5 == 4
    judging = held_out if held_out.any() else np.ones(len(seeds), dtype=bool)
    n = int(lengths[judging].sum())
    of_runs = rng.normal(0, 3, len(seeds))
    rows, restarts = [], {}
    for k in range(1, max(8, n_states) + 1):
        parameters = k * k - 1 + 2 * len(METRICS) * k
        bic = 1000.0 - 40 * n_states + 6 * (k - n_states) ** 2 + rng.normal(0, 1, 5)
        total = -(bic - parameters * np.log(n)) / 2
        parts = total[:, None] / judging.sum() + of_runs + rng.normal(0, 0.2, (5, len(seeds)))
        parts[:, judging] += (total - parts[:, judging].sum(axis=1))[:, None] / judging.sum()
        restarts[Candidate("gaussian", k)] = [
            Restarts(seeds, lengths, judging, parts, np.tile(paths % k, (5, 1)), parameters)
        ]
        rows += [
            {
                "n_states": k,
                "split": 0,
                "restart": restart,
                "log_likelihood_train": 4 * total[restart],
                "log_likelihood_validation": total[restart],
                "aic": -2 * total[restart] + 2 * parameters,
                "bic": bic[restart],
                "n_iterations": 20 + restart,
                "converged": restart != 4,
                "reason": "converged" if restart != 4 else "iteration limit",
                "start": "k-means",
                "model": "gaussian",
            }
            for restart in range(5)
        ]
    write_table(pd.DataFrame(rows), folder / "hmm" / "model_selection.csv")
    chosen, kept = choose(pd.DataFrame(rows))
    assert chosen.n_states == n_states
    stability = measure_stability(restarts, chosen, kept)
    write_json(stability.to_dict(), folder / "hmm" / "stability.json")


def _write_convergence(
    folder: Path, sequences: dict[int, np.ndarray], steps: np.ndarray, n_censored: int
) -> pd.DataFrame:
    rows = []
    for run, states in sequences.items():
        # A run generalises some checkpoints after it enters its last state.
        entered = int(np.flatnonzero(states != states[-1])[-1]) + 1 if len(set(states)) > 1 else 1
        index = min(entered + 2, len(steps) - 1)
        converged = run < len(sequences) - n_censored
        index = index if converged else len(steps) - 1
        rows.append(
            {
                "seed": run,
                "step": int(steps[index]),
                "epoch": index * 10.0,
                "fraction": float(steps[index] / steps[-1]),
                "converged": converged,
            }
        )
    table = pd.DataFrame(rows)
    write_table(table, folder / "convergence.csv")
    return table


def _write_logs(
    rng: np.random.Generator,
    folder: Path,
    sequences: dict[int, np.ndarray],
    steps: np.ndarray,
    convergence: pd.DataFrame,
) -> None:
    index = np.arange(len(steps))
    for run in sequences:
        row = convergence.iloc[run]
        middle = row["step"] / 32 if row["converged"] else 3 * len(steps)
        learned = (1 + np.tanh((index - middle + 2) / 2)) / 2
        log = pd.DataFrame(
            {
                "step": steps,
                "epoch": index * 10.0,
                "train_loss": np.maximum(0, np.exp(-index / 4) - 0.01),
                "eval_loss": (1 - learned) * (1.2 + rng.normal(0, 0.02, len(steps))).clip(0),
                "train_accuracy": 1 - 0.5 * np.exp(-index / 3),
                "eval_accuracy": 0.5 + 0.5 * learned,
            }
        )
        write_table(
            log, folder / "runs" / f"seed-{run}" / "training_log.parquet", made_by(seed=run)
        )


def _write_regression(folder: Path, paths: pd.DataFrame, convergence: pd.DataFrame) -> None:
    outcome = time_outcome(convergence, "eval_accuracy", THRESHOLD)
    found = regress(
        state_shares(paths), outcome, significance=0.05, n_resamples=50, alternatives=False
    )
    write_table(found.coefficients, folder / "coefficients.csv")
    steps = convergence.set_index("seed")["step"]
    write_table(delays(paths, outcome, steps), folder / "delays.csv")
    foretold = foretelling(paths, outcome, convergence, found.r_squared, significance=0.05)
    write_table(
        outcome.per_run.merge(found.predictions, on="seed", how="left"), folder / "outcomes.csv"
    )
    about = {
        "outcome": outcome.to_dict(),
        "threshold": THRESHOLD,
        "column": "eval_accuracy",
        "direction": "above",
        "foretelling": foretold.to_dict(),
        "made_by": made_by(synthetic=True),
    }
    write_json(found.to_dict() | about, folder / "regression.json")


def _write_forks_and_phases(
    folder: Path, paths: pd.DataFrame, convergence: pd.DataFrame | None
) -> None:
    """What the stages on forks, phase transitions and outliers make of these runs."""
    logs = {
        int(seed): pd.read_parquet(file)
        for seed in paths["seed"].unique()
        if (file := folder / "runs" / f"seed-{seed}" / "training_log.parquet").exists()
    }
    forks = explain_forks(paths, convergence, n_permutations=99).to_dict()
    compared = None if convergence is None else fast_and_slow(paths, convergence)
    write_json({**forks, "fast_and_slow": compared and compared.to_dict()}, folder / "forks.json")
    write_table(path_times(paths, logs), folder / "run_paths.csv")
    phases = find_phase_transitions(paths, logs)
    write_table(phases.table, folder / "phase_transitions.csv")
    write_json(dict(phases.summary), folder / "phase_transitions.json")
    write_table(outlier_runs(paths), folder / "outliers.csv")
    distances = pd.read_csv(folder / "dissimilarity.csv")
    both = [distances, distances.rename(columns={"seed_a": "seed_b", "seed_b": "seed_a"})]
    per_run = pd.concat(both).drop(columns="seed_b").groupby("seed_a").mean()
    write_table(
        per_run.rename_axis("seed").reindex(paths["seed"].unique()).reset_index(),
        folder / "dissimilarity_per_run.csv",
    )


def _write_dissimilarity(folder: Path, sequences: dict[int, np.ndarray], means: np.ndarray) -> None:
    n_states = len(means)
    shares = [np.bincount(s, minlength=n_states) / len(s) for s in sequences.values()]
    rows = []
    for a in range(len(shares)):
        for b in range(a + 1, len(shares)):
            difference = shares[a] - shares[b]
            rows.append(
                {
                    "seed_a": a,
                    "seed_b": b,
                    "index": float(np.abs(np.cumsum(difference)).sum()),
                    "discrete": float(np.abs(difference).sum() / 2),
                    "means": float(np.abs(difference @ means).sum()),
                }
            )
    columns = ["seed_a", "seed_b", "index", "discrete", "means"]
    write_table(pd.DataFrame(rows, columns=columns), folder / "dissimilarity.csv")


def _write_observations(folder: Path, paths: pd.DataFrame, means: np.ndarray) -> None:
    """Metrics that lie around the means of the states."""
    rng = np.random.default_rng(len(paths))
    held_out = paths["seed"] % 5 == 4
    table = paths[["seed", "step"]].assign(split=np.where(held_out, "validation", "train"))
    values = means[paths["state"]] + rng.normal(0, 0.1, (len(paths), len(METRICS)))
    metrics = pd.DataFrame(values, columns=METRICS)
    write_table(
        pd.concat([table, metrics], axis=1), folder / "observations.parquet", made_by(notes=[])
    )
