"""Many runs: what planning takes, and each stage's seconds and memory for a thousand runs.

    python -m benchmarks.bench_scale                     all tables
    python -m benchmarks.bench_scale plan                dry runs of the workflow only
    python -m benchmarks.bench_scale stages 1000 200     the stages; so many runs and checkpoints
    python -m benchmarks.bench_scale stages 1000 200 many    the same, and the folder is kept

Seconds are of processor time (a busy machine adds nothing to them), one thread; memory is a
process's largest. The runs are made up: 14 metrics that change when a run enters another of six
states, along one of four routes, and two weight matrices.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import print_table, versions
from training_maps.metrics.definitions import MATRIX_COLUMNS, METRIC_COLUMNS
from training_maps.metrics.layers import Layer, layer_columns
from training_maps.utils.files import write_table

ROOT = Path(__file__).parents[1]
PAPER = ("modular_addition", "modular_addition_stabilized", "cifar100", "cifar100_destabilized",
         "sparse_parities", "mnist")  # fmt: skip
ROUTES = ((0, 1, 2, 3, 4, 5), (0, 1, 3, 4, 5), (0, 2, 3, 5), (0, 1, 2, 4, 2, 5))
# Each stage's command, in order, as the workflow's rules call it.
STAGES = {
    "tables (of all runs in one)": "--seeds {seeds} --path table.parquet --runs from_table",
    "observations": "--runs runs --seeds {seeds} --output observations.parquet",
    "hmm (6 states, 1 restart)": "--observations observations.parquet --n-states 6 --restarts 1 "
    "--output hmm/states-6.npz --scores hmm/states-6.csv",
    "half (one of ten)": "--observations observations.parquet --n-states 6 --half 0 "
    "--restarts 1 --output half-0.npz",
    "half (the other of its pair)": "--observations observations.parquet --n-states 6 --half 1 "
    "--restarts 1 --output half-1.npz",
    "structure": "--halves half-0.npz half-1.npz --observations observations.parquet "
    "--n-states 6 --output structure.json",
    "map": "--observations observations.parquet --models hmm --n-states 6 "
    "--selection hmm/model_selection.csv --stability hmm/stability.json "
    "--output training_map.json --state-paths state_paths.csv",
    "semantics": "--state-paths state_paths.csv --runs runs --column eval_accuracy "
    "--threshold 0.9 --convergence convergence.csv --outcomes outcomes.csv "
    "--coefficients coefficients.csv --delays delays.csv --regression regression.json",
    "dissimilarity": "--state-paths state_paths.csv --training-map training_map.json "
    "--output dissimilarity.csv --per-run dissimilarity_per_run.csv",
    "forks": "--state-paths state_paths.csv --convergence convergence.csv --runs runs "
    "--output forks.json --run-paths run_paths.csv",
    "outliers": "--state-paths state_paths.csv --output outliers.csv",
    "layer_changes": "--state-paths state_paths.csv --runs runs --output layer_changes.parquet",
    "phase_transitions": "--state-paths state_paths.csv --runs runs "
    "--output phase_transitions.csv --summary phase_transitions.json",
    "reproducibility": "--halves half-0.npz half-1.npz --observations observations.parquet "
    "--state-paths state_paths.csv --structure structure.json --regression regression.json "
    "--outcomes outcomes.csv --convergence convergence.csv --output reproducibility.json",
    "calibrate": "--map .",
    "summary": "--results . --experiment many --output summary.json",
    "figures": "--results . --output figures",
    "report": "--results . --experiment many --output report.html",
}


def measured(command: Sequence[str], folder: Path) -> tuple[float, float]:
    """Seconds of processor time and MB of memory of a command, its own children's included."""
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stderr is not None
    told = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{told[-2000:]}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def plan(experiments: Sequence[str], seeds: str) -> tuple[float, float]:
    """Seconds and MB of a dry run in which everything is still to do."""
    with tempfile.TemporaryDirectory() as folder:
        return measured(
            [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "all", "--cores", "1",
             "--snakefile", str(ROOT / "Snakefile"), "--directory", folder,
             "--workflow-profile", str(ROOT / "profiles/default"),
             "--configfile", str(ROOT / "config.yaml"),
             "--config", f"experiments={json.dumps(list(experiments))}", f"seeds={seeds}"],
            Path(folder),
        )  # fmt: skip


def import_of_snakemake() -> float:
    """Seconds of processor time of starting Python and importing Snakemake's command line."""
    return measured([sys.executable, "-c", "import snakemake.cli"], ROOT)[0]


