"""Draw an experiment's figures, each as SVG and PDF.

Reads the tables of a result folder. What a figure cannot show (no converged run, a single run, no
training logs) it says in words.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from training_maps.results import ExperimentResults, time_argument

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `training-maps figures`."""
    parser.add_argument(
        "--results", type=Path, required=True, metavar="FOLDER", help="an experiment's results"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FOLDER", help="where the figures go"
    )
    time_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    """Draw and save every figure."""
    from training_maps.figures import FIGURES, save_figure
    from training_maps.figures.save import FORMATS

    results = ExperimentResults.read(arguments.results)
    for name, draw in FIGURES.items():
        figure = draw(results, arguments.time)
        for suffix in FORMATS:
            save_figure(figure, arguments.output / f"{name}.{suffix}")
    logger.info("%s: %d figures in %s", results.experiment, len(FIGURES), arguments.output)
