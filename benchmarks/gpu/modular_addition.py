"""Part 6: forty transformers on modular addition for 10,000 epochs, 1001 checkpoints measured."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from tests.support.metrics_twin import twin

from benchmarks.gpu.checks import Part
from training_maps.metrics.definitions import METRIC_COLUMNS
from training_maps.metrics.parameters import select_parameters
from training_maps.training.loop import Training
from training_maps.training.recipe import Recipe
from training_maps.training.records import Recording
from training_maps.training.tasks import make_task

SECONDS, EPOCHS, EVERY = 300.0, 10_000, 10
_COLUMNS = tuple(column for column in METRIC_COLUMNS)


def run(part: Part) -> None:
    """Train as the experiment says, in the time there is, and check what is recorded."""
    n_seeds = 2 if part.toy else 40
    settings = {"modulus": 7, "d_model": 16, "d_mlp": 32} if part.toy else {}
    every, whole = (2, 20) if part.toy else (EVERY, EPOCHS)
    first = _train(part, settings, n_seeds, every * (2 if part.toy else 10), every)
    pace = _train(part, settings, n_seeds, every * (2 if part.toy else 10), every).seconds
    pace = min(pace, first.seconds) / (every * (2 if part.toy else 10))
    length = min(whole, int(0.8 * part.seconds / pace) // every * every)
    result = _train(part, settings, n_seeds, length, every)
    seconds = result.seconds * whole / length
    part.numbers |= {"epochs": length, "seconds": result.seconds, "seconds_of_all": seconds}
    what = f"{n_seeds} networks, {whole} epochs: seconds"
    if part.toy:
        part.skip(what, "a toy size tells nothing of speed")
    else:
        part.at_most(what, seconds, SECONDS, control=100 * seconds + SECONDS)
    _check_records(part, result.metrics, result.log, n_seeds, length // every + 1)
    _check_metrics(part, result)
    result.metrics.to_parquet(part.out / "modular_addition_metrics.parquet", index=False)
    result.log.to_parquet(part.out / "modular_addition_log.parquet", index=False)


class _Result:
    """What a training left: its time, its tables of all seeds, and its networks' tensors."""

    def __init__(self, seconds: float, training: Training, folder: Path, seeds: list[int]) -> None:
        self.seconds = seconds
        self.tensors = {name: v.cpu().numpy() for name, v in training.networks.tensors().items()}
        tables = [
            [pd.read_parquet(folder / f"seed-{seed}" / file).assign(seed=seed) for seed in seeds]
            for file in ("metrics.parquet", "training_log.parquet")
        ]
        self.metrics, self.log = (pd.concat(them, ignore_index=True) for them in tables)


def _train(part: Part, settings: dict[str, int], n_seeds: int, length: int, every: int) -> _Result:
    recipe = Recipe(
        "adamw", learning_rate=1e-3, weight_decay=1.0, batch_size=2048, length=length,
        checkpoint_every=every,
    )  # fmt: skip
    task, seeds = make_task("modular_addition", settings), list(range(n_seeds))
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        start = time.perf_counter()
        recording = Recording(runs, "metrics", "cut")
        training = Training(
            task, "modular_addition", recipe, seeds, recording, part.device, runs / "working"
        )
        training.run()
        training.recorder.finish(training.settings)
        return _Result(time.perf_counter() - start, training, runs, seeds)


def _check_records(
    part: Part, metrics: pd.DataFrame, log: pd.DataFrame, n_seeds: int, n_rows: int
) -> None:
    """All rows are there and finite, and the networks have learned what they are trained on."""

    def whole(table: pd.DataFrame) -> bool:
        counts = table.groupby("seed").size()
        finite = np.isfinite(table[[*_COLUMNS]].to_numpy()).all()
        return len(counts) == n_seeds and bool((counts == n_rows).all()) and bool(finite)

    broken = metrics.copy()
    broken.loc[0, "l2"] = np.nan
    part.holds(f"{n_seeds} x {n_rows} finite rows", whole(metrics), control=whole(broken))
    last = log.groupby("seed")["train_accuracy"].last()
    start = log.groupby("seed")["train_accuracy"].first()
    part.numbers["eval_accuracy"] = float(log.groupby("seed")["eval_accuracy"].last().mean())
    if part.toy:
        part.skip("training accuracy is 1", "too short")
    else:
        part.at_least("training accuracy", float(last.min()), 0.9999, control=float(start.max()))


def _check_metrics(part: Part, result: _Result) -> None:
    """The last metrics of three networks are those of numpy.linalg.svd."""
    kinds = ((name, "F32", value.shape[1:]) for name, value in result.tensors.items())
    selection = select_parameters(list(kinds))

    def error(row: int, factor: float) -> float:
        own = {name: value[row] * factor for name, value in result.tensors.items()}
        weights = [own[m.tensor].reshape(-1, m.rows, m.cols) for m in selection.matrices]
        expected = twin(weights, [own[name] for name in selection.biases])
        found = result.metrics[result.metrics["seed"] == row].iloc[-1]
        # What sums to nearly nothing has no relative error: of the size of its terms.
        floor = {"mean_w": expected["var_w"] ** 0.5, "median_w": expected["var_w"] ** 0.5}
        floor |= {"mean_b": 1.0, "median_b": 1.0, "trace": expected["l2"]}
        floor |= {"trace_over_lambda_max": expected["l2"] / expected["lambda_max"]}
        return max(
            abs(found[name] - value) / max(abs(value), floor.get(name, 0.0), 1e-12)
            for name, value in expected.items()
        )

    rows = range(min(3, int(result.metrics["seed"].max()) + 1))
    part.at_most(
        "last metrics are NumPy's",
        max(error(row, 1.0) for row in rows),
        1e-6,
        control=error(0, 1.001),
    )
