"""Convert a training map to GraphML (.graphml) or to Graphviz's language (.dot)."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from training_maps.utils.errors import InputError
from training_maps.utils.files import read_json

logger = logging.getLogger("training_maps")

SUFFIXES = (".graphml", ".dot")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("map", type=Path, metavar="MAP", help="a training_map.json")
    parser.add_argument(
        "output", type=Path, metavar="OUT", help="what to write: a name in .graphml or .dot"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the map in the format that the suffix names."""
    from training_maps.training_map.export import write_dot, write_graphml

    if arguments.output.suffix not in SUFFIXES:
        raise InputError(
            f"{arguments.output}: the name must end in {' or '.join(SUFFIXES)}, the formats that a "
            "map converts to"
        )
    write = write_dot if arguments.output.suffix == ".dot" else write_graphml
    data = read_json(arguments.map)
    try:
        write(data, arguments.output)
    except InputError as error:
        raise InputError(f"{arguments.map}: {error}") from error
    logger.info("wrote %s", arguments.output)
