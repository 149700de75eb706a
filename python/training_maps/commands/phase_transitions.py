"""Find when each run memorises and generalises, and which state or transition goes with it.

Memorisation is told by the training accuracy, generalisation by the evaluation accuracy; by the
losses where a log has no accuracies. Without training logs the outputs say so.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from training_maps.config.arguments import add_inputs, add_options, read_options
from training_maps.utils.files import made_by, write_json, write_table

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_inputs(parser, "state-paths")
    parser.add_argument(
        "--runs",
        type=Path,
        metavar="FOLDER",
        help="where seed-SEED/training_log.parquet is for the runs that have one",
    )
    add_options(parser, "phase_transitions")
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

    settings = read_options(arguments, "phase_transitions")
    paths = read_state_paths(arguments.state_paths)
    logs = find_training_logs(arguments.runs, paths["seed"].unique().tolist())
    rule = Rule(**{key: value for key, value in settings.items() if key != "tolerance"})
    found = find_phase_transitions(paths, logs, rule, settings["tolerance"])
    write_table(found.table, arguments.output)
    write_json({**found.summary, "made_by": made_by(**settings)}, arguments.summary)
    if found.summary["reason"]:
        logger.info("%s", found.summary["reason"])
        return
    for phase in found.summary["phases"].values():
        logger.info("%s", phase["sentence"])
    for note in found.summary["notes"]:
        logger.info("note: %s", note["text"])
