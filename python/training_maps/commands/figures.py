"""Draw an experiment's figures for print: for a page and a column, as SVG, PDF and PNG.

A column is 85 mm wide, a page 175 mm; the files go to folders of these names. PNG has 300 dots an
inch. Reads the tables of a result folder. What a figure cannot show (no converged run, a single
run, no training logs) it says in words.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from training_maps.results import ExperimentResults, time_argument

logger = logging.getLogger("training_maps")

# Those of figures/save.py and figures/style.py, whose import takes matplotlib's second.
_FORMATS = ("svg", "pdf", "png")
_WIDTHS = ("page", "column")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `training-maps figures`."""
    parser.add_argument(
        "--results", type=Path, required=True, metavar="FOLDER", help="an experiment's results"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FOLDER", help="where the figures go"
    )
    parser.add_argument(
        "--formats",
        nargs="+",
        choices=_FORMATS,
        default=_FORMATS,
        help="formats of each figure (default: all)",
    )
    parser.add_argument(
        "--widths",
        nargs="+",
        choices=_WIDTHS,
        default=_WIDTHS,
        help="widths of each figure (default: both)",
    )
    time_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    """Draw and save every figure, at the widths and in the formats that are asked for."""
    from training_maps.figures.catalogue import FIGURES
    from training_maps.figures.save import save_figure, settle

    results = ExperimentResults.read(arguments.results)
    for width in arguments.widths:
        for name, draw in FIGURES.items():
            figure = draw(results, arguments.time, width)
            settle(figure)
            for suffix in arguments.formats:
                save_figure(figure, arguments.output / width / f"{name}.{suffix}")
    logger.info("%s: %d figures in %s", results.experiment, len(FIGURES), arguments.output)
