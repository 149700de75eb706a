"""Follow runs while they train, and place them on an existing map.

Looks every --every seconds at the checkpoints, tables or event files of one run or many; prints a
line a checkpoint, keeps placed.html and placed.json up to date, and runs a command of yours the
first time that a run leaves what the map's runs did. It ends when all runs are at the map's last
step, or nothing new came for --patience minutes; started again, it goes on where it was. A run
without checkpoints on disk is followed by its recorder's folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from training_maps.commands.place import add_reading_arguments, reading_of, refuse_inside
from training_maps.utils.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--run", nargs="+", required=True, metavar="PATTERN", help="as RUN of 'training-maps place'"
    )
    parser.add_argument(
        "--every", type=float, default=30.0, metavar="SECONDS", help="from look to look (30)"
    )
    parser.add_argument(
        "--patience", type=float, default=60.0, metavar="MINUTES",
        help="without anything new, after which it ends (60)",
    )  # fmt: skip
    parser.add_argument(
        "--on-warning", metavar="COMMAND",
        help="run once for each run with a warning; TRAINING_MAPS_RUN, TRAINING_MAPS_STEP and "
        "TRAINING_MAPS_SENTENCE are in its environment",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="output (default: watched/NAME)"
    )
    add_reading_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Follow the runs."""
    from training_maps.placing.reference import Reference
    from training_maps.placing.watching import Watch

    if arguments.every <= 0 or arguments.patience <= 0:
        raise InputError("--every and --patience: expected more than 0")
    reference = Reference.load(arguments.map)
    folder = arguments.output or Path("watched") / reference.name
    refuse_inside(folder, arguments.map)
    watch = Watch(
        reference,
        arguments.run,
        reading_of(arguments, reference),
        folder,
        arguments.on_warning,
        say=lambda text: print(text, flush=True),
        every=arguments.every,
    )
    watch.follow(60 * arguments.patience)
