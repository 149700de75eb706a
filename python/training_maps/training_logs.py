"""Training logs that there may be or not: `seed-SEED/training_log.parquet` in a folder of runs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from training_maps.checkpoints import run_folder
from training_maps.errors import InputError
from training_maps.files import read_table

if TYPE_CHECKING:
    import pandas as pd


def find_training_logs(
    runs: str | os.PathLike[str] | None, seeds: Iterable[int], columns: Iterable[str] = ()
) -> dict[int, pd.DataFrame]:
    """The training logs that there are of some runs, sorted by step; None has none.

    Args:
        runs: the folder of the runs.
        seeds: the runs' seeds.
        columns: what each log must have beside `step`.

    Raises:
        InputError: if a log cannot be read, is empty, lacks a column, or has a step that is no
            number; the message names seed and file.
    """
    if runs is None:
        return {}
    logs = {}
    for seed in seeds:
        path = run_folder(runs, seed) / "training_log.parquet"
        if path.exists():
            log = read_table(path, ("step", *columns))
            if log.empty or log["step"].isna().any():
                raise InputError(
                    f"{path}: the training log of seed {seed} has no rows, or a row without a step"
                )
            logs[int(seed)] = log.sort_values("step", ignore_index=True)
    return logs
