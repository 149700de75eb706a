"""Make the tables of runs that were logged elsewhere: their metrics, their training logs, or both.

Reads CSV, JSON lines, Parquet or TensorBoard's event files; writes seed-{seed}/metrics.parquet and
seed-{seed}/training_log.parquet to the folder of runs.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Collection
from pathlib import Path
from typing import get_args

from training_maps.runs.checkpoints import run_folder
from training_maps.settings.sections import MetricsSettings, NonFinite
from training_maps.settings.sources import IncompleteSteps, RepeatedSteps, TablesSettings
from training_maps.utils.errors import InputError
from training_maps.utils.files import made_by, write_table
from training_maps.utils.seeds import named_seeds, parse_seeds

logger = logging.getLogger("training_maps")

_PATTERN = "a table of all runs, or with {seed} in it one table or folder of event files a run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--seeds", required=True, help="which runs: 0-39 or 0,1,5")
    metrics = parser.add_argument_group("metrics")
    _add_table(metrics, "--", "metrics are written if it is given")
    metrics.add_argument(
        "--metrics", nargs="*", default=[], metavar="COLUMN",
        help="columns that are metrics (default: every column of numbers that is nothing else)",
    )  # fmt: skip
    metrics.add_argument(
        "--incomplete-steps", choices=get_args(IncompleteSteps),
        default=TablesSettings.incomplete_steps,
        help="steps at which some metrics have no value (default: keep)",
    )  # fmt: skip
    metrics.add_argument(
        "--non-finite", choices=get_args(NonFinite), default=MetricsSettings.non_finite,
        help="on NaN or infinity: stop with an error (default), or end the table before it, so "
        "that the run is dropped or used as cut there",
    )  # fmt: skip
    log = parser.add_argument_group("training logs")
    _add_table(log, "--log-", "logs are written if it is given")
    log.add_argument("--log-epoch", metavar="COLUMN", help="the epochs (default: epoch)")
    log.add_argument(
        "--log-columns", nargs="*", default=[], metavar="NAME=COLUMN",
        help="which columns hold train_loss, eval_loss, train_accuracy and eval_accuracy",
    )  # fmt: skip
    parser.add_argument("--runs", type=Path, required=True, metavar="FOLDER", help="of all runs")


def _add_table(group: argparse._ArgumentGroup, prefix: str, when: str) -> None:
    """The options that say where a table is and which of its columns are which."""
    group.add_argument(f"{prefix}path", metavar="PATTERN", help=f"{_PATTERN}; {when}")
    group.add_argument(f"{prefix}seed", metavar="COLUMN", help="the seeds (default: seed)")
    group.add_argument(
        f"{prefix}step", metavar="COLUMN",
        help="the steps (default: step, _step, global_step or iteration)",
    )  # fmt: skip
    group.add_argument(
        f"{prefix}repeated-steps", choices=get_args(RepeatedSteps),
        default=TablesSettings.repeated_steps,
        help="which of two different values at one step counts (default: stop, an error); resumed: "
        "of a run whose steps go back, what was logged last",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> None:
    """Write the tables of all runs."""
    if not (arguments.path or arguments.log_path):
        raise InputError("neither --path nor --log-path is given; there is nothing to read")
    seeds = parse_seeds(arguments.seeds)
    columns = _mapping(arguments.log_columns)
    metrics = _write_metrics(arguments, seeds, {*columns.values(), arguments.log_epoch or "epoch"})
    if arguments.log_path:
        of_metrics = metrics if arguments.log_path == arguments.path else ()
        _write_logs(arguments, seeds, columns, of_metrics)


def _write_metrics(
    arguments: argparse.Namespace, seeds: list[int], leave_out: Collection[str]
) -> list[str]:
    """Write every run's table of metrics, if there is one; return the metrics' names."""
    from training_maps.runs.tables.metrics import read_metrics

    if not arguments.path:
        return []
    names: list[str] = []
    n_steps = 0
    for seed, table in read_metrics(
        arguments.path,
        seeds,
        seed=arguments.seed,
        step=arguments.step,
        metrics=arguments.metrics,
        leave_out=leave_out,
        repeated_steps=arguments.repeated_steps,
        incomplete_steps=arguments.incomplete_steps,
        non_finite=arguments.non_finite,
    ):
        names = list(table.columns[1:])
        n_steps += len(table)
        provenance = made_by(
            seed=seed, source=arguments.path, non_finite=table.attrs.pop("non_finite", None)
        )
        write_table(table, run_folder(arguments.runs, seed) / "metrics.parquet", provenance)
    logger.info(
        "metrics of %s: %d columns, %d steps in all", named_seeds(seeds), len(names), n_steps
    )
    return names


def _write_logs(
    arguments: argparse.Namespace,
    seeds: list[int],
    columns: dict[str, str],
    leave_out: Collection[str],
) -> None:
    """Write every run's training log."""
    from training_maps.runs.tables.training_log import read_logs

    n_steps = 0
    for seed, table in read_logs(
        arguments.log_path,
        seeds,
        seed=arguments.log_seed,
        step=arguments.log_step,
        epoch=arguments.log_epoch,
        columns=columns,
        leave_out=leave_out,
        repeated_steps=arguments.log_repeated_steps,
    ):
        n_steps += len(table)
        provenance = made_by(seed=seed, source=arguments.log_path, columns=columns)
        write_table(table, run_folder(arguments.runs, seed) / "training_log.parquet", provenance)
    logger.info("training logs of %s: %d steps in all", named_seeds(seeds), n_steps)


def _mapping(texts: list[str]) -> dict[str, str]:
    """Read NAME=COLUMN."""
    mapping = {}
    for text in texts:
        name, separator, column = text.partition("=")
        if not (separator and name and column):
            raise InputError(f"--log-columns {text}: expected NAME=COLUMN: eval_accuracy=val/acc")
        mapping[name] = column
    return mapping
