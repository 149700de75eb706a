"""Checkpoints in any form that the metrics can be computed of.

A checkpoint is one of these:

- a safetensors file (`.safetensors`);
- a torch file (`.pt`, `.pth`, `.bin`, `.ckpt`) that holds a state dict, in a wrapper or not;
- NumPy's archive of arrays (`.npz`), as JAX's networks are often saved, or flax's `.msgpack`;
- Keras' `.weights.h5`, `.keras` or `.h5`, or Stable-Baselines3's `.zip`;
- an index of shards (`.index.json`), all safetensors files or all torch files beside it;
- a folder that holds one of these under the name that the Hugging Face hub gives it, or an adapter
  of PEFT.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from training_maps.runs import torch_format
from training_maps.runs.checkpoints import Checkpoint, Run, file_state, find_run
from training_maps.runs.derived_weights import (
    Derived,
    as_doubles,
    find_derived,
    make,
    read_safetensors,
    with_derived,
)
from training_maps.runs.hdf5_format import read_hdf5
from training_maps.runs.lora import find_products
from training_maps.runs.lora_base import OF_ADAPTER, OF_BASE, base_of, on_base
from training_maps.runs.msgpack_format import read_msgpack
from training_maps.runs.other_formats import CONVERSIONS, of_npz, read_npz
from training_maps.utils.errors import InputError, UnreadableCheckpoint
from training_maps.utils.files import file_digest, read_json
from training_maps.utils.progress import Progress

if TYPE_CHECKING:
    import torch

SAFETENSORS = (".safetensors",)
TORCH = (".pt", ".pth", ".bin", ".ckpt")
NPZ = (".npz",)
SB3 = (".zip",)  # Stable-Baselines3's archive, which holds a torch file
MSGPACK = (".msgpack",)
HDF5 = (".h5", ".hdf5", ".keras")
INDEX = ".index.json"
# What a folder may hold, the first that is there.
IN_FOLDER = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# And what PEFT writes of an adapter.
ADAPTERS = ("adapter_model.safetensors", "adapter_model.bin")

Form = Literal["safetensors", "torch", "npz", "msgpack", "hdf5"]
_FORMS: dict[str, Form] = {
    **dict.fromkeys(SAFETENSORS, "safetensors"), **dict.fromkeys((*TORCH, *SB3), "torch"),
    **dict.fromkeys(NPZ, "npz"), **dict.fromkeys(MSGPACK, "msgpack"),
    **dict.fromkeys(HDF5, "hdf5"),
}  # fmt: skip
# Readers of those whose arrays are read whole.
_READERS: dict[Form, Callable[[Path], dict[str, tuple[str, NDArray[Any]]]]] = {
    "npz": read_npz, "msgpack": read_msgpack, "hdf5": read_hdf5,
}  # fmt: skip
Description = list[tuple[str, str, tuple[int, ...]]]
# A checkpoint as the extension takes it: what errors call it, and its safetensors files, or its
# tensors by name, each with its type.
Source = tuple[str | None, list[str] | dict[str, tuple[str, NDArray[Any]]]]


@dataclass(frozen=True)
class Files:
    """The files of a checkpoint.

    Attributes:
        form: the format of all of them.
        paths: the one file, or the shards, by name.
        index: with shards, the file that each tensor is in.
    """

    form: Form
    paths: tuple[Path, ...]
    index: Mapping[str, Path] | None = None


@dataclass(frozen=True)
class OpenCheckpoint:
    """A checkpoint whose headers have been read.

    Attributes:
        path: what it was opened as.
        description: name, type and shape of each tensor, tied ones once.
        names: names of all tensors, tied ones too.
        files: safetensors files, or
        tensors: torch's tensors, or
        arrays: NumPy's arrays, each with its type.
        derived: weights of the description that are made of several tensors.
        base: of an adapter, the checkpoint that it acts beside; the description is of both.
    """

    path: Path
    description: Description
    names: frozenset[str]
    files: tuple[Path, ...] | None = None
    tensors: Mapping[str, torch.Tensor] | None = None
    arrays: Mapping[str, tuple[str, NDArray[Any]]] | None = None
    derived: tuple[Derived, ...] = ()
    base: OpenCheckpoint | None = None

    @property
    def takes_memory(self) -> bool:
        """Whether its tensors may be in memory, and not only mapped."""
        return self.files is None or bool(self.derived)

    @property
    def made(self) -> tuple[Derived, ...]:
        """The weights that are made of several tensors, the base's own too."""
        return (*self.derived, *(self.base.derived if self.base else ()))

    def source(self, names: Sequence[str]) -> Source:
        """The checkpoint as the extension takes it, with the named tensors at least.

        Raises:
            InputError: if one of them is missing from torch's tensors, or not of floats.
        """
        made = any(weight.name in names for weight in self.derived)
        if self.files is not None and self.base is None and not made:
            return os.fspath(self.path), [os.fspath(file) for file in self.files or ()]
        return os.fspath(self.path), self._values(names)

    def _values(self, names: Sequence[str]) -> dict[str, tuple[str, NDArray[Any]]]:
        """Types and values of the named tensors of the description."""
        wanted = set(names)
        made = [weight for weight in self.derived if weight.name in wanted]
        known = {weight.name for weight in made}
        parts = [part for weight in made for part in weight.parts]
        arrays = self._arrays([*(name for name in names if name not in known), *parts])
        wholes = {weight.name: make(weight, arrays, self.path) for weight in made}
        return {name: arrays[name] for name in names if name in arrays} | wholes

    def doubles(self, names: Sequence[str]) -> list[NDArray[np.float64]]:
        """The named tensors of the files in float64.

        Raises:
            InputError: if one is missing, or not of floats.
        """
        arrays = self._arrays(names)
        return [as_doubles(*arrays[name], self.path) for name in names]

    def _arrays(self, names: Sequence[str]) -> dict[str, tuple[str, NDArray[Any]]]:
        """Types and values of tensors as they are in the files; of those of a base in its own."""
        if self.base is not None:
            own = [n.removeprefix(OF_ADAPTER) for n in names if n.startswith(OF_ADAPTER)]
            others = {n: n.removeprefix(OF_BASE) for n in names if not n.startswith(OF_ADAPTER)}
            of_base = self.base._values(list(others.values()))
            alone = replace(self, base=None)._arrays(own)
            return {OF_ADAPTER + name: value for name, value in alone.items()} | {
                name: of_base[plain] for name, plain in others.items()
            }
        if self.arrays is not None:
            return of_npz(self.arrays, names, self.path)
        if self.tensors is None:
            return read_safetensors(self.files or (), names)
        return torch_format.arrays(self.tensors, names, self.path)


