"""What is regressed on the shares of states: an outcome of each run.

A time (when a logged quantity first crosses a threshold), a value (the last or the best of a logged
quantity), or a column of a table of the user's own. The paper's outcome is convergence time: Hu et
al. 2023, section 3.4.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import pandas as pd

from training_maps.result_tables import CONVERGENCE_COLUMNS, typed
from training_maps.runs.training_logs import ACCURACY, Direction, log_values
from training_maps.settings.sections import OutcomeKind
from training_maps.utils.errors import InputError
from training_maps.utils.files import read_json, read_table
from training_maps.utils.seeds import first_seeds

# The kind of the paper's outcome.
CONVERGENCE_TIME: Final = "convergence_time"
OUTCOME_KINDS = get_args(OutcomeKind)
DIRECTIONS = ("above", "below")


@dataclass(frozen=True, eq=False)
class Outcome:
    """An outcome of each run, and what it is called.

    Attributes:
        kind: one of `OUTCOME_KINDS`.
        name: what it is, to stand in a sentence: "convergence time", "final eval_loss".
        unit: what its numbers count.
        larger_means: "later" of a time; "better", "worse" or just "higher" of a value.
        per_run: table of `seed` (ascending), `outcome` (null where a run has none) and `censored`
            (whether the run ended before its time had come; the outcome is then a lower limit).
        threshold: what is crossed, of times.
        column: the column that the outcome is of.
        direction: where the values lie that training aims at; None where that is not known.
    """

    kind: str
    name: str
    unit: str
    larger_means: Literal["later", "better", "worse", "higher"]
    per_run: pd.DataFrame
    column: str
    direction: Direction | None
    threshold: float | None = None

    @property
    def is_time(self) -> bool:
        """Whether the outcome is a time, so that runs can be late, and states detours."""
        return self.larger_means == "later"

    def to_dict(self) -> dict[str, Any]:
        """All but the runs, ready for JSON."""
        return {
            "kind": self.kind,
            "name": self.name,
            "unit": self.unit,
            "is_time": self.is_time,
            "larger_means": self.larger_means,
            "column": self.column,
            "direction": self.direction,
            "threshold": self.threshold,
        }


def convergence_times(
    logs: Mapping[int, pd.DataFrame],
    threshold: float,
    column: str = ACCURACY,
    direction: Direction = "above",
) -> pd.DataFrame:
    """When each run converges: its first checkpoint with `column` strictly beyond `threshold`.

    A run that never gets there is censored: it counts as its last checkpoint and is marked as not
    converged. A null in `column` (a diverged run) is not beyond any threshold.

    Args:
        logs: training log of each seed, with the columns `step`, `epoch` and `column`; the first
            checkpoint, step 0 included, counts like any other.
        threshold: what `column` must exceed, in its own units (accuracies are in [0, 1]).
        column: the logged quantity.
        direction: "above", or "below" for a quantity that must fall below `threshold`.

    Returns:
        Table of `seed` (ascending), `step` (optimiser updates), `epoch`, `fraction` (step as a
        fraction of the longest run's last step, in [0, 1]) and `converged`; no rows for no logs.

    Raises:
        InputError: if a log is empty, lacks a column or has nulls in `step`.

    Source: Hu et al. 2023, section 3.4.
    """
    rows = []
    for seed in sorted(logs):
        log, values = _column_of_log(seed, logs[seed], column)
        beyond = values > threshold if direction == "above" else values < threshold
        row = int(beyond.argmax()) if beyond.any() else len(log) - 1
        step, last = int(log["step"].iloc[row]), int(log["step"].iloc[-1])
        rows.append((seed, step, float(log["epoch"].iloc[row]), last, bool(beyond.any())))
    table = pd.DataFrame(rows, columns=["seed", "step", "epoch", "last", "converged"])
    length = table.pop("last").max()
    # Runs of nothing but step 0 have no length; a censored run is at its end by definition.
    fraction = table["step"] / length if length > 0 else 1.0 - table["converged"].astype(float)
    table.insert(3, "fraction", fraction)
    return typed(table, CONVERGENCE_COLUMNS)


def time_outcome(
    convergence: pd.DataFrame,
    column: str,
    threshold: float,
    direction: Direction = "above",
    kind: Literal["convergence_time", "first_crossing"] = "convergence_time",
) -> Outcome:
    """Convergence time, or first crossing by another name, as an outcome.

    Args:
        convergence: as `convergence_times` returns it for `column`, `threshold` and `direction`.
        column: see there.
        threshold: see there.
        direction: see there.
        kind: what it is called.
    """
    crossing = f"first crossing of {column} {direction} {threshold:g}"
    return Outcome(
        kind=kind,
        name="convergence time" if kind == CONVERGENCE_TIME else crossing,
        unit="fraction of the longest run's steps",
        larger_means="later",
        per_run=pd.DataFrame(
            {
                "seed": convergence["seed"],
                "outcome": convergence["fraction"],
                "censored": ~convergence["converged"].astype(bool),
            }
        ),
        column=column,
        direction=direction,
        threshold=threshold,
    )


def value_outcome(
    logs: Mapping[int, pd.DataFrame],
    column: str,
    direction: Direction,
    kind: Literal["final", "best"],
) -> Outcome:
    """The last or the best value of a logged quantity.

    The best is the largest with `direction` "above" and the smallest with "below"; nulls count as
    no value. A run whose last value is null (a diverged run) has no final value.

    Raises:
        InputError: if a log is empty or lacks a column.
    """
    rows = []
    for seed in sorted(logs):
        values = _column_of_log(seed, logs[seed], column)[1]
        known = values[np.isfinite(values)]
        if kind == "final":
            value = values[-1] if np.isfinite(values[-1]) else np.nan
        else:
            best = np.max if direction == "above" else np.min
            value = best(known) if len(known) else np.nan
        rows.append((seed, float(value), False))
    return Outcome(
        kind=kind,
        name=f"{kind} {column}",
        unit=f"{column}, as logged",
        larger_means="better" if direction == "above" else "worse",
        per_run=_values(rows),
        column=column,
        direction=direction,
    )


def table_outcome(
    path: str | os.PathLike[str],
    column: str,
    seeds: Sequence[int],
    direction: Direction | None = None,
) -> Outcome:
    """A column of a user's table per seed: a bias measure, a score on another task.

    Args:
        path: a CSV or Parquet file with the columns `seed` and `column`.
        column: the outcome; a seed whose cell is empty, or that has no row, has none.
        seeds: the seeds of the runs; other rows are not used.
        direction: whether large ("above") or small values ("below") are good; None if neither.

    Raises:
        InputError: if the table is broken, has a seed twice, or has no value for any of `seeds`.
    """
    table = read_table(path, ("seed", column))
    if not pd.api.types.is_integer_dtype(table["seed"]):
        raise InputError(f"{path}: column seed must hold whole numbers in every row")
    repeated = table.loc[table["seed"].duplicated(), "seed"]
    if len(repeated):
        raise InputError(f"{path}: has seed {repeated.iloc[0]} twice; expected a row a seed")
    if not pd.api.types.is_numeric_dtype(table[column]):
        raise InputError(f"{path}: column {column} must hold numbers")
    values = table.set_index("seed")[column].astype(float).reindex(sorted(seeds))
    if np.isinf(values.to_numpy()).any():
        raise InputError(f"{path}: column {column} holds an infinite number")
    if values.isna().all():
        raise InputError(
            f"{path}: column {column} has no value for any of the seeds {first_seeds(seeds)}"
        )
    better: dict[Direction | None, Literal["better", "worse", "higher"]] = {
        "above": "better",
        "below": "worse",
        None: "higher",
    }
    return Outcome(
        kind="table",
        name=column,
        unit=f"{column}, as given",
        larger_means=better[direction],
        per_run=_values(
            [(seed, value, False) for seed, value in zip(sorted(seeds), values, strict=True)]
        ),
        column=column,
        direction=direction,
    )


def _values(rows: Sequence[tuple[int, float, bool]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["seed", "outcome", "censored"])
    return table.astype({"seed": "int64", "outcome": "float64", "censored": "bool"})


def _column_of_log(seed: int, log: pd.DataFrame, column: str) -> tuple[pd.DataFrame, np.ndarray]:
    """A checked log in order of steps, and its `column` as (n,) floats with NaN for null."""
    missing = [name for name in ("step", "epoch", column) if name not in log.columns]
    if missing:
        raise InputError(
            f"the training log of seed {seed} has no column {', '.join(missing)}; "
            f"it has {', '.join(map(str, log.columns)) or 'none'}"
        )
    if log.empty:
        raise InputError(f"the training log of seed {seed} is empty; expected a row a checkpoint")
    # Logs of existing runs need not count epochs.
    if not np.isfinite(log["step"].to_numpy(dtype=float)).all():
        raise InputError(f"the training log of seed {seed} has a null step")
    log = log.sort_values("step", kind="stable")
    return log, log_values(seed, log, column)


def read_outcome(
    regression: str | os.PathLike[str], outcomes: str | os.PathLike[str]
) -> Outcome | None:
    """The outcome that `training-maps semantics` regressed on the states; None if there is none.

    Raises:
        InputError: if a file is missing or is not what it should be; the message names it.
    """
    fit = read_json(regression)
    try:
        about = fit["outcome"]
        if about is None:
            return None
        described = {name: value for name, value in about.items() if name != "is_time"}
        table = read_table(outcomes, ("seed", "outcome", "censored"))
        return Outcome(**described, per_run=table[["seed", "outcome", "censored"]])
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{regression}: does not say what the outcome is (at {error}); make it again with "
            "'training-maps semantics'"
        ) from error
