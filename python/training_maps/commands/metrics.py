"""Compute the metrics of every checkpoint of one run.

Writes a Parquet table: `step` and the columns asked for, one row a checkpoint. A checkpoint may be
a safetensors file, a torch file with a state dict, an index of shards of either, or a folder with
one of these. Metrics of the loss take a run that was trained here: its manifest names its task.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training_maps.config.arguments import (
    add_base,
    add_layers_output,
    add_options,
    read_options,
)
from training_maps.metrics.parameters import Overrides
from training_maps.metrics.parameters import add_arguments as add_parameter_arguments
from training_maps.utils.files import made_by, write_table

if TYPE_CHECKING:
    from training_maps.runs.checkpoints import Run

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
    add_options(parser, "metrics")
    parser.add_argument(
        "--state-dict-key",
        metavar="KEY",
        help="where torch files have the network's state dict, such as weights or ema.model "
        "(default: whichever of the usual keys is there)",
    )
    add_base(parser)
    parser.add_argument(
        "--threads", type=int, metavar="N", help="number of threads (default: all cores allowed)"
    )
    parser.add_argument(
        "--no-verify",
        action="store_true",
        help="do not compare the files with what the manifest says of them",
    )
    add_parameter_arguments(parser)
    parser.add_argument(
        "--output", type=Path, required=True, metavar="PARQUET",
        help="output: a row a checkpoint",
    )  # fmt: skip
    add_layers_output(parser)


def run(arguments: argparse.Namespace) -> None:
    """Write the run's table of metrics."""
    from training_maps.metrics.compute import measured_tables
    from training_maps.metrics.definitions import LANDSCAPE, metric_columns
    from training_maps.runs.checkpoints import find_run
    from training_maps.utils.interrupts import ends_soon_after_interrupt

    start = time.perf_counter()
    measured = find_run(arguments.checkpoints)
    options = read_options(arguments, "metrics")
    columns = metric_columns(options["columns"], data=True)
    options["columns"] = [column for column in columns if column not in LANDSCAPE]
    with ends_soon_after_interrupt():
        found = measured_tables(
            measured,
            layers=arguments.layers is not None,
            threads=arguments.threads,
            verify=not arguments.no_verify,
            state_dict_key=arguments.state_dict_key,
            base=arguments.base,
            overrides=Overrides.from_arguments(arguments),
            **options,
        )
    seed, table = measured.seed, found.metrics
    if len(options["columns"]) < len(columns):
        table = _with_landscape(measured, table, columns, arguments.threads)
    seconds = time.perf_counter() - start
    cut, left_out = found.attrs.get("non_finite"), found.attrs.get("unreadable", [])
    made = made_by(seed=seed, non_finite=cut, unreadable=left_out)
    if found.layers is not None:
        write_table(found.layers, arguments.layers, made_by(seed=seed))
    write_table(table, arguments.output, made)
    name = arguments.checkpoints if seed is None else f"seed {seed}"
    logger.info(
        "metrics of %s: %d checkpoints in %.2f s, %.0f checkpoints/s",
        name,
        len(table["step"]),
        seconds,
        len(table["step"]) / seconds,
    )
    if left_out:
        logger.warning("%s: %d checkpoints could not be read and are left out", name, len(left_out))
    if cut:
        logger.warning(
            "%s: %s is not finite at step %d; the table ends before it (%s)",
            name,
            f"tensor '{cut['tensor']}'" if cut["tensor"] else "a metric",
            cut["step"],
            f"--non-finite {arguments.non_finite}",
        )


def _with_landscape(
    run: Run, table: dict[str, Any], columns: Sequence[str], threads: int | None
) -> dict[str, Any]:
    """The table with the metrics of the loss at its steps: `step` and `columns`, in their order."""
    from training_maps.training.kept_landscape import kept_landscape, use_threads

    use_threads(threads)
    both = table | kept_landscape(run, [int(step) for step in table["step"]])
    return {name: both[name] for name in ("step", *columns) if name in both}
