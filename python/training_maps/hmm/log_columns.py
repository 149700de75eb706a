"""Columns of the training log that join a run's metrics, by step."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from training_maps.hmm.observations import BOOKKEEPING
from training_maps.runs.training_logs import nearest_steps
from training_maps.utils.errors import InputError

logger = logging.getLogger("training_maps")


def with_log_columns(
    tables: Mapping[int, pd.DataFrame],
    logs: Mapping[int, pd.DataFrame],
    columns: Sequence[str],
) -> dict[int, pd.DataFrame]:
    """The runs' metrics with columns of their training logs beside them, by step.

    Nothing is interpolated: at a checkpoint whose step was not logged the column is missing (NaN).
    Where a column was logged at no checkpoint's step, each takes the nearest one within half their
    cadence, and the offset is said.

    Args:
        tables: one table of metrics a run, by seed.
        logs: the training log of each of them, with `step`.
        columns: which columns of the logs.

    Returns:
        The tables with those columns after their own; `attrs` are kept.

    Raises:
        InputError: if a log lacks a column or has a step twice, a column is already a metric, or no
            step of a log is one of the run's checkpoints, or near it.
    """
    joined = {}
    said: set[tuple[str, int]] = set()
    for seed, table in tables.items():
        log = logs[seed]
        missing = [column for column in columns if column not in log.columns]
        if missing:
            raise InputError(
                f"seed {seed}: the training log has no column {', '.join(missing)} (log_columns); "
                f"it has {', '.join(map(str, log.columns))}"
            )
        taken = [column for column in columns if column in (*table.columns, *BOOKKEEPING)]
        if taken:
            raise InputError(
                f"seed {seed}: {', '.join(taken)} (log_columns) is already a column of the metrics"
            )
        by_step = log.set_index("step")[list(columns)]
        if not by_step.index.is_unique:
            step = by_step.index[by_step.index.duplicated()][0]
            raise InputError(f"seed {seed}: the training log has step {step} twice")
        steps = by_step.index.to_numpy(np.int64)
        if (
            len(table)
            and not table["step"].isin(by_step.index).any()
            and nearest_steps(table["step"].to_numpy(np.int64), np.sort(steps)) is None
        ):
            raise InputError(
                f"seed {seed}: none of the training log's steps (the first is "
                f"{by_step.index.min()}) is that of a checkpoint (the first is "
                f"{table['step'].min()}), so that no log_columns can join the metrics"
            )
        joined[seed] = table.join(by_step, on="step")
        for column in columns:
            offset = _join_nearest(joined[seed], by_step[column])
            if offset is not None and (column, offset) not in said:
                said.add((column, offset))
                logger.warning(
                    "log_columns: %s was logged at no checkpoint's step; each takes the nearest "
                    "one, %d step%s %s it (seed %d)",
                    column,
                    abs(offset),
                    "s" * (abs(offset) != 1),
                    "before" if offset < 0 else "after",
                    seed,
                )
        joined[seed].attrs = dict(table.attrs)
    return joined


def _join_nearest(table: pd.DataFrame, logged: pd.Series) -> int | None:
    """Fill a joined column that has no value at all by the nearest steps; the offset, or None."""
    column = str(logged.name)
    values = logged.dropna().sort_index()
    if table[column].notna().any() or values.empty:
        return None
    steps = table["step"].to_numpy(np.int64)
    found = nearest_steps(steps, values.index.to_numpy(np.int64))
    if found is None:
        return None
    rows, offset = found
    near = rows >= 0
    filled = np.full(len(table), np.nan)
    filled[near] = values.to_numpy(dtype=float)[rows[near]]
    table[column] = filled
    return offset
