"""Find the runs that do not behave like the rest, by their states and the order of these.

A run is an outlier if it is far from all but a few other runs, measured by how far apart runs
usually are. Of two groups of runs neither is one.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from training_maps.config.arguments import add_inputs
from training_maps.utils.files import write_table
from training_maps.utils.seeds import format_seeds

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_inputs(parser, "state-paths")
    parser.add_argument("--output", type=Path, required=True, metavar="CSV", help="output")


def run(arguments: argparse.Namespace) -> None:
    """Write the table of runs."""
    from training_maps.analysis.outliers import FEWEST_RUNS, outlier_runs
    from training_maps.training_map.paths import read_state_paths

    table = outlier_runs(read_state_paths(arguments.state_paths))
    write_table(table, arguments.output)
    outliers = table.loc[table["is_outlier"], "seed"]
    if len(table) < FEWEST_RUNS:
        logger.info("%d runs are too few to tell outliers from the rest", len(table))
    elif outliers.empty:
        logger.info("no run of %d is an outlier", len(table))
    else:
        logger.info(
            "outliers: %d of %d runs, seeds %s",
            len(outliers),
            len(table),
            format_seeds(map(int, outliers)),
        )
