"""Tables of metrics: of each run, one row a step, as the metrics of checkpoints are."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
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
from training_maps.settings.sections import MetricsSettings, NonFinite
from training_maps.settings.sources import IncompleteSteps, RepeatedSteps, TablesSettings
from training_maps.utils.errors import InputError
from training_maps.utils.numbers import MISSING_SHARE

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger("training_maps")

_RESERVED = ("seed", "step", "split", "epoch")


def read_metrics(
    path: str,
    seeds: Sequence[int],
    *,
    seed: str | None = None,
    step: str | None = None,
    metrics: Sequence[str] = (),
    leave_out: Collection[str] = (),
    repeated_steps: RepeatedSteps = TablesSettings.repeated_steps,
    incomplete_steps: IncompleteSteps = TablesSettings.incomplete_steps,
    non_finite: NonFinite = MetricsSettings.non_finite,
) -> Iterator[tuple[int, pd.DataFrame]]:
    """Tables of metrics of the runs of `seeds`, one by one.

    Args:
        path: a table with a column of seeds, or a pattern with {seed} for one a run.
        seeds: which runs.
        seed: the column of seeds; "seed" if None.
        step: the column of steps; that of `STEP_NAMES` which is there if None.
        metrics: the columns that are metrics, in order; if there are none, every column of numbers
            that is no seed, step, time or column of the training log.
        leave_out: columns that are no metrics where `metrics` names none.
        repeated_steps: which of two different values at one step counts.
        incomplete_steps: "keep" or "drop" steps at which some of the metrics have no value.
        non_finite: what to do about NaN or infinity: "stop" with an error, or end the table before
            the first such step ("drop" and "cut"; a later stage leaves the run out, or uses it up
            to there). Then `attrs["non_finite"]` is `{"step": ..., "tensor": column}`.

    Yields:
        Seed, and a table of `step` (int64, ascending) and the metrics (float64; NaN where there is
        no value).

    Raises:
        InputError: naming the file, and the line where there is one.
    """
    names: list[str] = list(metrics)
    first: LoggedRun | None = None
    for run in read_runs(path, seeds, seed=seed, step=step, repeated_steps=repeated_steps):
        if metrics:
            _check_chosen(run, names)
        else:
            found = _metric_columns(run, {*leave_out, seed or SEED_NAME})
            if first is None:
                first, names = run, found
                logger.info("metrics: %s", listed(names))
            _check_same(run, found, first, names)
        yield run.seed, _metrics_of_run(run, names, incomplete_steps, non_finite)


def _check_chosen(run: LoggedRun, names: Sequence[str]) -> None:
    for name in names:
        known_column(run.sheet, name, "a metric")
        if name in (*_RESERVED, run.step_column):
            raise InputError(f"{run.sheet.path}: '{name}' cannot be a metric; rename the column")


def _metric_columns(run: LoggedRun, leave_out: Collection[str]) -> list[str]:
    """The columns in which the run has numbers, but for those that are no metrics."""
    others = {*leave_out, run.step_column, *_RESERVED, *LOG_NAMES}
    names = [
        name
        for name, column in run.sheet.columns.items()
        if name not in others
        and not is_time_column(name)
        and column.has_numbers
        and column.present[run.rows].any()
    ]
    if not names:
        raise InputError(
            f"{run.sheet.path}: seed {run.seed}: no column is a metric; it has "
            f"{listed(run.sheet.columns)}. Name those that are with 'metrics'"
        )
    return names


def _check_same(run: LoggedRun, found: list[str], first: LoggedRun, names: list[str]) -> None:
    """Refuse a run whose metrics are not those of the first one."""
    for mine, one, theirs, other in ((found, run, names, first), (names, first, found, run)):
        more = [name for name in mine if name not in theirs]
        if more:
            raise InputError(
                f"{one.sheet.path}: seed {one.seed} has metric {listed(more)}, which seed "
                f"{other.seed} ({other.sheet.path}) has not; all runs need the same. Name the "
                "metrics to use with 'metrics'"
            )


def _metrics_of_run(
    run: LoggedRun, names: Sequence[str], incomplete_steps: str, non_finite: str
) -> pd.DataFrame:
    import pandas as pd

    columns = {name: run.column(name) for name in names}
    for name, (_, logged) in columns.items():
        if not logged.any():
            raise InputError(
                f"{run.sheet.path}: seed {run.seed}: column '{name}' has no value at any step"
            )
    values = np.column_stack([value for value, _ in columns.values()])
    logged = np.column_stack([there for _, there in columns.values()])
    complete = np.logical_and if incomplete_steps == "drop" else np.logical_or
    kept: NDArray[np.bool_] = complete.reduce(logged, axis=1)
    cut = _first_not_finite(run, names, values, logged & kept[:, None], non_finite)
    if cut is not None:
        kept[cut[0] :] = False
    if not kept.any() and cut is None:
        raise InputError(
            f"{run.sheet.path}: seed {run.seed}: at no step do all metrics have a value "
            f"({listed(names)}); name metrics that are logged together with 'metrics'"
        )
    _warn_of_missing(run, names, logged[kept])
    table = pd.DataFrame(values[kept], columns=list(names))
    table.insert(0, "step", run.steps[kept])
    if cut is not None:
        table.attrs["non_finite"] = {"step": int(run.steps[cut[0]]), "tensor": cut[1]}
    return table


def _first_not_finite(
    run: LoggedRun,
    names: Sequence[str],
    values: NDArray[np.float64],
    counted: NDArray[np.bool_],
    non_finite: str,
) -> tuple[int, str] | None:
    """Number of the first step at which a value is NaN or infinite, and its column."""
    wrong = counted & ~np.isfinite(values)
    if not wrong.any():
        return None
    place = int(wrong.any(axis=1).argmax())
    column = int(wrong[place].argmax())
    step, name = int(run.steps[place]), names[column]
    message = (
        f"{run.where(name, place)}: column '{name}' is {values[place, column]} at step {step} of "
        f"seed {run.seed}"
    )
    if non_finite == "stop":
        raise InputError(
            f"{message}; training diverged. Set non_finite to 'drop' to leave such runs out, or to "
            "'cut' to use them up to there. (Where nothing was logged, leave the cell empty.)"
        )
    logger.warning("%s; its table ends before that", message)
    return place, name


def _warn_of_missing(run: LoggedRun, names: Sequence[str], logged: NDArray[np.bool_]) -> None:
    missing = 1 - logged.mean(axis=0) if len(logged) else np.zeros(len(names))
    much = [name for name, share in zip(names, missing, strict=True) if share > MISSING_SHARE]
    if much:
        logger.warning(
            "seed %d: of %d steps, more than %d %% have no value of %s; to use only the steps that "
            "have all, set incomplete_steps to 'drop'",
            run.seed,
            len(logged),
            round(100 * MISSING_SHARE),
            listed(much),
        )
