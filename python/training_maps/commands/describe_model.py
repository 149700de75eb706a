"""Write which tensor of a network is what, by the types of its modules, as `modules.json`.

Takes a function of your own that makes the network, such as `my_project.models:make_model`, and
calls it without arguments. Where the file lies beside checkpoints, or in a folder around them, it
decides which of their tensors count, before any rule on names.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from pathlib import Path

from training_maps.utils.errors import InputError

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "model", metavar="MODULE:FUNCTION",
        help="what makes the network: a function, or a class, that takes no arguments",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FOLDER",
        help="the folder of the checkpoints, or of all runs",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> None:
    """Write the file."""
    from collections import Counter

    from training_maps.metrics.module_types import FILE, describe_model

    module, separator, function = arguments.model.partition(":")
    if not separator or not function:
        raise InputError(f"{arguments.model}: expected MODULE:FUNCTION, such as my_models:make")
    sys.path.insert(0, str(Path.cwd()))
    try:
        make = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise InputError(f"{arguments.model}: cannot be imported ({error})") from error
    model = make()
    if not hasattr(model, "state_dict") or not hasattr(model, "named_modules"):
        raise InputError(f"{arguments.model}: gives a {type(model).__name__}, no torch network")
    arguments.output.mkdir(parents=True, exist_ok=True)
    kinds = describe_model(model, arguments.output)
    open_ones = len(model.state_dict().keys() - kinds.keys())
    counted = ", ".join(
        f"{number} {kind}" for kind, number in sorted(Counter(kinds.values()).items())
    )
    logger.info(
        "%s: %s; %d are of no module that is known, and are left to names and shapes",
        arguments.output / FILE, counted, open_ones,
    )  # fmt: skip
