"""Select the model again with other metrics, and compare its states with the experiment's own.

Everything else stays as it was. Without --keep and --leave-out the metrics stay too, and the random
starts are others: what moves then moves by chance.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from training_maps.criteria import AGGREGATES, CRITERIA, MODEL_NAMES
from training_maps.files import made_by, write_json
from training_maps.seeds import parse_seeds
from training_maps.sensitivity_variants import OTHER_STARTS, Variant

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--observations", type=Path, required=True, metavar="FILE")
    parser.add_argument("--state-paths", type=Path, required=True, metavar="CSV", help="to compare")
    parser.add_argument("--training-map", type=Path, required=True, metavar="JSON")
    parser.add_argument("--regression", type=Path, required=True, metavar="JSON")
    parser.add_argument("--outcomes", type=Path, required=True, metavar="CSV")
    parser.add_argument(
        "--variant", default=OTHER_STARTS, metavar="NAME", help="what to call the variant"
    )
    metrics = parser.add_mutually_exclusive_group()
    metrics.add_argument("--keep", nargs="+", metavar="METRIC", help="metrics to keep")
    metrics.add_argument("--leave-out", metavar="METRIC", help="a metric to leave out")
    parser.add_argument(
        "--n-states", required=True, metavar="K", help="numbers of states: 1-8 or 1,2,5"
    )
    parser.add_argument("--model", choices=MODEL_NAMES, nargs="+", default=["gaussian"])
    parser.add_argument("--restarts", type=int, default=5, metavar="N")
    parser.add_argument(
        "--covariance", choices=("full", "diag", "tied", "spherical"), default="full"
    )
    parser.add_argument("--covariance-floor", type=float, default=0.001, metavar="VARIANCE")
    parser.add_argument("--max-iterations", type=int, default=500, metavar="N")
    parser.add_argument("--tolerance", type=float, default=0.01, metavar="NATS")
    parser.add_argument("--random-state", type=int, default=0, metavar="SEED")
    parser.add_argument("--resplits", type=int, default=0, metavar="N")
    parser.add_argument("--criterion", choices=CRITERIA, default="bic")
    parser.add_argument("--aggregate", choices=AGGREGATES, default="mean")
    parser.add_argument("--output", type=Path, required=True, metavar="JSON", help="output")


def run(arguments: argparse.Namespace) -> None:
    """Write what the variant finds."""
    from training_maps.sensitivity import load_reference, reanalyse
    from training_maps.sequences import Observations

    obs = Observations.load(arguments.observations)
    reference = load_reference(
        arguments.state_paths, arguments.training_map, arguments.regression, arguments.outcomes
    )
    variant = Variant(
        arguments.variant,
        None if arguments.keep is None else tuple(arguments.keep),
        arguments.leave_out,
    )
    names = (
        "model",
        "restarts",
        "covariance",
        "covariance_floor",
        "max_iterations",
        "tolerance",
        "random_state",
        "resplits",
        "criterion",
        "aggregate",
    )
    settings = {name: getattr(arguments, name) for name in names}
    settings["n_states"] = parse_seeds(arguments.n_states, "--n-states")
    found = reanalyse(obs, variant, reference, **settings)
    found["left_out"] = variant.left_out
    write_json({**found, "made_by": made_by(**settings)}, arguments.output)
    if found["reason"] is not None:
        logger.info("nothing to find again: %s", found["reason"])
        return
    logger.info(
        "%s: %d states, adjusted Rand index %.3f with the experiment's own paths",
        variant.name,
        found["n_states"],
        found["adjusted_rand_index"],
    )
