"""Compute the metrics of every checkpoint of one run.

Writes a Parquet table: `step` and the columns of the table of metrics, one row a checkpoint.
"""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path

from training_maps.files import made_by, write_table

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--checkpoints",
        type=Path,
        required=True,
        metavar="PATH",
        help="the run's manifest (checkpoints.json), or a folder of step-*.safetensors",
    )
    parser.add_argument(
        "--non-finite",
        choices=("stop", "drop", "cut"),
        default="stop",
        help="on NaN or infinity in a checkpoint: stop with an error (default), or end the table "
        "before it, so that the run is dropped or used as cut there",
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="number of threads (default: all cores allowed)"
    )
    parser.add_argument(
        "--no-verify",
        action="store_true",
        help="do not compare the files with the manifest's SHA-256",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="PARQUET")


def run(arguments: argparse.Namespace) -> None:
    """Write the run's table of metrics."""
    from training_maps.checkpoints import find_run
    from training_maps.metrics import run_metrics

    start = time.perf_counter()
    table = run_metrics(
        arguments.checkpoints,
        threads=arguments.threads,
        non_finite=arguments.non_finite,
        verify=not arguments.no_verify,
    )
    seconds = time.perf_counter() - start
    seed = find_run(arguments.checkpoints).seed
    cut = table.attrs.get("non_finite")
    write_table(table, arguments.output, made_by(seed=seed, non_finite=cut))
    name = arguments.checkpoints if seed is None else f"seed {seed}"
    logger.info(
        "metrics of %s: %d checkpoints in %.2f s, %.0f checkpoints/s",
        name,
        len(table),
        seconds,
        len(table) / seconds,
    )
    if cut:
        logger.warning(
            "%s: %s is not finite at step %d; the table ends before it (%s)",
            name,
            f"tensor '{cut['tensor']}'" if cut["tensor"] else "a metric",
            cut["step"],
            f"--non-finite {arguments.non_finite}",
        )
