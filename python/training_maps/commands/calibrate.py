"""Write what new runs are placed on a map by: placing.npz, beside the map's other results.

It has the map's scale, its model in that scale, its runs, what is usual among them, and what their
outcome is predicted from. 'training-maps place' and recorders need no other file of the map.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
from pathlib import Path

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--map", type=Path, required=True, metavar="FOLDER", help="the map's results: results/NAME"
    )
    parser.add_argument(
        "--output", type=Path, metavar="NPZ", help="output (default: placing.npz in that folder)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the file."""
    from training_maps.figures.map.svg import map_svg
    from training_maps.figures.style import state_colour
    from training_maps.placing.calibrate import calibrate
    from training_maps.placing.reference import FILE

    reference = calibrate(arguments.map)
    states = [state["state"] for state in reference.training_map["states"]]
    drawn = {
        **reference.training_map,
        "svg": map_svg(reference.training_map, fork_states=reference.forks),
        "colours": {str(state): state_colour(state) for state in states},
    }
    reference = dataclasses.replace(reference, training_map=drawn)
    reference.save(arguments.output or arguments.map / FILE)
    logger.info(
        "%s: runs can be placed by %s at %d steps; the limit of warnings is %s",
        reference.name,
        reference.runs_told,
        len(reference.steps),
        "by ranks"
        if reference.usual.by_rank
        else "an extrapolation, as fewer than 19 runs tell too little of rare ones",
    )