class CheckpointReader:
    """Opens checkpoints of one run, and says once how torch files are unwrapped."""

    def __init__(
        self, state_dict_key: str | None = None, base: str | os.PathLike[str] | None = None
    ) -> None:
        """Read state dicts in torch files under this key; None for under a usual one.

        `base` is the checkpoint that adapters act beside, or `lora_base.AUTO`; see there.
        """
        self._base = None if base is None else os.fspath(base)
        self._bases: dict[Path, OpenCheckpoint] = {}
        self._state_dicts = torch_format.StateDicts(state_dict_key)

    def open(self, path: str | os.PathLike[str]) -> OpenCheckpoint:
        """Read what tensors a checkpoint has; their values stay on disk where possible.

        Raises:
            UnreadableCheckpoint: if a file is missing, truncated or corrupt, or the index does not
                fit the shards.
            InputError: if it is in none of the forms, or no state dict is found in a torch file.
        """
        path = Path(path)
        found = self._read(path, find_files(path))
        base = base_of(found.description, path, self._base)
        return _opened(found) if base is None else self._on_base(found, base)

    def _read(self, path: Path, files: Files) -> OpenCheckpoint:
        """What is in the files, as it is."""
        if files.form == "torch":
            tensors = self._state_dicts.read(files.paths, files.index)
            description = torch_format.describe(tensors)
            return OpenCheckpoint(path, description, frozenset(tensors), tensors=tensors)
        if files.form == "safetensors":
            description = _headers(files)
            names = frozenset(name for name, *_ in description)
            return OpenCheckpoint(path, description, names, files=files.paths)
        arrays = _READERS[files.form](files.paths[0])
        described = [(name, dtype, array.shape) for name, (dtype, array) in arrays.items()]
        return OpenCheckpoint(path, described, frozenset(arrays), arrays=arrays)

    def _on_base(self, adapter: OpenCheckpoint, where: Path) -> OpenCheckpoint:
        """The network of an adapter and its base, which is opened once for all of a run."""
        if where not in self._bases:
            self._bases[where] = _opened(self._read(where, find_files(where)))
        base = self._bases[where]
        rest, made = on_base(adapter.description, adapter.path, base.description, where)
        description = [*rest, *((weight.name, "F64", weight.shape) for weight in made)]
        return replace(
            adapter,
            description=description,
            names=base.names | {weight.name for weight in made},
            derived=tuple(made),
            base=base,
        )


