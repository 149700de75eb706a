"""Compare experiments side by side, as a table and as a page with links to their reports."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from training_maps.files import replace_when_whole, write_table

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `training-maps compare`."""
    parser.add_argument(
        "--summaries", type=Path, nargs="+", required=True, metavar="FILE", help="summary files"
    )
    parser.add_argument("--csv", type=Path, required=True, metavar="FILE", help="the table")
    parser.add_argument("--html", type=Path, required=True, metavar="FILE", help="the page")


def run(arguments: argparse.Namespace) -> None:
    """Write the table and the page."""
    from training_maps.report.comparison import (
        comparison_table,
        read_summaries,
        render_comparison,
    )

    summaries = read_summaries(arguments.summaries)
    reports = [path.parent / "report.html" for path in arguments.summaries]
    write_table(comparison_table(summaries), arguments.csv)
    page = render_comparison(summaries, reports, arguments.html)
    with replace_when_whole(arguments.html) as aside:
        aside.write_text(page, encoding="utf-8")
    logger.info("%d experiments compared in %s", len(summaries), arguments.html)
