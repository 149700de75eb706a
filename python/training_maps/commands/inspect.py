"""Show which tensors of a checkpoint count, and as what, before hours are spent on metrics.

Prints a table of all tensors: name, type, shape, what each counts as and why, and for a weight as
how many matrices of what size it is seen; then the totals. Patterns try out what the section
'parameters' of an experiment would do.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from training_maps.config.arguments import add_base
from training_maps.metrics.parameters import Overrides
from training_maps.metrics.parameters import add_arguments as add_pattern_arguments
from training_maps.utils.errors import InputError
from training_maps.utils.wording import plural

if TYPE_CHECKING:
    from training_maps.metrics.parameters import Decision, ParameterSelection


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "checkpoint",
        type=Path,
        nargs="+",
        metavar="CHECKPOINT",
        help="a .safetensors file, torch's .pt or .bin, an index of shards, or a folder with "
        "these; or a pattern with {seed} and {step}, of which the first is shown",
    )
    parser.add_argument(
        "--state-dict-key",
        metavar="KEY",
        help="where torch files have the network's state dict, such as weights or ema.model "
        "(default: whichever of the usual keys is there)",
    )
    add_base(parser)
    add_pattern_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the table of each checkpoint; an empty selection is an error after its table."""
    from training_maps.metrics.module_types import modules_beside
    from training_maps.metrics.parameters import decide, select_parameters
    from training_maps.runs.formats import CheckpointReader

    overrides = Overrides.from_arguments(arguments)
    for given in arguments.checkpoint:
        path = _first(given) if "{seed}" in str(given) else given
        opened = CheckpointReader(arguments.state_dict_key, arguments.base).open(path)
        tensors = opened.description
        modules = modules_beside(path)
        print(f"{path}\n\n{selection_text(decide(tensors, path, overrides, modules))}\n")
        for how, number in Counter(weight.how for weight in opened.made).items():
            print(f"made of parts: {_counted(number, 'tensor')}, {how}\n")
        select_parameters(tensors, path, overrides, modules)


def _first(pattern: Path) -> Path:
    """The first checkpoint of the first run that a pattern finds; says how many runs there are.

    Raises:
        InputError: if it finds none.
    """
    from training_maps.config.few_runs import what_runs_show
    from training_maps.runs.discovery import Pattern, find_runs

    found = Pattern.read(str(pattern))
    runs = find_runs(found)
    if not runs:
        raise InputError(f"there are no checkpoints; {found.explain_missing()}")
    numbers = sorted({len(checkpoints) for checkpoints in runs.values()})
    each = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    print(f"{plural(len(runs), 'run')} of {each} checkpoints. {what_runs_show(len(runs))}\n")
    return next(iter(runs[min(runs)].values()))


def selection_text(selection: ParameterSelection) -> str:
    """The table of a selection's tensors, and its totals, as lines of text."""
    header = ("tensor", "type", "shape", "counts as", "matrices", "why")
    return "\n".join([*_aligned([header, *map(_row, selection.decisions)]), "", _totals(selection)])


def _row(decision: Decision) -> tuple[str, ...]:
    tensor, matrix = decision.tensor, decision.matrix
    return (
        tensor.name,
        tensor.dtype,
        " x ".join(map(str, tensor.shape)) or "a number",
        decision.kind,
        f"{matrix.n_blocks} of {matrix.rows} x {matrix.cols}" if matrix else "",
        f"assumed: {decision.reason}" if decision.assumed else decision.reason,
    )


def _totals(selection: ParameterSelection) -> str:
    matrices, weights, biases = (
        sum(matrix.n_blocks for matrix in selection.matrices),
        len(selection.matrices),
        len(selection.biases),
    )
    return "\n".join(
        [
            f"weights:  {_counted(matrices, 'matrix', 'matrices')} in "
            f"{_counted(weights, 'tensor')}, {_counted(selection.n_values('weight'), 'parameter')}",
            f"biases:   {_counted(biases, 'tensor')}, "
            f"{_counted(selection.n_values('bias'), 'parameter')}",
            f"left out: {_counted(len(selection.left_out), 'tensor')}, "
            f"{_counted(selection.n_values('left out'), 'number')}",
            *_assumed(selection),
        ]
    )


def _assumed(selection: ParameterSelection) -> list[str]:
    """What names and shapes leave open, in a line; none if all is certain."""
    assumed = [decision for decision in selection.decisions if decision.assumed]
    if not assumed:
        return []
    size = sum(math.prod(decision.tensor.shape) for decision in assumed)
    return [
        f"assumed:  {_counted(len(assumed), 'tensor')}, {_counted(size, 'number')}; if one is not "
        "so, say it with --weights, --biases or --left-out (section 'parameters'), or write "
        "modules.json: training-maps describe-model --help"
    ]


def _counted(number: int, what: str, plural: str | None = None) -> str:
    return f"{number:,} {what if number == 1 else plural or f'{what}s'}"


def _aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """The rows with each column as wide as its widest entry."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
