"""Draw the map of runs whose states are already known, from a table of seed, step and state.

No model is fitted: the map has the states and the ways between them, and what it knows of the
states' metrics is nothing.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from training_maps.utils.errors import InputError
from training_maps.utils.files import write_table
from training_maps.utils.seeds import format_seeds, parse_seeds

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--table",
        type=Path,
        required=True,
        metavar="FILE",
        help="CSV or Parquet with the columns seed, step and state, all whole numbers",
    )
    parser.add_argument("--seeds", help="which of its runs: 0-39 or 0,1,5 (default: all)")
    parser.add_argument("--experiment", metavar="NAME", help="name to write into the map")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="JSON", help="output: the training map"
    )
    parser.add_argument(
        "--state-paths", type=Path, required=True, metavar="CSV", help="output: seed, step, state"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the map and the paths of the chosen runs."""
    from training_maps.training_map.map import TrainingMap
    from training_maps.training_map.paths import read_state_paths

    paths = read_state_paths(arguments.table)
    if arguments.seeds is not None:
        seeds = parse_seeds(arguments.seeds, "--seeds")
        missing = sorted(set(seeds) - set(paths["seed"]))
        if missing:
            raise InputError(f"{arguments.table}: has no rows of seeds {format_seeds(missing)}")
        paths = paths[paths["seed"].isin(seeds)].reset_index(drop=True)
    training_map = TrainingMap.from_paths(paths, experiment=arguments.experiment)
    write_table(training_map.paths, arguments.state_paths)
    training_map.to_json(arguments.output)
    logger.info("%r", training_map)
    for note in training_map.notes:
        logger.info("note: %s", note)
