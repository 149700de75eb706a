"""Gather how states, R² and detours move with the metrics that the model sees.

Reads what 'training-maps sensitivity_variant' wrote of each variant.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from training_maps.config.arguments import add_inputs
from training_maps.utils.errors import InputError
from training_maps.utils.files import made_by, read_json, write_json, write_table

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--variants", type=Path, nargs="+", required=True, metavar="JSON", help="of each variant"
    )
    add_inputs(parser, "observations", "state-paths", "training-map", "regression", "outcomes")
    parser.add_argument(
        "--table", type=Path, required=True, metavar="CSV", help="output: a row a variant"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="JSON", help="output: the same in words"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the table and the sentences."""
    from training_maps.analysis.sensitivity.reanalysis import load_reference, reference_row
    from training_maps.analysis.sensitivity.sentences import (
        sensitivity_table,
        sentence_of,
        sentences_of,
    )
    from training_maps.hmm.observations import Observations

    reference = reference_row(
        load_reference(
            arguments.state_paths, arguments.training_map, arguments.regression, arguments.outcomes
        ),
        Observations.load(arguments.observations).metrics,
    )
    variants = []
    for path in arguments.variants:
        found = read_json(path)
        if not isinstance(found, dict) or "variant" not in found:
            raise InputError(
                f"{path}: is not a variant; make it with 'training-maps sensitivity_variant'"
            )
        variants.append(found)
    sentences = sentences_of(reference, variants)
    write_table(sensitivity_table(reference, variants), arguments.table)
    write_json(
        {
            "sentences": sentences,
            "reference": reference,
            "variants": [
                {**found, "sentence": sentence_of(found, reference)} for found in variants
            ],
            "made_by": made_by(),
        },
        arguments.output,
    )
    for sentence in sentences:
        logger.info("%s", sentence)
