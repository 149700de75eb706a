"""Test whether two groups of runs, such as those of two settings, are equally spread.

The mean dissimilarity within the one is compared with that within the other.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from training_maps.utils.errors import InputError
from training_maps.utils.files import made_by, write_json

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--state-paths",
        type=Path,
        nargs=2,
        required=True,
        metavar=("CSV", "CSV"),
        help="the state paths of each group",
    )
    parser.add_argument(
        "--ground-distance",
        choices=("index", "discrete"),
        default="index",
        help="how far apart two states are: the difference of their numbers, or 1 (default: index)",
    )
    parser.add_argument("--permutations", type=int, default=9999, help="default: 9999")
    parser.add_argument("--random-state", type=int, default=0, help="seed (default: 0)")
    parser.add_argument("--output", type=Path, metavar="JSON", help="output; otherwise only told")


def run(arguments: argparse.Namespace) -> None:
    """Tell the result; write it if an output is named."""
    from training_maps.analysis.dispersion import equally_spread
    from training_maps.training_map.paths import read_state_paths

    if arguments.permutations < 1:
        raise InputError(f"--permutations must be at least 1, got {arguments.permutations}")
    first, second = (read_state_paths(path) for path in arguments.state_paths)
    result = equally_spread(
        first,
        second,
        ground_distance=arguments.ground_distance,
        n_permutations=arguments.permutations,
        random_state=arguments.random_state,
    )
    logger.info("%s", result)
    if arguments.output is not None:
        paths = [str(path) for path in arguments.state_paths]
        write_json(result.to_dict() | {"made_by": made_by(state_paths=paths)}, arguments.output)
