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
from training_maps.config.arguments import add_inputs, add_options, read_options
from training_maps.settings.fields import fields_schema
from training_maps.settings.sections import HmmSettings, ObservationsSettings
from training_maps.utils.errors import InputError
from training_maps.utils.files import made_by, write_json
from training_maps.utils.seeds import parse_seeds

logger = logging.getLogger("training_maps")

_NUMBERS: dict[str, Callable[[str], Any]] = {"integer": int, "number": float}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_inputs(parser, "observations")
    parser.add_argument("--state-paths", type=Path, required=True, metavar="CSV", help="to compare")
    add_inputs(parser, "training-map", "regression", "outcomes")
    parser.add_argument(
        "--variant", default=OTHER_STARTS, metavar="NAME", help="what to call the variant"
    )
    metrics = parser.add_mutually_exclusive_group()
    metrics.add_argument("--keep", nargs="+", metavar="METRIC", help="metrics to keep")
    metrics.add_argument("--leave-out", metavar="METRIC", help="a metric to leave out")
    add_options(parser, "sensitivity_variant")
    parser.add_argument(
        "--change", nargs="+", default=[], metavar="NAME=VALUE",
        help="settings that the variant has otherwise, such as restarts=20 or split_seed=1",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, metavar="JSON", help="output")


def run(arguments: argparse.Namespace) -> None:
    """Write what the variant finds."""
    from training_maps.analysis.sensitivity.reanalysis import load_reference, reanalyse
    from training_maps.hmm.observations import Observations
    from training_maps.model_selection.criteria import FOUND_AGAIN, IN_ITS_PLACE

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
    settings = read_options(arguments, "sensitivity_variant")
    settings["n_states"] = parse_seeds(settings["n_states"], "--n-states")
    if settings["criterion"] == FOUND_AGAIN:  # its halves are those of the experiment's own fits
        settings |= {
            "criterion": IN_ITS_PLACE,
            "model": reference.model,
            "n_states": [reference.n_states],
        }
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
    kinds = fields_schema(HmmSettings)["properties"]
    kinds["split_seed"] = fields_schema(ObservationsSettings)["properties"]["split_seed"]
    changes = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or name not in kinds:
            raise InputError(
                f"--change {text}: expected NAME=VALUE, such as restarts=20; the names are "
                f"{', '.join(kinds)}"
            )
        # YAML would read 1e-06 as text.
        read = _NUMBERS.get(str(kinds[name].get("type")), yaml.safe_load)
        try:
            changes[name] = read(value)
        except ValueError as error:
            raise InputError(f"--change {text}: expected a number, got {value!r}") from error
    return changes
