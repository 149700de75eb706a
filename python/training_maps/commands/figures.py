"""Draw an experiment's figures for print: for a page and a column, as SVG, PDF and PNG.

A column is 85 mm wide, a page 175 mm; the files go to folders of these names. PNG has 300 dots an
inch. Reads the tables of a result folder. What a figure cannot show (no converged run, a single
run, no training logs) it says in words. Beside them are their captions, as plain text and as LaTeX.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from training_maps.config.arguments import add_no_halves, add_options, add_time, read_options
from training_maps.results import ExperimentResults

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `training-maps figures`."""
    parser.add_argument(
        "--results", type=Path, required=True, metavar="FOLDER", help="an experiment's results"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FOLDER", help="where the figures go"
    )
    add_options(parser, "figures")
    add_no_halves(parser)
    parser.add_argument(
        "--no-layers", action="store_true",
        help="pass over tables of layers from before (metrics.layers is false)",
    )  # fmt: skip
    add_time(parser)


def run(arguments: argparse.Namespace) -> None:
    """Draw and save every figure, at the widths and in the formats that are asked for."""
    from training_maps.figures.captions import write_captions
    from training_maps.figures.catalogue import FIGURES
    from training_maps.figures.save import save_figure, settle

    settings = read_options(arguments, "figures")
    results = ExperimentResults.read(arguments.results)
    if arguments.no_halves:
        results = results.without_halves()
    if arguments.no_layers:
        results = results.without_layers()
    for width in settings["widths"]:
        for name, draw in FIGURES.items():
            figure = draw(results, arguments.time, width)
            settle(figure)
            for suffix in settings["formats"]:
                save_figure(figure, arguments.output / width / f"{name}.{suffix}")
    write_captions(results, arguments.time, arguments.output)
    logger.info("%s: %d figures in %s", results.experiment, len(FIGURES), arguments.output)
