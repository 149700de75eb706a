"""Tables of layers for made-up runs: what each layer's metrics do is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from training_maps.analysis.layer_changes import layer_changes
from training_maps.metrics.layers import LAYER_COLUMNS
from training_maps.utils.files import read_table, write_table

METRICS = ("l2", "mean_w", "lambda_max", "stable_rank")
LAYERS = (
    ("blocks.0.attention.query", 2, "attention"),
    ("blocks.0.mlp.weight", 1, "mlp"),
    ("blocks.1.attention.query", 2, "attention"),
    ("blocks.1.mlp.weight", 1, "mlp"),
)


def layers_of_run(states: np.ndarray, steps: np.ndarray, seed: int = 0) -> pd.DataFrame:
    """A run's table: a metric goes with the state, the more the later layer and metric are."""
    rng = np.random.default_rng(seed)
    rows = []
    for step, state in zip(steps, states, strict=True):
        for i, (tensor, n_blocks, kind) in enumerate(LAYERS):
            for block in range(n_blocks):
                values = {
                    metric: 5.0 + (i + 1) * (k + 1) * state + rng.normal() + block
                    for k, metric in enumerate(METRICS)
                }
                rows.append({"step": step, "tensor": tensor, "block": block, "kind": kind,
                             "rows": 8, "cols": 4, **values})  # fmt: skip
    return pd.DataFrame(rows)[[*LAYER_COLUMNS, *METRICS]]


def write_layers(folder: Path) -> Path:
    """Write the tables of layers of the runs of a result folder, and their changes."""
    paths = read_table(folder / "state_paths.csv")
    tables = {}
    for seed, rows in paths.groupby("seed"):
        tables[int(str(seed))] = layers_of_run(
            rows["state"].to_numpy(), rows["step"].to_numpy(), int(str(seed))
        )
    for seed, table in tables.items():
        write_table(table, folder / "runs" / f"seed-{seed}" / "layers.parquet")
    write_table(layer_changes(paths, tables.items()), folder / "layer_changes.parquet")
    return folder
