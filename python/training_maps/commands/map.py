"""Select the model with the best criterion; write the training map and each run's path.

The map keeps the states that some run visits and the transitions that some run uses. How firm the
selection is, is measured and written too.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from training_maps.config.arguments import add_inputs, add_options, read_options
from training_maps.utils.errors import InputError
from training_maps.utils.files import made_by, read_json, write_json, write_table
from training_maps.utils.seeds import parse_seeds

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_inputs(parser, "observations")
    parser.add_argument(
        "--models",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="where states-K.npz and states-K.csv are for each K of --n-states",
    )
    parser.add_argument(
        "--structure",
        type=Path,
        metavar="JSON",
        help="of 'training-maps structure': with --criterion found_again it chooses the model",
    )
    add_options(parser, "map")
    parser.add_argument("--experiment", metavar="NAME", help="name to write into the map")
    parser.add_argument(
        "--selection",
        type=Path,
        required=True,
        metavar="CSV",
        help="output: every restart's scores",
    )
    parser.add_argument(
        "--stability",
        type=Path,
        required=True,
        metavar="JSON",
        help="output: how firm the choice is, in numbers and words",
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="JSON", help="output: the training map"
    )
    parser.add_argument(
        "--state-paths", type=Path, required=True, metavar="CSV", help="output: seed, step, state"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the map, the paths and the table of all scores."""
    from training_maps.hmm.observations import Observations
    from training_maps.model_selection.select import DOUBTFUL_CHOICE, load_selected
    from training_maps.training_map.map import TrainingMap

    told = read_options(arguments, "map")
    n_states = parse_n_states(told["n_states"])
    model = load_selected(
        Observations.load(arguments.observations),
        arguments.models,
        n_states,
        criterion=told["criterion"],
        aggregate=told["aggregate"],
        model=told["model"],
        structure=None if arguments.structure is None else read_json(arguments.structure),
    )
    training_map = TrainingMap.from_model(
        model,
        n_features=told["n_features"],
        features=told["features"],
        experiment=arguments.experiment,
    )
    choice = ("model", "n_states", "criterion", "aggregate")
    settings = {key: (told | {"n_states": n_states})[key] for key in choice}
    write_table(model.scores, arguments.selection)
    write_json({**model.stability.to_dict(), "made_by": made_by(**settings)}, arguments.stability)
    write_table(training_map.paths, arguments.state_paths)
    training_map.to_json(
        arguments.output,
        **settings,
        n_features=told["n_features"],
        features=told["features"],
    )
    logger.info("%r", training_map)
    logger.info("%s", model.stability.sentence)
    for note in training_map.notes:
        if note.kind != DOUBTFUL_CHOICE:  # it is logged above
            logger.info("note: %s", note)


def parse_n_states(text: str) -> list[int]:
    """Numbers of states from `1-8` or `1,2,5`, ascending."""
    try:
        n_states = parse_seeds(text)
    except InputError as error:
        raise InputError(
            f"--n-states {text!r}: expected numbers of states such as 1-8 or 1,2,5"
        ) from error
    if n_states[0] < 1:
        raise InputError(f"--n-states {text!r}: a model has at least one state")
    return n_states
