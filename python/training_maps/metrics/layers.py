"""The layers of a network: which matrix is of which layer, its kind and its depth.

`layers.parquet` of a run has a row for each checkpoint and weight matrix, with `LAYER_COLUMNS` and
the matrix's own metrics (`definitions.MATRIX_COLUMNS`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training_maps.metrics.definitions import MATRIX_COLUMNS, TAIL_EXPONENT
from training_maps.metrics.parameters import Decision, ParameterSelection
from training_maps.metrics.tensor_names import names_embedding, words_of
from training_maps.utils.errors import InputError

#: The kinds of layers, and what a reader calls them.
KINDS = {
    "attention": "attention",
    "mlp": "fully connected layers",
    "convolution": "convolutions",
    "recurrent": "recurrent layers",
    "embedding": "embeddings",
}
#: The parts that the repeated blocks of a network fall into.
DEPTHS = {
    "early": "first third of the blocks",
    "middle": "middle third of the blocks",
    "late": "last third of the blocks",
}
#: What says which matrix of which checkpoint a row is of.
LAYER_COLUMNS = ("step", "tensor", "block", "kind", "rows", "cols")

_ATTENTION = {"attn", "attention", "selfattention", "crossattention", "qkv", "query", "key",
              "value", "mha"}  # fmt: skip
_PROJECTIONS = re.compile(r"(^|[._])([qkvo]|qkv|in)_proj|(^|[._])w_?[qkvo]([._]|$)|to_[qkv]")
_RECURRENT = {"lstm", "gru", "rnn", "recurrent"}
_RECURRENT_WEIGHT = re.compile(r"weight_[ih]h|recurrent_kernel")
_FEED_FORWARD = {"mlp", "ffn", "fc", "intermediate", "experts", "expert"}
_NUMBER = re.compile(r"\d+")


class Layer(NamedTuple):
    """A weight matrix of a network.

    Attributes:
        tensor: the tensor that it is in.
        block: its place among the matrices of that tensor, from 0 on.
        kind: a key of `KINDS`.
        rows: its rows.
        cols: its columns.
    """

    tensor: str
    block: int
    kind: str
    rows: int
    cols: int


def layers_of(selection: ParameterSelection) -> list[Layer]:
    """The weight matrices that count, in the order in which they are measured."""
    return [
        Layer(matrix.tensor, block, kind_of(decision), matrix.rows, matrix.cols)
        for decision in selection.decisions
        if (matrix := decision.matrix) is not None
        for block in range(matrix.n_blocks)
    ]


def kind_of(decision: Decision) -> str:
    """A key of `KINDS`: what a layer does, by its names and the shape of its weight."""
    name = decision.tensor.name.lower()
    words = words_of(name)
    own = words_of(name.rpartition(".")[0].rpartition(".")[2] or name)
    if words & _RECURRENT or _RECURRENT_WEIGHT.search(name):
        return "recurrent"
    if own & _FEED_FORWARD:
        return "mlp"
    if words & _ATTENTION or _PROJECTIONS.search(name):
        return "attention"
    layout = decision.reason
    if "convolution" in layout or layout.endswith("kernel: (in, out)"):
        return "convolution"
    return "embedding" if names_embedding(decision.tensor.layer) else "mlp"


def in_order(tensors: Iterable[str]) -> list[str]:
    """Names in the order of a network's blocks: numbers in them count as numbers."""

    def key(name: str) -> list[tuple[int, int | str]]:
        parts = re.split(r"(\d+)", name)
        return [(0, int(part)) if part.isdigit() else (1, part) for part in parts]

    return sorted(dict.fromkeys(tensors), key=key)


def depths_of(tensors: Iterable[str]) -> dict[str, str]:
    """A key of `DEPTHS` for each tensor of the network's repeated blocks.

    The blocks are those with the name before their number that most tensors have, such as
    `encoder.layer.`; tensors of no such block, and networks with one block, have no depth.
    """
    numbers: dict[str, dict[str, int]] = {}
    for name in dict.fromkeys(tensors):
        found = _NUMBER.search(name)
        if found and "." in name[found.end() :]:
            numbers.setdefault(name[: found.start()], {})[name] = int(found.group())
    blocks = max(numbers.values(), key=lambda of: (len(set(of.values())) > 1, len(of)), default={})
    places = {number: i for i, number in enumerate(sorted(set(blocks.values())))}
    if len(places) < 2:
        return {}
    parts = ("early", "late") if len(places) == 2 else tuple(DEPTHS)
    return {
        name: parts[places[number] * len(parts) // len(places)] for name, number in blocks.items()
    }


def group_members(group: str, kinds: Mapping[str, str]) -> list[str]:
    """The tensors of a group.

    Args:
        group: a key of `KINDS` or `DEPTHS`, or a pattern on tensor names, as in `fnmatch`.
        kinds: the kind of each tensor of the network, by its name.

    Raises:
        InputError: if no tensor is of the group.
    """
    if group in KINDS:
        members = [name for name, kind in kinds.items() if kind == group]
    elif group in DEPTHS:
        members = [name for name, depth in depths_of(kinds).items() if depth == group]
    else:
        members = [name for name in kinds if fnmatchcase(name, group)]
    if not members:
        there = [*dict.fromkeys(kinds.values()), *dict.fromkeys(depths_of(kinds).values())]
        raise InputError(
            f"layers: no layer is of the group {group!r}; the network has {', '.join(there)}, and "
            f"a pattern such as {next(iter(kinds), '*')!r} names tensors"
        )
    return members


def layer_columns(
    steps: Sequence[int], matrices: Sequence[NDArray[np.float64]], layers: Sequence[Layer], *,
    tails: bool,
) -> dict[str, NDArray[Any]]:  # fmt: skip
    """The table of a run's layers, by its columns, a row for each step and matrix.

    Args:
        steps: of the checkpoints, (n_steps,).
        matrices: of each of them, the metrics (n_layers, n_columns) of each matrix.
        layers: the matrices.
        tails: whether their tail exponents were computed.

    Returns:
        `LAYER_COLUMNS` and those of `MATRIX_COLUMNS` that were computed, each
        (n_steps * n_layers,).
    """
    n_steps, n_layers = len(steps), len(layers)
    values = np.array(matrices, dtype=np.float64).reshape(n_steps * n_layers, len(MATRIX_COLUMNS))
    of_layers = {
        "tensor": np.array([layer.tensor for layer in layers], dtype=str),
        "block": np.array([layer.block for layer in layers], dtype=np.int64),
        "kind": np.array([layer.kind for layer in layers], dtype=str),
        "rows": np.array([layer.rows for layer in layers], dtype=np.int64),
        "cols": np.array([layer.cols for layer in layers], dtype=np.int64),
    }
    return {
        "step": np.repeat(np.array(steps, dtype=np.int64), n_layers),
        **{name: np.tile(column, n_steps) for name, column in of_layers.items()},
        **{
            column: values[:, i]
            for i, column in enumerate(MATRIX_COLUMNS)
            if tails or column != TAIL_EXPONENT
        },
    }
