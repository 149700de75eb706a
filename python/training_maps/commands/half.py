"""Fit all models to a random half of the runs, and decode all runs with them.

What two halves of the runs agree on, other runs would show too ('training-maps reproducibility').
With fewer than 10 runs, all but one of them stand in for a half.
"""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path

from training_maps.config.arguments import add_inputs, add_options, read_options
from training_maps.utils.errors import InputError
from training_maps.utils.seeds import named_seeds, parse_seeds

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_inputs(parser, "observations")
    parser.add_argument(
        "--half",
        type=int,
        required=True,
        metavar="N",
        help="which half, from 0 on: 0 and 1 are a pair, 2 and 3 are the next",
    )
    add_options(parser, "half")
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="NPZ",
        help="output: how each model is judged, and what it says of each run",
    )


def run(arguments: argparse.Namespace) -> None:
    """Write what the models fitted to the half say of all runs."""
    from training_maps.hmm.observations import Observations
    from training_maps.model_selection.criteria import all_candidates
    from training_maps.reproducibility.rates import ON_LADDER
    from training_maps.reproducibility.refit import fit_half

    if arguments.half < 0:
        raise InputError(f"--half {arguments.half}: halves are counted from 0")
    told = read_options(arguments, "half")
    fit = dict(told)
    tried = all_candidates(fit.pop("model"), parse_seeds(fit.pop("n_states"), "--n-states"))
    obs = Observations.load(arguments.observations)
    begin = time.perf_counter()
    half = fit_half(obs, arguments.half, tried, beside=ON_LADDER, **fit)
    half.save(arguments.output, obs, told)
    if half.reason is not None:
        logger.info("nothing is fitted: %s", half.reason)
        return
    logger.info(
        "%d models fitted to %s in %.1f s",
        len(half.candidates),
        named_seeds(half.seeds[half.inside].tolist()),
        time.perf_counter() - begin,
    )
