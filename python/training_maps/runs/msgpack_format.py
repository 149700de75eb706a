"""Checkpoints of flax in msgpack: trees of arrays, as `flax.serialization.to_bytes` writes them.

The package msgpack takes the bytes apart, and arrays are of two kinds of extension: an array (1) is
its shape, the name of its type, and its values; a scalar of NumPy (3) likewise. Arrays of more than
a gigabyte are in chunks. No type is made but arrays of numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training_maps.runs.other_formats import TYPES, Typed
from training_maps.utils.errors import InputError, UnreadableCheckpoint

_ARRAY, _SCALAR = 1, 3
_CHUNKED = "__msgpack_chunked_array__"
_PARAMS = "params"
# NumPy has no such type: values stay as their bits.
_BFLOAT16 = "bfloat16"


def read_msgpack(file: Path) -> dict[str, Typed]:
    """Type and values of each array of the tree, by its names with dots between them.

    Of a training state or of all collections of a network, those under `params` alone.

    Raises:
        UnreadableCheckpoint: if it is no whole tree of arrays.
        InputError: if the package msgpack is not installed.
    """
    try:
        import msgpack
    except ImportError as error:
        raise InputError(
            f"{file}: to read flax's msgpack takes the package msgpack ({error}); install it with: "
            "pip install 'training-maps[flax]'"
        ) from error
    try:
        tree = msgpack.unpackb(file.read_bytes(), ext_hook=_extension, raw=False)
        while isinstance(tree, Mapping) and isinstance(tree.get(_PARAMS), Mapping):
            tree = tree[_PARAMS]
        found = dict(_leaves(tree, ""))
    except Exception as error:  # corrupt bytes can fail in any way
        raise UnreadableCheckpoint(
            f"{file}: is not a whole tree of arrays in msgpack ({type(error).__name__}: {error})"
        ) from error
    if not found:
        raise UnreadableCheckpoint(f"{file}: holds no array")
    return found


def _leaves(tree: Any, name: str) -> Iterator[tuple[str, Typed]]:
    """The arrays of a tree; what else it holds is passed over."""
    if isinstance(tree, _Array):
        yield name, (tree.dtype, tree.values)
    elif isinstance(tree, Mapping) and tree.get(_CHUNKED):
        yield name, _joined(tree)
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _leaves(value, f"{name}.{key}" if name else str(key))


class _Array:
    """An array and what safetensors calls its type."""

    def __init__(self, dtype: str, values: NDArray[Any]) -> None:
        self.dtype, self.values = dtype, values


def _extension(kind: int, data: bytes) -> _Array | None:
    import msgpack

    if kind not in (_ARRAY, _SCALAR):
        return None
    shape, name, values = msgpack.unpackb(data, raw=True)
    name = name.decode()
    if name == _BFLOAT16:
        dtype, numpy = "BF16", np.dtype("<u2")
    else:
        numpy = np.dtype(name).newbyteorder("<")
        dtype = TYPES.get(numpy.str, numpy.str)
    if numpy.hasobject:
        raise ValueError("an array of objects")
    return _Array(dtype, np.frombuffer(values, numpy).reshape(shape))


def _joined(tree: Mapping[str, Any]) -> Typed:
    """An array in chunks, which are numbered as its shape's sides are."""
    shape = tuple(int(tree["shape"][str(i)]) for i in range(len(tree["shape"])))
    chunks = [tree["chunks"][str(i)] for i in range(len(tree["chunks"]))]
    values = np.concatenate([chunk.values.ravel() for chunk in chunks])
    if values.size != math.prod(shape):
        raise ValueError(f"chunks of {values.size} values for shape {shape}")
    return chunks[0].dtype, values.reshape(shape)
