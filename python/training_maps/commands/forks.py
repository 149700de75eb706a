"""Say how runs split at each fork, and whether the branch taken tells when they converge.

Writes too when each run enters each state of its path. Convergence times and training logs are
optional: without them only the splits are told, and times are steps.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from training_maps.config.arguments import add_inputs, add_options, read_options
from training_maps.utils.errors import InputError
from training_maps.utils.files import made_by, read_table, write_json, write_table

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_inputs(parser, "state-paths")
    parser.add_argument(
        "--convergence", type=Path, metavar="CSV", help="seed, step, epoch, converged"
    )
    parser.add_argument(
        "--runs",
        type=Path,
        metavar="FOLDER",
        help="where seed-SEED/training_log.parquet is, for the epochs of steps",
    )
    add_options(parser, "forks")
    parser.add_argument("--output", type=Path, required=True, metavar="JSON", help="output: forks")
    parser.add_argument(
        "--run-paths",
        type=Path,
        required=True,
        metavar="CSV",
        help="output: when each run enters each state",
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the forks and the times of all paths."""
    from training_maps.analysis.fast_and_slow import fast_and_slow
    from training_maps.analysis.forks import explain_forks
    from training_maps.runs.training_logs import find_training_logs
    from training_maps.training_map.paths import path_times, read_state_paths

    settings = read_options(arguments, "forks")
    paths = read_state_paths(arguments.state_paths)
    convergence = None
    if arguments.convergence is not None:
        convergence = read_table(arguments.convergence, ("seed", "step", "converged"))
        if convergence["seed"].duplicated().any():
            raise InputError(f"{arguments.convergence}: has two rows of a seed; expected one each")
    logs = find_training_logs(arguments.runs, paths["seed"].unique().tolist())
    forks = explain_forks(
        paths,
        convergence,
        significance=settings["significance"],
        n_permutations=settings["permutations"],
        random_state=settings["random_state"],
    )
    with_epochs = {seed: log for seed, log in logs.items() if _has_epochs(log)}
    write_table(path_times(paths, with_epochs), arguments.run_paths)
    compared = None
    if convergence is not None:
        compared = fast_and_slow(paths, convergence, significance=settings["significance"])
    found = {**forks.to_dict(), "fast_and_slow": compared and compared.to_dict()}
    write_json({**found, "made_by": made_by(**settings)}, arguments.output)
    if not forks.forks:
        logger.info("no fork: as far as they go, all runs enter the same states in the same order")
    for fork in forks.forks:
        logger.info("%s", fork.sentence)
    for note in forks.notes:
        logger.info("note: %s", note)


def _has_epochs(log: pd.DataFrame) -> bool:
    return "epoch" in log and bool(log["epoch"].notna().all())
