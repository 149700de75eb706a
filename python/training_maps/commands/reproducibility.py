"""Say whether other seeds would show the same map: what the halves of the runs agree on.

Each half chooses among its own fits by the experiment's rule. Tells how far halves agree on states,
on ways and on the number of states, and what share of them has each state and fork of the map.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from training_maps.config.arguments import add_options, read_options
from training_maps.utils.files import made_by, read_json, write_json

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--halves", type=Path, nargs="+", required=True, metavar="NPZ", help="of each half"
    )
    parser.add_argument("--observations", type=Path, required=True, metavar="FILE")
    parser.add_argument("--state-paths", type=Path, required=True, metavar="CSV")
    parser.add_argument(
        "--structure",
        type=Path,
        metavar="JSON",
        help="of 'training-maps structure': what halves choose with --criterion found_again",
    )
    parser.add_argument(
        "--results",
        type=Path,
        metavar="FOLDER",
        help="where outcomes.csv, convergence.csv and regression.json are, to look for delays",
    )
    add_options(parser, "reproducibility")
    parser.add_argument("--output", type=Path, required=True, metavar="JSON", help="output")


def run(arguments: argparse.Namespace) -> None:
    """Write what the halves say together."""
    from training_maps.analysis.reproducibility.delays import delays_by
    from training_maps.analysis.reproducibility.gather import gather_halves
    from training_maps.hmm.observations import Observations
    from training_maps.reproducibility.refit import HalfFit
    from training_maps.training_map.paths import read_state_paths

    settings = read_options(arguments, "reproducibility")
    obs = Observations.load(arguments.observations)
    found = gather_halves(
        [HalfFit.load(path, obs) for path in arguments.halves],
        obs,
        read_state_paths(arguments.state_paths),
        find_delays=None if arguments.results is None else delays_by(arguments.results),
        structure=None if arguments.structure is None else read_json(arguments.structure),
        **settings,
    )
    write_json({**found, "made_by": made_by(**settings)}, arguments.output)
    for sentence in found["sentences"]:
        logger.info("%s", sentence)