def _opened(checkpoint: OpenCheckpoint) -> OpenCheckpoint:
    """The checkpoint with each weight that it keeps as parts in place of these."""
    described = checkpoint.description
    derived = [*find_derived(described), *find_products(described, checkpoint.path)]
    if not derived:
        return checkpoint
    parts = {part for weight in derived for part in weight.parts}
    return replace(
        checkpoint,
        description=with_derived(checkpoint.description, derived),
        names=checkpoint.names - parts | {weight.name for weight in derived},
        derived=tuple(derived),
    )


def describe(
    path: str | os.PathLike[str],
    state_dict_key: str | None = None,
    base: str | os.PathLike[str] | None = None,
) -> Description:
    """What tensors a checkpoint has, in any of the forms.

    Args:
        path: the checkpoint's file, index of shards, or folder.
        state_dict_key: the key that a torch file has the network's state dict under; "a.b" is b in
            a. By default the usual wrappers are removed.
        base: of adapters, the checkpoint that they act beside, or "auto" (`lora_base`).

    Returns:
        Name, type as safetensors names it ("F32", "BF16", "I64") and shape of each tensor. Prefixes
        that wrapping a network gives all its names in a torch file are removed, and of tied tensors
        (the same values in memory) only the first is there.

    Raises:
        InputError: if it cannot be read.
    """
    return CheckpointReader(state_dict_key, base).open(path).description


def find_files(path: Path) -> Files:
    """The files of the checkpoint at `path`, which all exist.

    Raises:
        UnreadableCheckpoint: if a file is missing, or the index is broken.
        InputError: if `path` is in none of the forms.
    """
    if path.is_dir():
        names = (*IN_FOLDER, *ADAPTERS)
        there = [path / name for name in names if (path / name).is_file()]
        if not there:
            raise UnreadableCheckpoint(
                f"{path}: holds no checkpoint; expected one of {', '.join(names)}"
            )
        path = there[0]
    if not path.is_file():
        raise UnreadableCheckpoint(f"{path} is missing or no file")
    if path.name.endswith(INDEX):
        return _shards(path)
    return Files(_form(path), (path,))


def find_checkpoints(source: str | os.PathLike[str]) -> Run:
    """A run, as `find_run` finds it; or one checkpoint, a file or folder, as a run of its own.

    Its step is the last number in its name, or 0 if there is none.

    Raises:
        InputError: if there is nothing of this name, or nothing in a folder.
    """
    path = Path(source)
    is_one = path.is_file() and (path.suffix != ".json" or path.name.endswith(INDEX))
    if path.is_dir():
        is_one = any((path / name).is_file() for name in (*IN_FOLDER, *ADAPTERS))
    if not is_one:
        return find_run(path)
    numbers = re.findall(r"\d+", path.stem if path.is_file() else path.name)
    return Run(None, (Checkpoint(int(numbers[-1]) if numbers else 0, None, path),))


def _form(path: Path) -> Form:
    suffix = path.suffix.lower()
    if suffix in _FORMS:
        return _FORMS[suffix]
    expected = ", ".join((*_FORMS, INDEX))
    if suffix in CONVERSIONS:
        raise InputError(
            f"{path}: is not read as it is; {CONVERSIONS[suffix]}. Read are names in {expected}"
        )
    raise InputError(f"{path}: is no checkpoint by its name; expected a name in {expected}")


def _shards(index: Path) -> Files:
    """The shards that an index names, which all exist: their order means nothing."""
    of_tensor = read_index(index)
    shards = sorted(set(of_tensor.values()))
    forms = {_form(shard) for shard in shards}
    if len(forms) > 1:
        raise UnreadableCheckpoint(f"{index}: names both safetensors files and torch files")
    for shard in shards:
        if not shard.is_file():
            raise UnreadableCheckpoint(f"{index}: shard {shard.name} is missing in {shard.parent}")
    return Files(forms.pop(), tuple(shards), of_tensor)


