"""What it costs to record a run from inside its training loop, and to place one on a map.

    python -m benchmarks.bench_recording

- a one-layer transformer (modular addition, the paper's settings): the time of a checkpoint's
  recording, beside that of the training steps from one checkpoint to the next, in one process;
- a network of BERT-base's size: recording beside the metric engine alone, on the same arrays;
- `training-maps place` of one run of 1000 checkpoints from a table, with Python's start and all
  imports, on a map of 40 such runs.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from benchmarks import median_seconds, print_table, versions
from training_maps.hmm.observations import observations
from training_maps.metrics.compute import tensor_metrics
from training_maps.metrics.definitions import METRIC_COLUMNS
from training_maps.model_selection.fit import fit_hmm
from training_maps.placing.calibrate import Runs, reference_of
from training_maps.placing.reference import FILE
from training_maps.recording.recorder import Recorder
from training_maps.recording.tensors import named_tensors, select, snapshot
from training_maps.training.tasks.modular_addition import ModularAddition

# Steps from checkpoint to checkpoint in experiments/modular_addition.yaml: 10 epochs of 2 batches.
STEPS, BATCH = 20, 2048
RUNS, CHECKPOINTS = 40, 1000


def one_layer(folder: Path) -> list[list[str]]:
    """Recording a one-layer transformer, beside the training between two checkpoints."""
    task = ModularAddition()
    data = task.data(np.random.default_rng(0))
    x, y = (torch.from_numpy(one[:BATCH]) for one in (data.train_inputs, data.train_targets))
    model = task.network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1.0)

    def train() -> None:
        for _ in range(STEPS):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

    with Recorder(folder / "run") as recorder:
        recording = median_seconds(recorded(recorder, model), 20)
    training = median_seconds(train, 5)
    share = f"{recording / training:.1%}"
    return [["one-layer transformer", f"{1e3 * training:.0f}", f"{1e3 * recording:.1f}", share]]


def recorded(recorder: Recorder, model: nn.Module) -> Callable[[], object]:
    """A function that records the next checkpoint."""
    steps = iter(range(10**6))
    return lambda: recorder.record(model, next(steps), eval_accuracy=0.5)


def bert_base(folder: Path) -> list[list[str]]:
    """Recording a network of BERT-base's size, beside the engine alone."""
    layer = nn.TransformerEncoderLayer(768, 12, 3072, batch_first=True)
    model = nn.TransformerEncoder(layer, 12, enable_nested_tensor=False)
    tensors = named_tensors(model)
    chosen = select(model, tensors)
    arrays = snapshot(tensors, chosen, copy=False).arrays(chosen)
    engine = median_seconds(lambda: tensor_metrics([arrays], chosen.selection, tails=False), 3)
    with Recorder(folder / "bert") as recorder:
        recording = median_seconds(recorded(recorder, model), 3)
    return [["BERT-base", f"{engine:.2f}", f"{recording:.2f}", f"{recording / engine - 1:+.1%}"]]


def table_of(seed: int) -> pd.DataFrame:
    """A run's metrics: curves that rise at a time of its own, and noise."""
    draw = np.random.default_rng(seed)
    steps = np.arange(CHECKPOINTS)
    risen = 1 / (1 + np.exp(-(steps - draw.uniform(300, 700)) / 40))
    mixing = np.random.default_rng(0).normal(size=(2, len(METRIC_COLUMNS)))
    curves = np.stack([risen, np.sqrt(steps / CHECKPOINTS)], axis=1) @ mixing
    values = curves + 0.02 * draw.normal(size=curves.shape)
    return pd.DataFrame(values, columns=list(METRIC_COLUMNS)).assign(step=10 * steps)


def placing(folder: Path) -> list[list[str]]:
    """Calibrating a map of 40 runs of 1000 checkpoints, and placing one such run on it."""
    tables = {seed: table_of(seed) for seed in range(RUNS)}
    obs = observations(tables, scale="pooled")
    hmm = fit_hmm(obs, 4, model="autoregressive", restarts=1, random_state=0, max_iterations=20).hmm
    begin = time.perf_counter()
    reference_of(Runs.of(obs, tables), hmm, {"experiment": "map", "states": []}).save(folder / FILE)
    calibrating = time.perf_counter() - begin
    table_of(RUNS).to_csv(folder / "new.csv", index=False)
    command = [sys.executable, "-m", "training_maps.cli", "place", "--map", str(folder / FILE),
               str(folder / "new.csv"), "--output", str(folder / "out")]  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = median_seconds(
        lambda: subprocess.run(command, check=True, capture_output=True), 5, warm_up=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 5
    name = f"{RUNS} runs of {CHECKPOINTS} checkpoints"
    return [[name, f"{calibrating:.1f}", f"{seconds:.2f}", f"{busy:.2f}"]]


def main() -> None:
    """Print the tables."""
    print(f"{versions('torch', 'numpy')}\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print_table(["network", "training between checkpoints (ms)", "recording (ms)", "share"],
                    one_layer(folder))  # fmt: skip
        print_table(["network", "the engine alone (s)", "recording (s)", "more"], bert_base(folder))
        print_table(
            ["map", "calibrate (s)", "place, with imports (s)", "of processor (s)"], placing(folder)
        )


if __name__ == "__main__":
    main()
