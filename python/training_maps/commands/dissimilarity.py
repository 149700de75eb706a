"""Compute how differently each pair of runs trains.

The Wasserstein-1 distance between the runs' distributions over states, for three ground distances
between states: difference of their numbers, 0 or 1, and Euclidean distance of their means.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from training_maps.config.arguments import add_inputs
from training_maps.utils.files import write_table

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_inputs(parser, "state-paths", "training-map")
    parser.add_argument("--output", type=Path, required=True, metavar="CSV", help="output: pairs")
    parser.add_argument(
        "--per-run", type=Path, required=True, metavar="CSV", help="output: means of each run"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the table of pairs and that of runs."""
    from training_maps.analysis.dissimilarity import (
        dissimilarity,
        mean_per_run,
        sample_of_pairs,
        sample_sentence,
        trajectory_dissimilarity,
    )
    from training_maps.training_map.map import TrainingMap

    training_map = TrainingMap.from_json(arguments.training_map, arguments.state_paths)
    table = dissimilarity(training_map.paths, training_map.means)
    write_table(table, arguments.output)
    per_run = mean_per_run(table, training_map.paths)
    write_table(per_run, arguments.per_run)
    if said := sample_sentence(sample_of_pairs(table)):
        logger.info("%s", said)
    means = trajectory_dissimilarity(table, per_run)
    logger.info(
        "trajectory dissimilarity: %s",
        ", ".join(
            f"{name} {'undefined' if value is None else format(value, '.3f')}"
            for name, value in means.items()
        ),
    )
