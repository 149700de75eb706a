"""Checkpoints of Keras: `.weights.h5`, `.keras` (an archive that holds one), and the older `.h5`.

They are read by h5py, arrays alone: links to other files and data kept elsewhere are refused.
Keras 3 numbers a layer's variables (`layers/dense/vars/0`) and does not name them. Which is which
follows from their number and shapes: a matrix is the kernel, a vector behind it the bias; of
vectors alone (a normalisation) none counts. Older files name them (`dense/kernel:0`).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training_maps.runs.other_formats import TYPES, Typed
from training_maps.utils.errors import InputError, UnreadableCheckpoint

_INSIDE = "model.weights.h5"
_VARIABLES = "vars"
# What Keras keeps beside the network's variables, by the first name of a path.
_NO_NETWORK = ("optimizer", "optimizer_weights", "seed_generator", "metrics")
# Groups that only hold what is in the network.
_AROUND = ("layers", "model_weights", "_layer_checkpoint_dependencies")
_NORMS = {1: ("scale",), 2: ("gamma", "beta"), 3: ("scale", "moving_mean", "moving_variance"),
          4: ("gamma", "beta", "moving_mean", "moving_variance")}  # fmt: skip


def read_hdf5(file: Path) -> dict[str, Typed]:
    """Type and values of each variable, by its layer's path and its name with dots between them.

    Raises:
        UnreadableCheckpoint: if it is no whole file of Keras'.
        InputError: if the package h5py is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise InputError(
            f"{file}: to read Keras' files takes the package h5py ({error}); install it with: "
            "pip install 'training-maps[keras]'"
        ) from error
    try:
        source = _inside(file) if zipfile.is_zipfile(file) else file
        with h5py.File(source, "r") as opened:
            found = dict(_variables(opened))
    except Exception as error:  # a corrupt file can fail in any way
        raise UnreadableCheckpoint(
            f"{file}: is not a whole file of Keras' weights ({type(error).__name__}: {error})"
        ) from error
    if not found:
        raise UnreadableCheckpoint(f"{file}: holds no variables of a network")
    return {name: (TYPES.get(a.dtype.str, a.dtype.str), a) for name, a in found.items()}


def _inside(file: Path) -> io.BytesIO:
    """The weights in a `.keras` archive, in memory."""
    with zipfile.ZipFile(file) as archive:
        part = archive.getinfo(_INSIDE)
        if part.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{_INSIDE} is compressed, which Keras does not do")
        return io.BytesIO(archive.read(part))


def _variables(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, NDArray[Any]]]:
    """The variables in a group and below, named."""
    import h5py

    for name in group:
        if not path and name in _NO_NETWORK:
            continue
        inner = _inner(group, name)
        if isinstance(inner, h5py.Dataset):
            yield _dotted((*path, name.removesuffix(":0"))), _values(inner)
        elif name == _VARIABLES:
            values = [_values(_inner(inner, key)) for key in sorted(inner, key=int)]
            names = variable_names([array.shape for array in values], path[-1] if path else "")
            for own, array in zip(names, values, strict=True):
                yield _dotted((*path, own)), array
        else:
            yield from _variables(inner, (*path, name))


def _inner(group: Any, name: str) -> Any:
    """What a group has under a name, in this file."""
    import h5py

    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"'{name}' is a link to elsewhere")
    return group[name]


def _values(dataset: Any) -> NDArray[Any]:
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"'{dataset.name}' keeps its values elsewhere")
    return np.asarray(dataset[()])


def _dotted(path: Sequence[str]) -> str:
    """A path with dots; older files have the layer's name twice, and newer ones empty groups."""
    names = [name for i, name in enumerate(path) if not (i and name == path[i - 1])]
    return ".".join(name.replace("/", ".") for name in names if name not in _AROUND)


def variable_names(shapes: Sequence[tuple[int, ...]], layer: str = "") -> list[str]:
    """What a layer's variables are, by their shapes in Keras' order.

    A table, where the layer is called an embedding and has a single matrix; a kernel, a recurrent
    layer's second one of as many columns, and a bias; or vectors alone. Where shapes tell nothing
    else, a name that no rule knows: what it is is then assumed.
    """
    if all(len(shape) < 2 for shape in shapes):
        return list(_NORMS.get(len(shapes), [f"variable_{i}" for i in range(len(shapes))]))
    if len(shapes) == 1 and len(shapes[0]) == 2 and "embed" in layer.lower():
        return ["embeddings"]
    names, first = [], shapes[0]
    for i, shape in enumerate(shapes):
        if i == 0:
            names.append("kernel")
        elif i == len(shapes) - 1 and len(shape) < len(first) and shape == first[-len(shape) :]:
            names.append("bias")  # of attention, it has a side for the heads
        elif i == 1 and len(shape) > 1:
            names.append("recurrent_kernel" if shape[-1] == first[-1] else "pointwise_kernel")
        elif i == len(shapes) - 1 and shape[-1:] == shapes[i - 1][-1:]:
            names.append("bias")
        else:
            names.append(f"variable_{i}")
    return names
