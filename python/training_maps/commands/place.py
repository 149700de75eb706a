"""Place new runs on an existing map, without fitting anything anew.

Per checkpoint: the probability of each state from nothing later, how usual the run is among the
map's runs at that step, the branch that it took, the outcome predicted from what is known so far
with an interval, and a warning where it leaves what the map's runs did. Of runs like the map's at
most 5 % get any warning over their whole length.

RUN is a run's folder with metrics.parquet, a folder of checkpoints or event files, a table (CSV,
JSON lines, Parquet), or a pattern with {seed}, {step} or both. Nothing is written in the map's
folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from training_maps.config.arguments import add_base
from training_maps.metrics.parameters import Overrides
from training_maps.metrics.parameters import add_arguments as add_pattern_arguments
from training_maps.utils.errors import InputError
from training_maps.utils.files import write_json, write_table

if TYPE_CHECKING:
    from training_maps.placing.new_runs import Reading
    from training_maps.placing.place import Placement
    from training_maps.placing.reference import Reference


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="see above")
    add_reading_arguments(parser)
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="output: placed.csv, placed.json and placed.html (default: placed/NAME)",
    )


def add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the map, and how runs are read."""
    parser.add_argument(
        "--map",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="the map's results, results/NAME, or its placing.npz",
    )
    tables = parser.add_argument_group("tables and event files")
    tables.add_argument(
        "--step", metavar="COLUMN",
        help="the steps (default: step, _step, global_step or iteration)",
    )  # fmt: skip
    tables.add_argument(
        "--columns", nargs="*", default=[], metavar="NAME=COLUMN",
        help="what the map calls otherwise: eval_accuracy=val/acc",
    )  # fmt: skip
    parser.add_argument(
        "--state-dict-key", metavar="KEY",
        help="where torch files have the network's state dict (default: the usual keys)",
    )  # fmt: skip
    add_base(parser)
    add_pattern_arguments(parser)


def reading_of(
    arguments: argparse.Namespace, reference: Reference, *, skip_unreadable: bool = False
) -> Reading:
    """How runs are read, by the command's arguments."""
    from training_maps.placing.new_runs import Reading

    columns = {}
    for text in arguments.columns:
        name, sign, column = text.partition("=")
        if not (name and sign and column):
            raise InputError(f"--columns {text}: expected NAME=COLUMN: eval_accuracy=val/acc")
        columns[name] = column
    return Reading(
        reference.metrics,
        arguments.step,
        columns,
        arguments.state_dict_key,
        Overrides.from_arguments(arguments),
        "skip" if skip_unreadable else "stop",
        arguments.base,
    )


def run(arguments: argparse.Namespace) -> None:
    """Place the runs; print a line for each, and write the table, the JSON and the page."""
    from training_maps.placing.new_runs import find_new_runs
    from training_maps.placing.place import place_run
    from training_maps.placing.reference import Reference
    from training_maps.placing.sentences import line

    reference = Reference.load(arguments.map)
    folder = arguments.output or Path("placed") / reference.name
    refuse_inside(folder, arguments.map)
    reading = reading_of(arguments, reference)
    placed = []
    for path in arguments.runs:
        for new in find_new_runs(path, reading):
            placed.append(place_run(reference, new))
            print(line(reference, placed[-1]), flush=True)
            for note in placed[-1].notes:
                print(f"  note: {note}")
    write_placed(folder, reference, placed)
    print(f"written: {folder}/placed.csv, .json, .html")


def refuse_inside(folder: Path, map_folder: Path) -> None:
    """Refuse to write into the folder of a map."""
    results = map_folder if map_folder.is_dir() else map_folder.parent
    if not (results / "training_map.json").exists():  # the file alone, copied to elsewhere
        return
    if folder.resolve() == results.resolve() or results.resolve() in folder.resolve().parents:
        raise InputError(f"--output {folder}: is in the map's folder, which stays as it is")


def write_placed(folder: Path, reference: Reference, placed: list[Placement]) -> None:
    """Write table, JSON and page of placed runs."""
    import pandas as pd

    from training_maps.placing.page import write_page
    from training_maps.placing.sentences import to_dict
    from training_maps.result_tables import PLACED_COLUMNS, typed

    tables = [one.table.assign(run=one.run) for one in placed]
    write_table(typed(pd.concat(tables), PLACED_COLUMNS), folder / "placed.csv")
    write_json([to_dict(reference, one) for one in placed], folder / "placed.json")
    write_page(folder / "placed.html", reference, placed)
