"""Fit hidden Markov models with one number of states to the observations.

Fits --restarts models from different random starts by expectation maximisation on the training
runs, and keeps the one with the best likelihood of the validation runs.
"""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path
from typing import get_args

from training_maps.config.arguments import add_inputs, add_options, read_options
from training_maps.settings.sections import KindOfModel, SelectionSettings
from training_maps.utils.files import write_table

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_inputs(parser, "observations")
    parser.add_argument(
        "--n-states", type=int, required=True, metavar="K",
        help="how many states the models have",
    )  # fmt: skip
    parser.add_argument(
        "--model",
        choices=get_args(KindOfModel),
        default=SelectionSettings.model,
        help="kind of model (default: gaussian)",
    )
    add_options(parser, "hmm")
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="NPZ",
        help="output: the best model, and what all restarts say of each run",
    )
    parser.add_argument(
        "--scores", type=Path, required=True, metavar="CSV", help="output: one row a restart"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the best model and every restart's scores."""
    from training_maps.hmm.observations import Observations
    from training_maps.model_selection.fit import fit_hmm
    from training_maps.model_selection.fitted import save_fitted

    obs = Observations.load(arguments.observations)
    begin = time.perf_counter()
    fitted = fit_hmm(
        obs,
        arguments.n_states,
        model=arguments.model,
        **read_options(arguments, "hmm"),
    )
    save_fitted(arguments.output, fitted, obs)
    write_table(fitted.scores, arguments.scores)
    logger.info(
        "kept restart %d of %d, which took %.1f s together",
        fitted.restart,
        len(fitted.scores),
        time.perf_counter() - begin,
    )
