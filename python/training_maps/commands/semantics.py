"""Relate the time that runs spend in states to when they converge; find detour states.

A run converges at its first checkpoint whose evaluation accuracy is greater than the threshold.
Other columns of the log, and other outcomes than convergence time, can be asked for; without
training logs, the outcome can be a column of a table of your own.
"""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from training_maps.result_tables import OUTCOME_COLUMNS
from training_maps.runs.training_logs import check_log
from training_maps.utils.errors import InputError
from training_maps.utils.files import made_by, read_table, write_json, write_table

if TYPE_CHECKING:
    import pandas as pd

    from training_maps.analysis.semantics.outcomes import Direction, Outcome
    from training_maps.analysis.semantics.regression import Regression

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--state-paths", type=Path, required=True, metavar="CSV")
    parser.add_argument(
        "--runs",
        type=Path,
        metavar="FOLDER",
        help="where seed-SEED/training_log.parquet is for each seed of the paths; leave it out if "
        "there are no training logs",
    )
    _add_outcome_arguments(parser)
    parser.add_argument(
        "--censored",
        choices=("last_step", "drop", "tobit"),
        default="last_step",
        help="runs that do not converge: count as their last step, are left out, or are known to "
        "converge later (default: last_step)",
    )
    parser.add_argument(
        "--significance",
        type=float,
        default=0.001,
        help="p-value below which coefficients are interpreted (default: 0.001)",
    )
    parser.add_argument(
        "--detour-rule",
        choices=("sign", "interval"),
        default="sign",
        help="a detour's coefficient is positive, or its whole interval is (default: sign)",
    )
    parser.add_argument("--resamples", type=int, default=1000, help="for intervals (default: 1000)")
    parser.add_argument("--random-state", type=int, default=0, help="seed (default: 0)")
    for name, what in (
        ("convergence", "CSV"),
        ("outcomes", "CSV"),
        ("coefficients", "CSV"),
        ("regression", "JSON"),
    ):
        parser.add_argument(f"--{name}", type=Path, required=True, metavar=what, help="output")


def _add_outcome_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that say what is regressed."""
    parser.add_argument(
        "--outcome",
        choices=("convergence_time", "first_crossing", "final", "best", "table"),
        default="convergence_time",
        help="what the states are related to (default: convergence_time)",
    )
    parser.add_argument(
        "--column",
        default="eval_accuracy",
        help="logged quantity that tells it (default: eval_accuracy)",
    )
    parser.add_argument(
        "--threshold", type=float, required=True, help="a run converges when it is passed"
    )
    parser.add_argument(
        "--direction",
        choices=("above", "below"),
        help="the side of the threshold, or the values, that training aims at (default: below for "
        "losses and errors, above for the rest)",
    )
    parser.add_argument(
        "--table",
        nargs=2,
        metavar=("FILE", "COLUMN"),
        help="for --outcome table: a CSV or Parquet file with the columns seed and COLUMN",
    )


def run(arguments: argparse.Namespace) -> None:
    """Write convergence times, outcomes, coefficients and the regression's summary."""
    from training_maps.analysis.semantics.outcomes import convergence_times, usual_direction
    from training_maps.analysis.semantics.regression import Regression, regress
    from training_maps.analysis.semantics.sentences import unequal_length_notes
    from training_maps.training_map.paths import read_state_paths, state_shares

    _check(arguments)
    shares = state_shares(read_state_paths(arguments.state_paths))
    direction = arguments.direction or usual_direction(arguments.column)
    logs = {}
    if arguments.runs is not None:
        logs = read_logs(arguments.runs, shares.index, arguments.column, arguments.outcome)
    convergence = convergence_times(logs, arguments.threshold, arguments.column, direction)
    outcome = _outcome(arguments, shares.index, logs, convergence, direction)
    if outcome is None:
        regression = Regression(
            n_runs=0,
            n_converged=None,
            significance=arguments.significance,
            censored=arguments.censored,
            detour_rule=arguments.detour_rule,
            reason="There is no training log, so it is not known when runs converge.",
        )
    else:
        regression = regress(
            shares,
            outcome,
            censored=arguments.censored,
            significance=arguments.significance,
            detour_rule=arguments.detour_rule,
            n_resamples=arguments.resamples,
            random_state=arguments.random_state,
        )
        if outcome.is_time:
            more = unequal_length_notes(log["step"].max() for log in logs.values())
            regression = replace(regression, notes=(*regression.notes, *more))
    write_table(convergence, arguments.convergence)
    write_table(_outcome_table(outcome, regression), arguments.outcomes)
    write_table(regression.coefficients, arguments.coefficients)
    _write_regression(arguments, outcome, regression)
    _tell(regression)


