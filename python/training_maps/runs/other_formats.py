"""Checkpoints that neither torch nor safetensors wrote: NumPy's are read, of others it is said how.

Keras' and flax's have modules of their own (`hdf5_format`, `msgpack_format`).

NumPy's archive of arrays (`.npz`) is read without objects, so that it runs no code. What other
libraries write in forms of their own becomes a file that is read by one line where the library is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training_maps.utils.errors import InputError, UnreadableCheckpoint

Typed = tuple[str, NDArray[Any]]

# safetensors' names of NumPy's types.
TYPES = {
    "<f8": "F64", "<f4": "F32", "<f2": "F16", "<i8": "I64", "<i4": "I32", "<i2": "I16", "|i1": "I8",
    "<u8": "U64", "<u4": "U32", "<u2": "U16", "|u1": "U8", "|b1": "BOOL",
}  # fmt: skip
# How what is not read here becomes what is, in a line where the library is installed.
_TO_SAFETENSORS = "from safetensors.numpy import save_file; save_file({}, 'x.safetensors')"
_FLAX = _TO_SAFETENSORS.format("flax.traverse_util.flatten_dict(params, sep='.')")
CONVERSIONS = {
    ".orbax": f"orbax writes it: {_FLAX}",
    ".pkl": "a pickle can run any code when it is read. If you trust it, save its arrays: "
    + _TO_SAFETENSORS.format("arrays"),
    ".distcp": "torch.distributed writes it: torch.distributed.checkpoint.format_utils."
    "dcp_to_torch_save(folder, 'x.pt')",
    ".gguf": "its weights are quantised, as a rule; take the checkpoint that it was made of",
    ".onnx": "it is a graph and not a checkpoint; take the checkpoint that it was made of",
}
CONVERSIONS[".pickle"] = CONVERSIONS[".pkl"]


def read_npz(file: Path) -> dict[str, Typed]:
    """Type and values of each array of an archive, by name; a / in a name is a dot.

    So flax and haiku name the leaves of their trees.

    Raises:
        UnreadableCheckpoint: if it is no whole archive of arrays.
    """
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name.replace("/", "."): archive[name] for name in archive.files}
    except Exception as error:  # a corrupt archive can fail in any way
        raise UnreadableCheckpoint(
            f"{file}: is not a whole archive of arrays ({type(error).__name__}: {error})"
        ) from error
    return {name: (TYPES.get(a.dtype.str, a.dtype.str), a) for name, a in arrays.items()}


def of_npz(arrays: Mapping[str, Typed], names: Sequence[str], where: object) -> dict[str, Typed]:
    """Type and values of the named arrays, as the extension takes them.

    Raises:
        InputError: if one is missing, or not of floats.
    """
    found = {}
    for name in names:
        if name not in arrays:
            raise InputError(f"{where}: tensor '{name}' is missing")
        dtype, array = arrays[name]
        if dtype not in ("F64", "F32", "F16", "BF16"):
            raise InputError(f"{where}: tensor '{name}' has dtype {dtype}; expected floats")
        whole = np.require(array, requirements=["C", "ALIGNED"])
        found[name] = dtype, whole.view(np.uint16) if dtype == "F16" else whole
    return found
