"""Training logs that there may be or not: `seed-SEED/training_log.parquet` in a folder of runs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from training_maps.runs.checkpoints import run_folder
from training_maps.utils.errors import InputError
from training_maps.utils.files import read_table
from training_maps.utils.numbers import LARGEST_STEP, Floats, Ints

if TYPE_CHECKING:
    import pandas as pd

#: The logged quantities that the stages know, and the columns of a log of training here.
LOG_NAMES = ("train_loss", "eval_loss", "train_accuracy", "eval_accuracy")
LOG_COLUMNS = ("step", "epoch", *LOG_NAMES)
Direction = Literal["above", "below"]
ACCURACY: Final = "eval_accuracy"
#: Beyond it a run has converged, of accuracies (Hu et al. 2023, section 3.4).
THRESHOLD = 0.9
# Words of quantities that training lowers; "loss" and "error" may be part of a longer word.
_FALLING = {
    "perplexity", "ppl", "nll", "mse", "mae", "rmse", "err", "bpc", "bpb", "bpd", "wer", "cer",
    "fid", "regret", "cost",
}  # fmt: skip


def find_training_logs(
    runs: str | os.PathLike[str] | None, seeds: Iterable[int], columns: Iterable[str] = ()
) -> dict[int, pd.DataFrame]:
    """The training logs that there are of some runs, sorted by step; None has none.

    Args:
        runs: the folder of the runs.
        seeds: the runs' seeds.
        columns: what each log must have beside `step`.

    Raises:
        InputError: if a log cannot be read, lacks a column, or is none (`check_log`); the message
            names seed and file.
    """
    if runs is None:
        return {}
    logs = {}
    for seed in seeds:
        path = run_folder(runs, seed) / "training_log.parquet"
        if path.exists():
            log = read_table(path, ("step", *columns))
            check_log(log, f"{path}: the training log of seed {seed}")
            logs[int(seed)] = log.sort_values("step", ignore_index=True)
    return logs


def log_values(seed: int, log: pd.DataFrame, column: str) -> Floats:
    """A column of a training log, (n,); NaN where nothing was logged.

    Raises:
        InputError: if it does not hold numbers.
    """
    try:
        return log[column].to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the training log of seed {seed}: column {column} is not numeric"
        ) from error


def nearest_steps(steps: Ints, logged: Ints) -> tuple[Ints, int] | None:
    """For each of a run's checkpoints, the row of the log that is nearest to it.

    Loggers count from 0 or from 1, and some log a step before it is saved: Lightning's metrics of
    the checkpoint at step 50 are those of step 49.

    Args:
        steps: (n,) the checkpoints' steps, ascending.
        logged: (m,) the steps that were logged, ascending.

    Returns:
        (n,) places in `logged`, -1 where none is within half the cadence of the checkpoints; and
        the offset of the log in steps, the median over the checkpoints. None if a step of the log
        is that of a checkpoint, or no checkpoint has one near enough.
    """
    if not len(logged) or len(steps) < 2 or np.isin(steps, logged).any():
        return None
    after = np.searchsorted(logged, steps).clip(0, len(logged) - 1)
    before = (after - 1).clip(0)
    rows = np.where(np.abs(logged[before] - steps) <= np.abs(logged[after] - steps), before, after)
    offsets = logged[rows] - steps
    near = 2 * np.abs(offsets) < np.median(np.diff(steps))
    if not near.any():
        return None
    return np.where(near, rows, -1), int(np.median(offsets[near]))


def check_log(log: pd.DataFrame, where: str) -> None:
    """Refuse a table that cannot be a training log.

    Raises:
        InputError: if it has no rows, a column of anything but numbers, or a row whose step is no
            whole number from 0 on.
    """
    from pandas.api.types import is_numeric_dtype

    if log.empty:
        raise InputError(f"{where} has no rows; expected one for each checkpoint")
    for column in log.columns:
        if not is_numeric_dtype(log[column]) and log[column].notna().any():
            raise InputError(f"{where} has a text in column {column}; expected numbers")
    steps = log["step"].to_numpy(dtype=float, na_value=-1.0)
    if not ((steps >= 0) & (steps <= LARGEST_STEP) & (steps == steps.round())).all():
        raise InputError(f"{where} has a row whose step is no whole number from 0 on")


def usual_direction(column: str) -> Direction:
    """The direction in which training moves a logged quantity: losses and perplexities fall."""
    name = column.lower()
    falls = "loss" in name or "error" in name or _FALLING & set(re.findall("[a-z]+", name))
    return "below" if falls else "above"


def usual_threshold(column: str) -> float | None:
    """Where runs converge if nobody says so: of accuracies only; a return or a loss has no such."""
    words = re.findall("[a-z]+", column.lower())
    return THRESHOLD if any(word.startswith("acc") for word in words) else None


def usual_column(columns: Iterable[str]) -> str | None:
    """The column of training logs that tells the outcome, if nobody says so.

    Args:
        columns: those that every log has.

    Returns:
        `eval_accuracy`, the only one beside steps and epochs, or `eval_loss`; None where several
        could be meant.
    """
    names = [name for name in columns if name not in ("step", "epoch")]
    if ACCURACY in names:
        return ACCURACY
    if len(names) == 1:
        return names[0]
    return "eval_loss" if "eval_loss" in names else None
