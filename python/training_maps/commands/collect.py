"""List the checkpoints of one run that was trained elsewhere, in a manifest.

`{seed}` and `{step}` in the pattern stand for their numbers, and `*` for anything else within a
name: `runs/seed{seed}/ckpt_{step}.pt`, `runs/*_seed{seed}/checkpoint-{step}/`. The manifest holds
each checkpoint's size and time of last change; the checkpoints are not read, and stay as they are.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from training_maps.runs.checkpoints import write_manifest
from training_maps.runs.discovery import Pattern, list_run

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--pattern", required=True, help="path of a checkpoint, with {seed} and {step} in it"
    )
    parser.add_argument("--seed", type=int, required=True, metavar="N", help="which run")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="JSON", help="output: the manifest"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the run's manifest."""
    run = list_run(Pattern.read(arguments.pattern), arguments.seed)
    write_manifest(run, arguments.output)
    steps = [checkpoint.step for checkpoint in run.checkpoints]
    logger.info(
        "seed %d: %d checkpoints, steps %d to %d", run.seed, len(steps), steps[0], steps[-1]
    )
