"""Weights that a checkpoint keeps as parts: what acts on the network is made of them.

- Weight norm keeps a length and a direction: the weight is g v / |v|, the norm over all dimensions
  but that of g (`weight_g` and `weight_v`, or `parametrizations.weight.original0` and `original1`).
- Spectral norm keeps the weight and two vectors: the weight is W / (u W v), W as a matrix with the
  outputs first (`weight_orig`, or `parametrizations.weight.original`).
- Pruning keeps the weight and a mask of ones and zeros (`weight_orig` and `weight_mask`).

In a description of the tensors, the parts give place to the weight that they make.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training_maps.utils.errors import InputError, UnreadableCheckpoint

Typed = tuple[str, NDArray[Any]]
Described = tuple[str, str, tuple[int, ...]]

# What weight norm calls a direction: of a weight, also of a recurrent layer's ("weight_hh_l0_v").
_DIRECTION = re.compile(r"\w*(weight|kernel)\w*_v")
# Names of safetensors' types, and what NumPy has for them; of half precision the bits of bfloat16.
_NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<u2", "BF16": "<u2"}


@dataclass(frozen=True)
class Derived:
    """A weight made of parts.

    Attributes:
        name: what the weight is called.
        parts: the names of the tensors that it is made of.
        shape: its shape.
        make: the weight of its parts, in float64.
        how: what is said of it.
        scale: of a product of two factors, which are its parts, what it is multiplied by.
    """

    name: str
    parts: tuple[str, ...]
    shape: tuple[int, ...]
    make: Callable[..., NDArray[np.float64]]
    how: str
    scale: float | None = None


def find_derived(described: Iterable[Described]) -> list[Derived]:
    """The weights that a checkpoint's tensors are parts of."""
    shapes = {name: shape for name, _, shape in described}
    found = []
    for name, shape in shapes.items():
        module, _, part = name.rpartition(".")
        derived = None
        if _DIRECTION.fullmatch(part):
            derived = _weight_norm(name.removesuffix("_v"), f"{name[:-2]}_g", name, shapes)
        elif part == "original1":
            weight = _parametrised(module)
            derived = _weight_norm(weight, f"{module}.original0", name, shapes)
        elif part.endswith("_orig"):
            stem = name.removesuffix("_orig")
            derived = _spectral_norm(stem, name, f"{stem}_u", f"{stem}_v", shapes) or _pruned(
                stem, name, f"{stem}_mask", shapes
            )
        elif part == "original":
            weight = _parametrised(module)
            vectors = (f"{module}.0._u", f"{module}.0._v")
            derived = _spectral_norm(weight, name, *vectors, shapes)
        if derived is not None and shape:
            found.append(derived)
    return found


def with_derived(described: Sequence[Described], derived: Sequence[Derived]) -> list[Described]:
    """The description with each weight in place of its parts."""
    parts = {part for weight in derived for part in weight.parts}
    kept = [tensor for tensor in described if tensor[0] not in parts]
    return kept + [(weight.name, "F64", weight.shape) for weight in derived]


def make(weight: Derived, tensors: Mapping[str, Typed], where: object) -> Typed:
    """The weight, from the types and values of its parts.

    Raises:
        InputError: if a part is not of floats.
    """
    return "F64", weight.make(*(as_doubles(*tensors[part], where) for part in weight.parts))


def as_doubles(dtype: str, values: NDArray[Any], where: object) -> NDArray[np.float64]:
    """Values of any type of floats, those of half precision given as their bits, in float64."""
    if dtype == "F16":
        return values.view(np.float16).astype(np.float64)
    if dtype == "BF16":
        return (values.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    if dtype not in ("F64", "F32"):
        raise InputError(f"{where}: has a part of type {dtype}; expected F64, F32, F16 or BF16")
    return values.astype(np.float64)


def read_safetensors(files: Iterable[Path], names: Iterable[str]) -> dict[str, Typed]:
    """Type and values of the named tensors of safetensors files, mapped and not read.

    Raises:
        UnreadableCheckpoint: if a file is broken.
        InputError: if a tensor is not of floats, or in none of the files.
    """
    wanted = set(names)
    found: dict[str, Typed] = {}
    for file in files:
        try:
            with file.open("rb") as stream:
                length = int.from_bytes(stream.read(8), "little")
                header = json.loads(stream.read(length))
            data = np.memmap(file, np.uint8, "r", offset=8 + length)
        except (OSError, ValueError) as error:
            raise UnreadableCheckpoint(f"{file}: is no safetensors file ({error})") from error
        for name in wanted & header.keys():
            entry = header[name]
            dtype = _NUMPY.get(entry["dtype"])
            if dtype is None:
                raise InputError(
                    f"{file}: tensor '{name}' has dtype {entry['dtype']}; expected F64, F32, F16 "
                    "or BF16"
                )
            begin, end = entry["data_offsets"]
            values = np.frombuffer(data[begin:end], dtype=dtype).reshape(entry["shape"])
            found[name] = entry["dtype"], np.require(values, requirements=["C", "ALIGNED"])
    missing = sorted(wanted - found.keys())
    if missing:
        raise InputError(f"tensor '{missing[0]}' is missing")
    return found


def _parametrised(module: str) -> str:
    """`fc.parametrizations.weight` -> `fc.weight`."""
    layer, _, name = module.rpartition(".")
    return f"{layer.removesuffix('parametrizations')}{name}"


def _weight_norm(
    name: str, length: str, direction: str, shapes: Mapping[str, tuple[int, ...]]
) -> Derived | None:
    if length not in shapes:
        return None
    g, v = shapes[length], shapes[direction]
    if len(g) == len(v):
        axes = tuple(axis for axis, side in enumerate(g) if side == 1)
        if any(side not in (1, v[axis]) for axis, side in enumerate(g)):
            return None
    elif not g:
        axes = tuple(range(len(v)))  # `weight_norm(layer, dim=None)`
    else:
        return None
    return Derived(
        name, (length, direction), v, lambda g, v: _normed(g, v, axes), "weight norm: g v / |v|"
    )


def _normed(
    g: NDArray[np.float64], v: NDArray[np.float64], axes: tuple[int, ...]
) -> NDArray[np.float64]:
    norm = np.sqrt((v * v).sum(axis=axes, keepdims=g.ndim == v.ndim))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.ascontiguousarray(v * (g / norm))


def _spectral_norm(
    name: str, weight: str, u: str, v: str, shapes: Mapping[str, tuple[int, ...]]
) -> Derived | None:
    if u not in shapes or v not in shapes or len(shapes[u]) != 1 or len(shapes[v]) != 1:
        return None
    shape, rows = shapes[weight], shapes[u][0]
    axis = next((a for a, side in enumerate(shape) if side == rows), None)
    if axis is None or np.prod(shape) != rows * shapes[v][0]:
        return None

    def divided(
        w: NDArray[np.float64], left: NDArray[np.float64], right: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        matrix = np.moveaxis(w, axis, 0).reshape(rows, -1)
        return np.ascontiguousarray(w / (left @ matrix @ right))

    return Derived(name, (weight, u, v), shape, divided, "spectral norm: W / (u W v)")


def _pruned(
    name: str, weight: str, mask: str, shapes: Mapping[str, tuple[int, ...]]
) -> Derived | None:
    if shapes.get(mask) != shapes[weight]:
        return None
    return Derived(
        name, (weight, mask), shapes[weight], lambda w, m: w * m, "pruned: weight x mask"
    )
