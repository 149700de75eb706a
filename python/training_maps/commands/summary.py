"""Write an experiment's summary, or print summaries as a table.

With --results, --experiment and --output it writes summary.json. With --show it prints the
summaries of one or many experiments, what was found, and where the reports are.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from training_maps.config.arguments import add_no_halves
from training_maps.results import ExperimentResults
from training_maps.utils.errors import InputError
from training_maps.utils.files import write_json

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `training-maps summary`."""
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="an experiment's results")
    parser.add_argument("--experiment", metavar="NAME", help="its name; default: as the map says")
    parser.add_argument("--output", type=Path, metavar="FILE", help="the summary")
    add_no_halves(parser)
    parser.add_argument(
        "--show", type=Path, nargs="+", metavar="FILE", help="print these summaries instead"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write a summary or print summaries."""
    from training_maps.report.summary import summarise, terminal_findings, terminal_table

    if arguments.show:
        print(terminal_table(arguments.show))
        print(f"\n{terminal_findings(arguments.show)}")
        return
    if arguments.results is None or arguments.output is None:
        raise InputError("summary needs --results and --output, or --show with summary files")
    results = ExperimentResults.read(arguments.results)
    if arguments.no_halves:
        results = results.without_halves()
    summary = summarise(results)
    if arguments.experiment is not None:
        summary["experiment"] = arguments.experiment
    write_json(summary, arguments.output)
    logger.info("%s: summary in %s", summary["experiment"], arguments.output)
