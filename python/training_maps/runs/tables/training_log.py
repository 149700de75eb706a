"""Training logs of existing runs: what a run logged, under the names that this project uses."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from training_maps.runs.tables.clocks import is_time_column
from training_maps.runs.tables.runs import (
    SEED_NAME,
    LoggedRun,
    known_column,
    listed,
    read_runs,
)
from training_maps.runs.training_logs import LOG_NAMES
from training_maps.settings.sources import RepeatedSteps, TablesSettings
from training_maps.utils.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger("training_maps")

_EPOCH = "epoch"
_NOT_TO_MAP = ("seed", "step", _EPOCH)


def read_logs(
    path: str,
    seeds: Sequence[int],
    *,
    seed: str | None = None,
    step: str | None = None,
    epoch: str | None = None,
    columns: Mapping[str, str] | None = None,
    leave_out: Collection[str] = (),
    repeated_steps: RepeatedSteps = TablesSettings.repeated_steps,
) -> Iterator[tuple[int, pd.DataFrame]]:
    """Training logs of the runs of `seeds`, one by one.

    Args:
        path: a table with a column of seeds, or a pattern with {seed} for one a run.
        seeds: which runs.
        seed: the column of seeds; "seed" if None.
        step: the column of steps; that of `STEP_NAMES` which is there if None.
        epoch: the column of epochs; "epoch", if it is there, if None.
        columns: the table's column for names of the log, such as {"eval_accuracy": "val/acc"}.
        leave_out: columns that are not for the log, such as the metrics.
        repeated_steps: which of two different values at one step counts.

    Yields:
        Seed, and a table of `step` (int64, ascending), `epoch` (NaN if there is no such column),
        those of `train_loss`, `eval_loss`, `train_accuracy` and `eval_accuracy` that there are, and
        all other columns of numbers, under their own names (float64; NaN at a step without a
        value). Epochs that are missing at some steps are those in between.

    Raises:
        InputError: naming the file, and the line where there is one.
    """
    mapped = dict(columns or {})
    for name in _NOT_TO_MAP:
        if name in mapped:
            raise InputError(
                f"columns: '{name}' is said with '{name}: {mapped[name]}' beside 'columns', not in "
                "it"
            )
    told = False
    for run in read_runs(path, seeds, seed=seed, step=step, repeated_steps=repeated_steps):
        table = _log_of_run(run, epoch, mapped, {*leave_out, seed or SEED_NAME})
        if not told and not set(LOG_NAMES) & set(table.columns):
            told = True
            logger.info(
                "%s: the columns of the log are %s; semantics.column says which is the outcome",
                run.sheet.path,
                listed([name for name in table.columns if name not in ("step", "epoch")]),
            )
        yield run.seed, table


def _log_of_run(
    run: LoggedRun, epoch: str | None, mapped: Mapping[str, str], leave_out: Collection[str]
) -> pd.DataFrame:
    import pandas as pd

    columns = run.sheet.columns
    for name, column in mapped.items():
        known_column(run.sheet, column, name)
    has_values = [name for name in columns if columns[name].present[run.rows].any()]
    own = {name: name for name in LOG_NAMES if name in has_values} | dict(mapped)
    found = {name: run.column(column) for name, column in own.items()}
    for name, column in mapped.items():
        if not found[name][1].any():
            raise InputError(
                f"{run.sheet.path}: seed {run.seed}: column '{column}' ({name}) has no value at "
                "any step"
            )
    taken = {*own.values(), *own, *leave_out, run.step_column}
    for name in has_values:
        if name not in taken and not is_time_column(name) and columns[name].n_texts == 0:
            found |= _if_usable(run, name)
    if not found:
        raise InputError(f"{run.sheet.path}: seed {run.seed}: nothing was logged at any step")
    logged = np.logical_or.reduce([there for _, there in found.values()])
    names = sorted(found, key=lambda name: (*LOG_NAMES, name).index(name))
    table = {"step": run.steps, _EPOCH: _epochs(run, epoch)}
    table |= {name: found[name][0] for name in names}
    return pd.DataFrame(table)[logged].reset_index(drop=True)


def _if_usable(
    run: LoggedRun, name: str
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.bool_]]]:
    """A column that was not asked for: if something is wrong with it, it alone is left out."""
    try:
        return {name: run.column(name)}
    except InputError as error:
        logger.warning("%s; the column is left out of the log", error)
        return {}


def _epochs(run: LoggedRun, name: str | None) -> NDArray[np.float64]:
    """The epoch of each step; those that were not logged lie between their neighbours."""
    nothing = np.full(len(run.steps), np.nan), np.zeros(len(run.steps), dtype=bool)
    if name is not None:
        known_column(run.sheet, name, "the epoch")
        epochs, logged = run.column(name)
    elif _EPOCH in run.sheet.columns:
        epochs, logged = _if_usable(run, _EPOCH).get(_EPOCH, nothing)
    else:
        return nothing[0]
    logged &= np.isfinite(epochs)
    steps = run.steps.astype(float)
    if logged.sum() < 2:
        return epochs
    x, y = steps[logged], epochs[logged]
    result = np.interp(steps, x, y)
    before, after = steps < x[0], steps > x[-1]
    result[before] = y[0] + (steps[before] - x[0]) * (y[1] - y[0]) / (x[1] - x[0])
    result[after] = y[-1] + (steps[after] - x[-1]) * (y[-1] - y[-2]) / (x[-1] - x[-2])
    return result
