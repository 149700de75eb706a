"""Compute the metrics of a run's checkpoints on the Hugging Face hub, one checkpoint at a time.

Downloads a checkpoint, measures it and deletes it. Writes a Parquet table: `step` and the columns
of the table of metrics, one row a checkpoint. Called again after it was killed, it goes on where it
was. Private and gated repositories need a token of the hub: 'hf auth login', or HF_TOKEN.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from training_maps.config.arguments import add_layers_output, add_options, read_options
from training_maps.hub.plan import PRESETS, hub_run
from training_maps.metrics.parameters import Overrides
from training_maps.metrics.parameters import add_arguments as add_parameter_arguments
from training_maps.utils.errors import InputError
from training_maps.utils.files import made_by, write_table
from training_maps.utils.locks import only_writer

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--preset", choices=PRESETS, help="a released suite of runs")
    parser.add_argument("--size", help="the size of a Pythia model, such as 160m or 410m-deduped")
    parser.add_argument(
        "--repository", metavar="PATTERN",
        help="such as me/model-{seed}, with {seed}, {step} and {step_k} (thousands) where they are",
    )  # fmt: skip
    parser.add_argument(
        "--revision", metavar="PATTERN", help="such as step{step} (default: main, or the preset's)"
    )
    parser.add_argument(
        "--steps", help="such as 0,1,2,1000-143000:1000 (default: all steps of the preset)"
    )
    parser.add_argument("--seed", type=int, required=True, help="the run's seed")
    parser.add_argument(
        "--files", nargs="+", default=[], metavar="PATTERN",
        help="the checkpoint's file (default: model.safetensors, else pytorch_model.bin)",
    )  # fmt: skip
    parser.add_argument("--endpoint", metavar="URL", help="address of the hub or of a mirror of it")
    parser.add_argument(
        "--scratch", type=Path, required=True, metavar="FOLDER",
        help="where checkpoints are downloaded to; never more than two, and none in the end",
    )  # fmt: skip
    add_options(parser, "hub")
    parser.add_argument(
        "--state-dict-key", metavar="KEY", help="where torch files have the network's state dict"
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="number of threads (default: all cores allowed)"
    )
    add_parameter_arguments(parser)
    parser.add_argument(
        "--output", type=Path, required=True, metavar="PARQUET",
        help="output: a row a checkpoint",
    )  # fmt: skip
    add_layers_output(parser)


def run(arguments: argparse.Namespace) -> None:
    """Write the run's table of metrics."""
    from training_maps.hub.measurement import MetricSettings, forget, measure_hub_run

    if arguments.seed < 0:
        raise InputError(f"--seed: expected a number from 0 on, not {arguments.seed}")
    section = {
        name: getattr(arguments, name)
        for name in ("preset", "size", "repository", "revision", "steps", "files", "endpoint")
    }
    of_hub = hub_run(section, [arguments.seed], arguments.seed)
    settings = read_options(arguments, "hub")
    metric_settings = MetricSettings(
        tuple(settings["columns"]),
        Overrides.from_arguments(arguments),
        settings["non_finite"],
        settings["unreadable"],
        arguments.state_dict_key,
    )
    with only_writer(arguments.output.parent, [arguments.seed]):
        table = measure_hub_run(
            of_hub, arguments.output, arguments.scratch, metric_settings,
            layers=arguments.layers, threads=arguments.threads,
        )  # fmt: skip
    made = made_by(
        seed=arguments.seed,
        repository=of_hub.repository,
        revision=of_hub.revision,
        commits=table.attrs["commits"],
        non_finite=table.attrs.get("non_finite"),
        unreadable=table.attrs.get("unreadable", []),
    )
    write_table(table, arguments.output, made)
    forget(arguments.output)
    logger.info("metrics of seed %d: %d checkpoints", arguments.seed, len(table))
    if cut := table.attrs.get("non_finite"):
        logger.warning(
            "seed %d: %s is not finite at step %d; the table ends before it (--non-finite %s)",
            arguments.seed,
            f"tensor '{cut['tensor']}'" if cut["tensor"] else "a metric",
            cut["step"],
            arguments.non_finite,
        )
