"""Write an experiment's report: one self-contained HTML page.

The page needs no network and no other file. It can be mailed, printed and read on a phone.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

from training_maps.config.arguments import add_time
from training_maps.results import ExperimentResults
from training_maps.utils.errors import InputError
from training_maps.utils.files import replace_when_whole

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `training-maps report`."""
    parser.add_argument(
        "--results", type=Path, required=True, metavar="FOLDER", help="an experiment's results"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the page")
    add_time(parser)
    parser.add_argument(
        "--experiment",
        metavar="NAME",
        help="what the config calls the experiment, its name or its file (default: its name)",
    )
    parser.add_argument(
        "--beside",
        type=Path,
        metavar="FOLDER",
        help="results of another analysis of the same runs, whose map is shown beside this one",
    )
    parser.add_argument(
        "--settings",
        default="{}",
        metavar="JSON",
        help="the experiment's settings as a JSON object, to be listed on the page",
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the page."""
    settings = _settings(arguments.settings)
    from training_maps.config.schema import fill_defaults, load_schema
    from training_maps.report.page import render_report

    results = ExperimentResults.read(arguments.results)
    beside = None if arguments.beside is None else ExperimentResults.read(arguments.beside)
    defaults = fill_defaults({}, load_schema())
    page = render_report(
        results, arguments.time, settings, arguments.experiment, beside=beside, defaults=defaults
    )
    with replace_when_whole(arguments.output) as aside:
        aside.write_text(page, encoding="utf-8")
    logger.info("%s: report in %s", results.experiment, arguments.output)


def _settings(text: str) -> dict[str, Any]:
    try:
        settings = json.loads(text)
    except ValueError as error:
        raise InputError(f"--settings: is not valid JSON ({error})") from error
    if not isinstance(settings, dict):
        raise InputError(f"--settings: must be a JSON object, not {type(settings).__name__}")
    return settings