def read_index(index: Path) -> dict[str, Path]:
    """The shard of each tensor that an index names, there or not.

    Raises:
        UnreadableCheckpoint: if it is no index of shards, or leads out of its folder.
    """
    try:
        data = read_json(index)
    except (InputError, RecursionError) as error:
        raise UnreadableCheckpoint(f"{index}: is no index of shards ({error})") from error
    weight_map = data.get("weight_map") if isinstance(data, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise UnreadableCheckpoint(
            f"{index}: is no index of shards; expected 'weight_map', from each tensor to its file"
        )
    return {name: _shard(index, name, file) for name, file in weight_map.items()}


def _shard(index: Path, tensor: str, file: object) -> Path:
    """A shard's path, which has to lie in the index's folder or below."""
    if not isinstance(file, str) or not file or "\0" in file:
        raise UnreadableCheckpoint(f"{index}: tensor '{tensor}': {file!r} is no file name")
    name = Path(os.path.normpath(file))
    if name.is_absolute() or name.parts[:1] in ((), ("..",)):
        raise UnreadableCheckpoint(
            f"{index}: tensor '{tensor}': {file} leads out of the folder of the index"
        )
    return index.parent / name


def _headers(files: Files) -> Description:
    """What the headers of safetensors files say, which an index has to agree with."""
    from training_maps._rust_metrics import tensors as read_headers

    try:
        if files.index:
            for file in files.paths:
                there = {name for name, *_ in read_headers([os.fspath(file)])}
                for name, expected in files.index.items():
                    if expected == file and name not in there:
                        raise UnreadableCheckpoint(
                            f"{file}: has no tensor '{name}', which the index says is here"
                        )
        tensors = read_headers([os.fspath(file) for file in files.paths])
    except (OSError, ValueError) as error:
        raise UnreadableCheckpoint(str(error)) from error
    return [(name, dtype, tuple(shape)) for name, dtype, shape in tensors]


def check_files(run: Run, threads: int | None) -> dict[int, str]:
    """Compare a run's files with its manifest.

    What is compared is what the manifest has: a file's SHA-256, or the size and the time of its
    last change; of a checkpoint that it gives neither of, nothing but that it is there.

    Args:
        run: the run.
        threads: number of threads for digests; None to look only whether the checkpoints are there.

    Returns:
        What is wrong, by step, for each checkpoint that is missing or has changed.
    """
    wrong = {}
    for checkpoint in run.checkpoints:
        if not checkpoint.path.exists():
            wrong[checkpoint.step] = (
                f"{checkpoint.path} is missing. Train the run again, or put the file back"
            )
        elif threads is not None and _has_changed(checkpoint):
            wrong[checkpoint.step] = (
                f"{checkpoint.path} has changed since the manifest was written. Write the manifest "
                "again, or put the file back"
            )
    listed = [c for c in run.checkpoints if c.sha256 and c.step not in wrong]
    if threads is not None and listed:
        for checkpoint, digest in zip(listed, _digests(listed, threads), strict=True):
            if digest != checkpoint.sha256:
                wrong[checkpoint.step] = (
                    f"{checkpoint.path} is truncated or has changed: its SHA-256 is not the one "
                    "that the manifest gives. Train the run again, or put the file back"
                )
    return dict(sorted(wrong.items()))


def _has_changed(checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint has another size or time of last change than its manifest gives."""
    return checkpoint.size is not None and (checkpoint.size, checkpoint.modified) != file_state(
        checkpoint.path
    )


def _digests(checkpoints: Sequence[Checkpoint], threads: int) -> list[str | None]:
    """The SHA-256 of each checkpoint's file; None for what cannot be read as a file."""
    stop = threading.Event()
    progress = Progress(len(checkpoints), "checkpoint", "SHA-256 of the checkpoints")
    digests = []
    with ThreadPoolExecutor(threads) as pool:
        try:
            for digest in pool.map(lambda checkpoint: _sha256(checkpoint, stop), checkpoints):
                digests.append(digest)
                if len(digests) < len(checkpoints):  # what took no time is not worth a line
                    progress.update(len(digests))
        except BaseException:
            stop.set()  # Ctrl-C need not wait for the digests of large files
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return digests


def _sha256(checkpoint: Checkpoint, stop: threading.Event) -> str | None:
    try:
        return file_digest(checkpoint.path, stopped=stop.is_set)
    except InputError:
        return None