def _check(arguments: argparse.Namespace) -> None:
    if not math.isfinite(arguments.threshold):
        raise InputError(f"--threshold must be a finite number, got {arguments.threshold}")
    if not 0 < arguments.significance <= 1:
        raise InputError(f"--significance must be between 0 and 1, got {arguments.significance}")
    if arguments.resamples < 1:
        raise InputError(f"--resamples must be at least 1, got {arguments.resamples}")
    if (arguments.outcome == "table") != (arguments.table is not None):
        raise InputError("--outcome table and --table FILE COLUMN must be given together")


def _outcome(
    arguments: argparse.Namespace,
    seeds: pd.Index,
    logs: dict[int, pd.DataFrame],
    convergence: pd.DataFrame,
    direction: Direction,
) -> Outcome | None:
    """The outcome that was asked for; None if it takes training logs and there are none."""
    from training_maps.analysis.semantics.outcomes import table_outcome, time_outcome, value_outcome

    if arguments.outcome == "table":
        path, column = arguments.table
        return table_outcome(path, column, [int(seed) for seed in seeds], arguments.direction)
    if not logs:
        return None
    if arguments.outcome in ("final", "best"):
        return value_outcome(logs, arguments.column, direction, arguments.outcome)
    return time_outcome(
        convergence, arguments.column, arguments.threshold, direction, arguments.outcome
    )


def read_logs(
    runs: Path, seeds: Iterable[int], column: str, outcome: str
) -> dict[int, pd.DataFrame]:
    """Training log of each seed, from `seed-{seed}/training_log.parquet` in the folder `runs`.

    With `outcome` "table", logs that lack `column` count as no logs.

    Raises:
        InputError: if a log is missing, empty or lacks a column; the message names seed and file.
    """
    logs = {}
    for seed in seeds:
        path = runs / f"seed-{seed}" / "training_log.parquet"
        try:
            log = read_table(path, ("step", "epoch"))
            if column not in log and outcome == "table":
                return {}
            log = read_table(path, ("step", "epoch", column))
        except InputError as error:
            raise InputError(f"training log of seed {seed}: {error}") from error
        check_log(log, f"training log of seed {seed}: {path}")
        logs[int(seed)] = log
    return logs


def _outcome_table(outcome: Outcome | None, regression: Regression) -> pd.DataFrame:
    """`seed, outcome, censored, predicted`: what was regressed, and left-out predictions."""
    import pandas as pd

    if outcome is None:
        return pd.DataFrame(columns=list(OUTCOME_COLUMNS))
    return outcome.per_run.merge(regression.predictions, on="seed", how="left")[
        list(OUTCOME_COLUMNS)
    ]


def _write_regression(
    arguments: argparse.Namespace, outcome: Outcome | None, regression: Regression
) -> None:
    from training_maps.analysis.semantics.outcomes import usual_direction

    names = (
        "outcome",
        "column",
        "threshold",
        "direction",
        "table",
        "censored",
        "significance",
        "detour_rule",
        "resamples",
        "random_state",
    )
    about = {
        "outcome": None if outcome is None else outcome.to_dict(),
        "threshold": arguments.threshold,
        "column": arguments.column,
        "direction": arguments.direction or usual_direction(arguments.column),
        "made_by": made_by(**{name: getattr(arguments, name) for name in names}),
    }
    write_json(regression.to_dict() | about, arguments.regression)


def _tell(regression: Regression) -> None:
    if regression.n_converged is not None:
        logger.info("%d of %d runs converge", regression.n_converged, regression.n_runs)
    if regression.reason:
        logger.info("no regression: %s", regression.reason)
    else:
        detours = ", ".join(map(str, regression.detour_states)) or "none"
        logger.info(
            "%s: R² %.3f, p %.2g; detour states: %s",
            regression.method,
            regression.r_squared,
            regression.p_value,
            detours,
        )
        for sentence in regression.coefficients[["state", "explanation"]].itertuples(index=False):
            logger.info("state %d: %s", *sentence)
        if regression.alternatives:
            logger.info("%s", regression.alternatives["sentence"])
    for note in regression.notes:
        logger.info("note: %s", note)
