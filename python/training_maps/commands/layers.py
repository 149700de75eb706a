"""Print the metrics of each weight matrix of checkpoints, or WeightWatcher's table of layers.

CHECKPOINT is a file, a folder that holds one, or a run: its folder or manifest. The step is the
last number in the name of a file. With --weightwatcher the columns are those of WeightWatcher's
'analyze' (alpha, alpha_weighted, log norms, stable_rank and more), by its rules.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from training_maps.metrics.parameters import Overrides
from training_maps.metrics.parameters import add_arguments as add_parameter_arguments
from training_maps.utils.errors import InputError
from training_maps.utils.files import write_table

_WRITTEN = (".csv", ".parquet")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "checkpoints", type=Path, nargs="+", metavar="CHECKPOINT",
        help="a .safetensors file, torch's .pt or .bin, a folder with one, or a run",
    )  # fmt: skip
    parser.add_argument(
        "--weightwatcher", action="store_true", help="WeightWatcher's table in place of the metrics"
    )
    parser.add_argument(
        "--state-dict-key", metavar="KEY", help="where torch files have the network's state dict"
    )
    add_parameter_arguments(parser)
    parser.add_argument(
        "--output", type=Path, metavar="FILE",
        help="write the table here, as .csv or .parquet, and print none",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> None:
    """Print or write the table."""
    import pandas as pd

    from training_maps.metrics.compute import layer_metrics
    from training_maps.metrics.weightwatcher_table import weightwatcher_table

    output = arguments.output
    if output is not None and output.suffix not in _WRITTEN:
        raise InputError(f"--output {output}: expected a name in {' or '.join(_WRITTEN)}")
    measure = weightwatcher_table if arguments.weightwatcher else layer_metrics
    overrides = Overrides.from_arguments(arguments)
    tables = [
        measure(path, state_dict_key=arguments.state_dict_key, overrides=overrides)
        for path in arguments.checkpoints
    ]
    if len(tables) > 1:
        for path, table in zip(arguments.checkpoints, tables, strict=True):
            table.insert(0, "checkpoint", str(path))
    table = pd.concat(tables, ignore_index=True)
    if output is not None:
        write_table(table, output)
        return
    print(table.to_string(index=False, float_format="{:.5g}".format, na_rep="-"))
