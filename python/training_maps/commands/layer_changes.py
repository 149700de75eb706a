"""Say which layers change at each transition of the map, and how much.

Reads seed-{seed}/layers.parquet of every run from the folder of runs. Writes a Parquet table, one
row for each transition, layer and metric: the mean change in standard deviations of the metric in
its run, from a stay in the one state to the stay in the next.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from training_maps.config.arguments import add_inputs
from training_maps.utils.files import made_by, read_table, write_table

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_inputs(parser, "state-paths")
    parser.add_argument(
        "--runs", type=Path, required=True, metavar="FOLDER", help="has seed-{seed}/layers.parquet"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="PARQUET",
        help="output: a row for each transition, layer and metric",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> None:
    """Write the table."""
    from training_maps.analysis.layer_changes import changes_of_layers, layer_changes
    from training_maps.metrics.layers import LAYER_COLUMNS
    from training_maps.training_map.paths import read_state_paths

    paths = read_state_paths(arguments.state_paths)
    seeds = sorted(int(seed) for seed in paths["seed"].unique())

    def tables() -> Iterator[tuple[int, pd.DataFrame]]:
        for seed in seeds:
            file = arguments.runs / f"seed-{seed}" / "layers.parquet"
            yield seed, read_table(file, LAYER_COLUMNS)

    changes = layer_changes(paths, tables())
    write_table(changes, arguments.output, made_by())
    for transition in changes_of_layers(changes):
        most = transition["layers"][0]
        logger.info(
            "%d -> %d: %s changes most, by %.2f standard deviations",
            transition["from"],
            transition["to"],
            most["tensor"],
            most["size"],
        )