def write_runs(folder: Path, n_runs: int, n_checkpoints: int) -> None:
    """Tables of metrics and training logs of made-up runs."""
    draw = np.random.default_rng(0)
    means = draw.normal(0, 4, (6, len(METRIC_COLUMNS)))
    layers = [Layer("fc1.weight", 0, "mlp", 64, 32), Layer("fc2.weight", 0, "mlp", 10, 64)]
    tables = []
    steps = 10 * np.arange(n_checkpoints)
    for seed in range(n_runs):
        route = ROUTES[draw.choice(len(ROUTES), p=[0.5, 0.2, 0.2, 0.1])]
        cuts = np.sort(draw.choice(np.arange(1, n_checkpoints), len(route) - 1, replace=False))
        states = np.repeat(route, np.diff([0, *cuts, n_checkpoints]))
        values = means[states] + draw.normal(0, 1, (n_checkpoints, len(METRIC_COLUMNS)))
        metrics = pd.DataFrame(values, columns=list(METRIC_COLUMNS))
        metrics.insert(0, "step", steps)
        accuracy = np.where(states == 5, 0.95, 0.1 + 0.1 * (states > 2))
        log = pd.DataFrame({"step": steps, "epoch": steps / 10, "train_loss": 1.0 / (1 + states)})
        log["eval_loss"] = 1.2 / (1 + states)
        log["train_accuracy"] = np.where(states > 1, 0.99, 0.1)
        log["eval_accuracy"] = accuracy
        of_layers = values[:, np.newaxis, : len(MATRIX_COLUMNS)] * [[[1.0], [0.5]]]
        matrices = layer_columns(list(steps), list(of_layers), layers, tails=True)
        write_table(metrics, folder / f"runs/seed-{seed}/metrics.parquet")
        write_table(log, folder / f"runs/seed-{seed}/training_log.parquet")
        write_table(matrices, folder / f"runs/seed-{seed}/layers.parquet")
        tables.append(metrics.assign(seed=seed))
    write_table(pd.concat(tables), folder / "table.parquet")


def stages(n_runs: int, n_checkpoints: int, kept: str | None = None) -> list[tuple[str, ...]]:
    """Name, seconds, MB of memory and MB written of each stage."""
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(kept or name)
        write_runs(folder, n_runs, n_checkpoints)
        for stage, options in STAGES.items():
            command = [sys.executable, "-m", "training_maps.cli", stage.split()[0]]
            before = _megabytes(folder)
            seconds, memory = measured(
                [*command, *options.format(seeds=f"0-{n_runs - 1}").split()], folder
            )
            written = _megabytes(folder) - before
            rows.append((stage, f"{seconds:.1f}", f"{memory:.0f}", f"{written:.1f}"))
            print(*rows[-1], file=sys.stderr, flush=True)
    return rows


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def main(arguments: Sequence[str]) -> None:
    """Print the tables that are asked for."""
    what = arguments[0] if arguments else "all"
    if what in ("all", "plan"):
        rows = []
        cases = {
            "6 experiments of 40 seeds": (PAPER, "0-39"),
            "7 experiments of 40 seeds": ((*PAPER, "mnist_lenet5"), "0-39"),
            "1 experiment of 1000 seeds": (("sparse_parities",), "0-999"),
            "7 experiments of 1000 seeds": ((*PAPER, "mnist_lenet5"), "0-999"),
        }
        own = import_of_snakemake()
        for case, (experiments, seeds) in cases.items():
            seconds, memory = plan(experiments, seeds)
            rows.append((case, f"{seconds:.1f}", f"{own:.1f}", f"{memory:.0f}"))
            print(*rows[-1], file=sys.stderr, flush=True)
        print_table(["dry run", "seconds", "of these importing Snakemake", "MB"], rows)
    if what in ("all", "stages"):
        n_runs, n_checkpoints = map(int, arguments[1:3]) if len(arguments) > 2 else (1000, 200)
        kept = arguments[3] if len(arguments) > 3 else None
        print(f"{n_runs} runs of {n_checkpoints} checkpoints, 14 metrics:\n")
        found = stages(n_runs, n_checkpoints, kept)
        spent, largest, written = zip(*(map(float, row[1:]) for row in found), strict=True)
        found.append(
            ("all stages", f"{sum(spent):.0f}", f"{max(largest):.0f}", f"{sum(written):.0f}")
        )
        print_table(["stage", "seconds", "MB", "MB written"], found)


if __name__ == "__main__":
    print(versions("numpy", "pandas", "snakemake"), end="\n\n")
    main(sys.argv[1:])
