"""Find when each run memorises and generalises, and which state or transition goes with it.

Memorisation is told by the training accuracy, generalisation by the evaluation accuracy; by the
losses where a log has no accuracies. Without training logs the outputs say so.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from training_maps.utils.errors import InputError
from training_maps.utils.files import made_by, write_json, write_table

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--state-paths", type=Path, required=True, metavar="CSV")
    parser.add_argument(
        "--runs",
        type=Path,
        metavar="FOLDER",
        help="where seed-SEED/training_log.parquet is for the runs that have one",
    )
    parser.add_argument(
        "--level",
        type=float,
        default=0.5,
        help="how far from chance to the plateau counts as having happened (default: 0.5)",
    )
    parser.add_argument(
        "--window", type=int, default=5, help="checkpoints of the running median (default: 5)"
    )
    parser.add_argument(
        "--dips",
        type=float,
        default=0.1,
        help="share of the later checkpoints that may be back at chance (default: 0.1)",
    )
    parser.add_argument(
        "--chance",
        type=float,
        help="accuracy at chance (default: the mean of the runs' first checkpoints)",
    )
    parser.add_argument(
        "--tolerance",
        type=int,
        default=3,
        help="checkpoints to the transition that a phase coincides with (default: 3)",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="CSV", help="output")
    parser.add_argument(
        "--summary", type=Path, required=True, metavar="JSON", help="output: what goes with what"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write each run's phases and what they coincide with."""
    from training_maps.analysis.phases.curves import Rule
    from training_maps.analysis.phases.transitions import find_phase_transitions
    from training_maps.runs.training_logs import find_training_logs
    from training_maps.training_map.paths import read_state_paths

    _check(arguments)
    paths = read_state_paths(arguments.state_paths)
    logs = find_training_logs(arguments.runs, paths["seed"].unique().tolist())
    rule = Rule(arguments.level, arguments.window, arguments.dips, arguments.chance)
    found = find_phase_transitions(paths, logs, rule, arguments.tolerance)
    settings = {
        "level": arguments.level,
        "window": arguments.window,
        "dips": arguments.dips,
        "chance": arguments.chance,
        "tolerance": arguments.tolerance,
    }
    write_table(found.table, arguments.output)
    write_json({**found.summary, "made_by": made_by(**settings)}, arguments.summary)
    if found.summary["reason"]:
        logger.info("%s", found.summary["reason"])
        return
    for phase in found.summary["phases"].values():
        logger.info("%s", phase["sentence"])
    for note in found.summary["notes"]:
        logger.info("note: %s", note["text"])


def _check(arguments: argparse.Namespace) -> None:
    limits = {
        "--level": (0.1 < arguments.level <= 1, "more than 0.1 and at most 1", arguments.level),
        "--window": (
            arguments.window > 0 and arguments.window % 2 == 1,
            "an odd number of checkpoints",
            arguments.window,
        ),
        "--dips": (0 <= arguments.dips < 1, "at least 0 and less than 1", arguments.dips),
        "--chance": (
            arguments.chance is None or 0 <= arguments.chance < 1,
            "at least 0 and less than 1",
            arguments.chance,
        ),
        "--tolerance": (arguments.tolerance >= 0, "at least 0", arguments.tolerance),
    }
    for option, (fine, expected, value) in limits.items():
        if not fine:
            raise InputError(f"{option} must be {expected}, not {value}")
