"""Relate the time that runs spend in states to when they converge; find detour states.

A run converges at its first checkpoint whose evaluation accuracy is greater than the threshold.
"""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from training_maps.errors import InputError
from training_maps.files import made_by, read_table, write_json, write_table

if TYPE_CHECKING:
    import pandas as pd

    from training_maps.semantics import Regression

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--state-paths", type=Path, required=True, metavar="CSV")
    parser.add_argument(
        "--runs",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="where seed-SEED/training_log.parquet is for each seed of the paths",
    )
    parser.add_argument(
        "--threshold", type=float, required=True, help="a run converges when it is exceeded"
    )
    parser.add_argument(
        "--column",
        default="eval_accuracy",
        help="logged quantity to compare with it (default: eval_accuracy)",
    )
    parser.add_argument(
        "--significance",
        type=float,
        default=0.001,
        help="p-value below which coefficients are interpreted (default: 0.001)",
    )
    for name, what in (
        ("convergence", "CSV"),
        ("coefficients", "CSV"),
        ("regression", "JSON"),
    ):
        parser.add_argument(f"--{name}", type=Path, required=True, metavar=what, help="output")


def run(arguments: argparse.Namespace) -> None:
    """Write convergence times, coefficients and the regression's summary."""
    from training_maps.semantics import convergence_times, regress
    from training_maps.state_paths import read_state_paths, state_shares

    if not math.isfinite(arguments.threshold):
        raise InputError(f"--threshold must be a finite number, not {arguments.threshold}")
    if not 0 < arguments.significance < 1:
        raise InputError(f"--significance must be between 0 and 1, not {arguments.significance}")
    shares = state_shares(read_state_paths(arguments.state_paths))
    logs = read_logs(arguments.runs, shares.index, arguments.column)
    convergence = convergence_times(logs, arguments.threshold, arguments.column)
    regression = regress(shares, convergence, arguments.significance)
    write_table(convergence, arguments.convergence)
    write_table(regression.coefficients, arguments.coefficients)
    settings = {
        "threshold": arguments.threshold,
        "column": arguments.column,
        "significance": arguments.significance,
    }
    write_json(
        {
            **regression.to_dict(),
            "threshold": arguments.threshold,
            "made_by": made_by(**settings),
        },
        arguments.regression,
    )
    _tell(regression)


def read_logs(runs: Path, seeds: Iterable[int], column: str) -> dict[int, pd.DataFrame]:
    """Training log of each seed, from `seed-{seed}/training_log.parquet` in the folder `runs`.

    Raises:
        InputError: if a log is missing, empty or lacks a column; the message names seed and file.
    """
    logs = {}
    for seed in seeds:
        path = runs / f"seed-{seed}" / "training_log.parquet"
        try:
            log = read_table(path, ("step", "epoch", column))
        except InputError as error:
            raise InputError(f"training log of seed {seed}: {error}") from error
        if log.empty:
            raise InputError(
                f"training log of seed {seed}: {path} has no rows; expected one for each checkpoint"
            )
        logs[int(seed)] = log
    return logs


def _tell(regression: Regression) -> None:
    logger.info("%d of %d runs converge", regression.n_converged, regression.n_runs)
    if regression.reason:
        logger.info("no regression: %s", regression.reason)
    else:
        detours = ", ".join(map(str, regression.detour_states)) or "none"
        logger.info(
            "R² %.3f, p %.2g; detour states: %s", regression.r_squared, regression.p_value, detours
        )
    for note in regression.notes:
        logger.info("note: %s", note)
