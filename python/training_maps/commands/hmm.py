"""Fit hidden Markov models with one number of states to the observations.

Fits --restarts models from different random starts by expectation maximisation on the training
runs, and keeps the one with the best likelihood of the validation runs.
"""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path

from training_maps.utils.files import write_table

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--observations", type=Path, required=True, metavar="FILE")
    parser.add_argument("--n-states", type=int, required=True, metavar="K")
    parser.add_argument(
        "--model",
        choices=("gaussian", "autoregressive"),
        default="gaussian",
        help="kind of model (default: gaussian)",
    )
    parser.add_argument(
        "--restarts", type=int, default=5, metavar="N", help="random starts (default: 5)"
    )
    parser.add_argument(
        "--covariance",
        choices=("full", "diag", "tied", "spherical"),
        default="full",
        help="covariance of a state's Gaussian (default: full)",
    )
    parser.add_argument(
        "--covariance-floor",
        type=float,
        default=0.001,
        metavar="VARIANCE",
        help="smallest eigenvalue that a covariance may have, in squared standard deviations of a "
        "z-scored metric (default: 0.001)",
    )
    parser.add_argument(
        "--max-iterations",
        type=int,
        default=500,
        metavar="N",
        help="most iterations of a fit (default: 500)",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.01,
        metavar="NATS",
        help="a fit has converged when an iteration gains less log-likelihood than this, over all "
        "training runs together (default: 0.01)",
    )
    parser.add_argument(
        "--random-state", type=int, default=0, metavar="SEED", help="seed of the starts"
    )
    parser.add_argument(
        "--resplits",
        type=int,
        default=0,
        metavar="N",
        help="fit once more on N other splits into training and validation runs (default: 0)",
    )
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
        restarts=arguments.restarts,
        covariance=arguments.covariance,
        covariance_floor=arguments.covariance_floor,
        max_iterations=arguments.max_iterations,
        tolerance=arguments.tolerance,
        random_state=arguments.random_state,
        resplits=arguments.resplits,
    )
    save_fitted(arguments.output, fitted, obs)
    write_table(fitted.scores, arguments.scores)
    logger.info(
        "kept restart %d of %d, which took %.1f s together",
        fitted.restart,
        len(fitted.scores),
        time.perf_counter() - begin,
    )
