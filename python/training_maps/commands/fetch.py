"""Fetch data sets into the data folder, check them, and say what they are.

Files that are there already, fetched or put there by hand, are not fetched again; every file is
compared with its published checksum.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from training_maps.training.datasets import DATASETS, data_folder, fetch, use_data_folder
from training_maps.utils.files import made_by, write_json

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--dataset",
        nargs="+",
        required=True,
        metavar="NAME",
        help=f"{', '.join(DATASETS)}, or the path of a .npz file, which is only checked",
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="FOLDER",
        help="where data files are kept (default: what TRAINING_MAPS_DATA says, else the user's "
        "cache folder)",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="output: what the data sets are, as JSON"
    )


def run(arguments: argparse.Namespace) -> None:
    """Fetch the data sets; write what they are if a file is named for it."""
    use_data_folder(arguments.data_dir)
    manifests = []
    for name in dict.fromkeys(arguments.dataset):
        manifest = fetch(name)
        manifests.append(manifest)
        logger.info(
            "%s (%s): %d training and %d evaluation images of %d classes, %s; in %s",
            name,
            manifest["title"],
            manifest["n_train"],
            manifest["n_eval"],
            manifest["n_classes"],
            " x ".join(map(str, manifest["image_shape"])),
            ", ".join(file["file"] for file in manifest["files"]),
        )
    logger.info("the data folder is %s", data_folder())
    if arguments.output is not None:
        write_json({"data_sets": manifests, "made_by": made_by()}, arguments.output)
