"""Compare experiments side by side, as a table and as a page with links to their reports.

What lies beside a summary (map, coefficients, convergence times) is shown where it is there.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

from training_maps.utils.errors import InputError
from training_maps.utils.files import replace_when_whole, write_table

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `training-maps compare`."""
    parser.add_argument(
        "--summaries", type=Path, nargs="+", required=True, metavar="FILE", help="summary files"
    )
    parser.add_argument(
        "--about",
        default="{}",
        metavar="JSON",
        help="what is known of the experiments, by name: paper (the setting of the paper that it"
        " has), compare_with (the experiment it is a variant of), time (epoch or step) and"
        " description",
    )
    parser.add_argument("--csv", type=Path, required=True, metavar="FILE", help="the table")
    parser.add_argument("--html", type=Path, required=True, metavar="FILE", help="the page")


def run(arguments: argparse.Namespace) -> None:
    """Write the table and the page."""
    about = _about(arguments.about)
    from training_maps.report.comparison import (
        comparison_table,
        read_experiments,
        render_comparison,
    )

    experiments = read_experiments(arguments.summaries, about)
    here = {one.name for one in experiments}
    for one in experiments:
        if one.compare_with and one.compare_with not in here:
            logger.info(
                "%s is to be compared with %s, which is not among these experiments",
                one.name,
                one.compare_with,
            )
    write_table(comparison_table(experiments), arguments.csv)
    page = render_comparison(experiments, arguments.html)
    with replace_when_whole(arguments.html) as aside:
        aside.write_text(page, encoding="utf-8")
    logger.info("%d experiments compared in %s", len(experiments), arguments.html)


def _about(text: str) -> dict[str, dict[str, Any]]:
    try:
        about = json.loads(text)
    except ValueError as error:
        raise InputError(f"--about: is not valid JSON ({error})") from error
    if not isinstance(about, dict) or not all(isinstance(one, dict) for one in about.values()):
        raise InputError("--about: must be a JSON object of objects, one for each experiment")
    return about
