"""Select the model again with other metrics or settings, and compare its states with the own ones.

Everything else stays as it was. Without --keep, --leave-out and --change the random starts are
others: what moves then moves by chance.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from training_maps.analysis.sensitivity.variants import OTHER_STARTS, Variant
from training_maps.model_selection.criteria import AGGREGATES, CRITERIA, MODEL_NAMES
from training_maps.utils.errors import InputError
from training_maps.utils.files import made_by, write_json
from training_maps.utils.seeds import parse_seeds

logger = logging.getLogger("training_maps")

_SETTINGS = (
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
# YAML would read 1e-06 as text.
_NUMBERS: dict[str, Callable[[str], Any]] = {
    "restarts": int,
    "covariance_floor": float,
    "max_iterations": int,
    "tolerance": float,
    "random_state": int,
    "resplits": int,
    "split_seed": int,
}


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
    parser.add_argument(
        "--change", nargs="+", default=[], metavar="NAME=VALUE",
        help="settings that the variant has otherwise, such as restarts=20 or split_seed=1",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, metavar="JSON", help="output")


def run(arguments: argparse.Namespace) -> None:
    """Write what the variant finds."""
    from training_maps.analysis.sensitivity.reanalysis import load_reference, reanalyse
    from training_maps.hmm.observations import Observations

    obs = Observations.load(arguments.observations)
    reference = load_reference(
        arguments.state_paths, arguments.training_map, arguments.regression, arguments.outcomes
    )
    variant = Variant(
        arguments.variant,
        None if arguments.keep is None else tuple(arguments.keep),
        arguments.leave_out,
        _changes(arguments.change),
    )
    settings = {name: getattr(arguments, name) for name in _SETTINGS}
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


def _changes(texts: list[str]) -> dict[str, Any]:
    """Read NAME=VALUE: numbers where a number is expected, else as YAML reads it."""
    known = (*_SETTINGS, "n_states", "split_seed")
    changes = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or name not in known:
            raise InputError(
                f"--change {text}: expected NAME=VALUE, such as restarts=20; the names are "
                f"{', '.join(known)}"
            )
        try:
            changes[name] = _NUMBERS.get(name, yaml.safe_load)(value)
        except ValueError as error:
            raise InputError(f"--change {text}: expected a number, got {value!r}") from error
    return changes
