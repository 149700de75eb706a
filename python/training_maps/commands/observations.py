"""Z-score the runs' metrics and split the seeds into training and validation runs.

Reads seed-{seed}/metrics.parquet of every seed from the folder of runs. Every metric of every run
is z-scored over the run's first --max-checkpoints checkpoints, which are also all that is kept.
With --log-columns, columns of seed-{seed}/training_log.parquet join the metrics, by step; with
--layers, metrics are those of groups of layers, of seed-{seed}/layers.parquet.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from training_maps.config.arguments import add_options, read_options
from training_maps.utils.files import read_table, table_metadata
from training_maps.utils.seeds import format_seeds, named_seeds, parse_seeds

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--runs", type=Path, required=True, metavar="FOLDER", help="has seed-{seed}/metrics.parquet"
    )
    parser.add_argument("--seeds", required=True, help="which runs: 0-39 or 0,1,5")
    add_options(parser, "observations")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="output: observations.parquet"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the observations."""
    from training_maps.hmm.layer_columns import columns_of_groups, with_groups
    from training_maps.hmm.log_columns import with_log_columns
    from training_maps.hmm.observations import observations

    seeds = parse_seeds(arguments.seeds)
    settings = read_options(arguments, "observations")
    metrics, log_columns = settings["metrics"], settings.pop("log_columns")
    groups = settings.pop("layers")
    tables = {seed: _read_metrics(arguments.runs, seed) for seed in seeds}
    if groups:
        layers = ((seed, _read_layers(arguments.runs, seed)) for seed in seeds)
        tables = with_groups(tables, layers, groups, metrics)
        metrics = columns_of_groups(metrics, groups)
    settings["metrics"] = metrics or None
    if log_columns:
        logs = {seed: _read_log(arguments.runs, seed) for seed in seeds}
        tables = with_log_columns(tables, logs, log_columns)
        if metrics:
            settings["metrics"] = [*metrics, *log_columns]
    result = observations(tables, **settings)
    result.save(
        arguments.output, {**settings, "layers": list(groups), "seeds": format_seeds(seeds)}
    )
    held_out = result.sequences("validation")[2] if result.has_validation else []
    logger.info(
        "%d runs, %d checkpoints, %d metrics; held out for validation: %s",
        len(result.seeds),
        len(result.table),
        len(result.metrics),
        named_seeds(held_out) if held_out else "none",
    )
    for note in result.notes:
        logger.info("note: %s", note)


def _read_metrics(runs: Path, seed: int) -> pd.DataFrame:
    """One run's table of metrics; its attrs tell where it was cut, and what could not be read."""
    path = runs / f"seed-{seed}" / "metrics.parquet"
    table = read_table(path, columns=("step",))
    metadata = table_metadata(path)
    for key in ("non_finite", "unreadable"):
        table.attrs[key] = metadata.get(key)
    return table


def _read_layers(runs: Path, seed: int) -> pd.DataFrame:
    """One run's table of layers."""
    return read_table(runs / f"seed-{seed}" / "layers.parquet", columns=("step", "tensor", "kind"))


def _read_log(runs: Path, seed: int) -> pd.DataFrame:
    """One run's training log."""
    return read_table(runs / f"seed-{seed}" / "training_log.parquet", columns=("step",))
