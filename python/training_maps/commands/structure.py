"""Say whether there are states at all, and which model's map other runs would show.

Models with and without states are judged by how well they foretell runs that they did not see: the
fits to halves of the runs ('training-maps half') are read.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from training_maps.config.arguments import add_inputs, add_options, read_options
from training_maps.utils.files import made_by, write_json
from training_maps.utils.seeds import parse_seeds

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--halves", type=Path, nargs="+", required=True, metavar="NPZ", help="of each half"
    )
    add_inputs(parser, "observations")
    add_options(parser, "structure")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="JSON", help="output: ladder, verdict, choice"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write what the halves say of the models."""
    from training_maps.analysis.reproducibility.structure import structure_of
    from training_maps.hmm.observations import Observations
    from training_maps.model_selection.criteria import all_candidates
    from training_maps.reproducibility.refit import HalfFit
    from training_maps.structure.sentences import choice_sentence

    settings = read_options(arguments, "structure")
    tried = all_candidates(settings["model"], parse_seeds(settings["n_states"], "--n-states"))
    obs = Observations.load(arguments.observations)
    found = structure_of([HalfFit.load(path, obs) for path in arguments.halves], tried)
    write_json({**found, "made_by": made_by(**settings)}, arguments.output)
    logger.info("%s", found["sentence"])
    if found["choice"] is not None:
        logger.info("%s", choice_sentence(found))
