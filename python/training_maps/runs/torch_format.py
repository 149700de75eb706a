"""Checkpoints in torch's own format: state dicts, out of their wrappers, as arrays.

Files are read with `torch.load(weights_only=True)` alone, which makes tensors and plain containers
and runs no code of the file, since torch 2.10: with an older one they are refused. Settings and
progress that trainers keep beside the tensors are read as nothing (`harmless_types`). Files that
`torch.save` writes since version 1.6 are mapped, not read: their values stay on disk until they are
needed.
"""

from __future__ import annotations

import io
import logging
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training_maps.runs.harmless_types import STAND_INS
from training_maps.utils.errors import InputError, UnreadableCheckpoint

if TYPE_CHECKING:
    import torch

logger = logging.getLogger("training_maps")

# Keys under which training code puts a network's state dict beside an optimiser's and others.
WRAPPERS = ("state_dict", "model", "model_state_dict", "module", "network")
# Keys of what holds tensors too, and is no network.
_NO_NETWORK = re.compile(r"optim|sched|scaler|rng|random|loop|callback|state$|^args|hyper|hparam")
# What wrapping a network (DataParallel, DistributedDataParallel, torch.compile) puts before names.
PREFIXES = ("module.", "_orig_mod.")
# Where Stable-Baselines3's archives have them.
POLICY = "policy.pth"
# Before this version of torch a file can run code although `weights_only=True` (CVE-2026-24747, and
# before 2.6 CVE-2025-32434).
SAFE_SINCE = "2.10"
# safetensors' names of types; of any other, torch's own name.
_TYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "complex64": "C64",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
}


class StateDicts:
    """Reads torch files; says once what was unwrapped in them."""

    def __init__(self, key: str | None = None) -> None:
        """Read state dicts under `key` ("a.b" is b in a); None for under one of `WRAPPERS`."""
        self._key = key
        self._said: set[str] = set()

    def read(
        self, files: Iterable[Path], index: Mapping[str, Path] | None = None
    ) -> dict[str, torch.Tensor]:
        """The tensors of a checkpoint in one file or in several shards, by name.

        Args:
            files: the file, or the shards.
            index: with shards, the file that each tensor is to be in.

        Raises:
            UnreadableCheckpoint: if a file is truncated or corrupt, lacks a tensor of the index, or
                has one that another file has.
            InputError: if a file holds more than tensors and plain containers, no state dict is
                found in it, or torch is older than `SAFE_SINCE`.
        """
        found: dict[str, torch.Tensor] = {}
        for file in files:
            of_file = self._state_dict(_load(file), file)
            for name, expected in (index or {}).items():
                if expected == file and name not in of_file:
                    raise UnreadableCheckpoint(
                        f"{file}: has no tensor '{name}', which the index says is here"
                    )
            for name in of_file:
                if name in found:
                    raise UnreadableCheckpoint(
                        f"{file}: tensor '{name}' is in another file of the checkpoint too"
                    )
            found |= of_file
        return self._without_prefixes(found)

    def _state_dict(self, data: object, file: Path) -> dict[str, torch.Tensor]:
        """The network's state dict in what a file holds."""
        if self._key is not None:
            data = _under(data, self._key, file)
        else:
            path = []
            while wrapper := _wrapper(data, file):
                assert isinstance(data, Mapping)
                path.append(wrapper)
                self._say_others(data, wrapper)
                data = data[wrapper]
            if path:
                self._say(f"the network is what the torch files have under '{'.'.join(path)}'")
        if not isinstance(data, Mapping):
            raise InputError(f"{file}: holds a {type(data).__name__}, not a state dict")
        tensors = {str(name): value for name, value in data.items() if _is_tensor(value)}
        nested = [str(name) for name, value in data.items() if _holds_tensors(value)]
        if not tensors or nested:
            keys = ", ".join(sorted(map(str, data))[:20]) or "none"
            near = f" (tensors are under {', '.join(nested)})" if nested else ""
            raise InputError(
                f"{file}: no state dict is found; the keys here are {keys}{near}. Name the key "
                "that the network's state dict is under: checkpoints.state_dict_key in the config, "
                "or --state-dict-key"
            )
        return tensors

    def _say_others(self, data: Mapping[Any, Any], wrapper: str) -> None:
        """Tell of networks beside the one that is taken, such as an average of its weights."""
        others = [
            str(key)
            for key, value in data.items()
            if key != wrapper and _holds_tensors(value) and not _NO_NETWORK.search(str(key).lower())
        ]
        if others:
            self._say(
                f"beside it the files have tensors under {', '.join(map(repr, others))}; to take "
                "those, name the key: checkpoints.state_dict_key, or --state-dict-key"
            )

    def _without_prefixes(self, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        removed = ""
        while prefix := next((p for p in PREFIXES if all(n.startswith(p) for n in tensors)), ""):
            if not tensors or any(name == prefix for name in tensors):
                break
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
            removed += prefix
        if removed:
            self._say(f"'{removed}' is removed from the names of all tensors")
        return tensors

    def _say(self, what: str) -> None:
        if what not in self._said:
            self._said.add(what)
            logger.info("%s", what)


def describe(tensors: Mapping[str, torch.Tensor]) -> list[tuple[str, str, tuple[int, ...]]]:
    """Name, type and shape of each tensor; of tied ones (the same values in memory) the first."""
    seen = set()
    described = []
    for name, tensor in tensors.items():
        if _is_strided(tensor) and tensor.numel():
            place = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
            if place in seen:
                continue
            seen.add(place)
        described.append((name, _type_name(tensor), tuple(tensor.shape)))
    return described


def arrays(
    tensors: Mapping[str, torch.Tensor], names: Iterable[str], where: object
) -> dict[str, tuple[str, NDArray[Any]]]:
    """The type and values of the named tensors: views where they are in row-major order.

    Values of half precision are given as their bits (uint16), since NumPy has no bfloat16.

    Raises:
        InputError: if a tensor is not there, or is not of floats in plain memory.
    """
    return {name: _array(tensors.get(name), f"{where}: tensor '{name}'") for name in names}


def _array(tensor: torch.Tensor | None, what: str) -> tuple[str, NDArray[Any]]:
    import torch

    if tensor is None:
        raise InputError(f"{what} is missing")
    dtype = _type_name(tensor)
    if dtype not in ("F64", "F32", "F16", "BF16"):
        raise InputError(f"{what} has dtype {dtype}; expected F64, F32, F16 or BF16")
    values = tensor.detach().contiguous()
    if dtype in ("F16", "BF16"):
        array = values.view(torch.int16).numpy().view(np.uint16)
    else:
        array = values.numpy()
    return dtype, np.require(array, requirements=["C", "ALIGNED"])


def _load(file: Path) -> Any:
    """What `torch.load` makes of a file, its tensors mapped where the format allows it."""
    import torch

    if torch.__version__ < SAFE_SINCE:  # torch compares these as versions, not as text
        raise InputError(
            f"{file}: torch {torch.__version__}, which is installed here, can be made to run code "
            f"by a checkpoint (CVE-2026-24747). Install torch {SAFE_SINCE} or later, or save the "
            "checkpoint as safetensors"
        )
    in_zip = file.suffix.lower() == ".zip"
    mapped = not in_zip and _is_zip(file)
    content = _policy(file) if in_zip else file
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(STAND_INS):
            warnings.simplefilter("ignore")  # about formats that are refused below all the same
            return torch.load(content, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        # Which class it is that is not allowed, only the message says.
        if needed := re.search(r"(?:GLOBAL|class) ([\w.]*\w)", str(error)):
            raise InputError(_needs_classes(file, f"it needs {needed[1]}")) from error
        raise UnreadableCheckpoint(_corrupt(file, error)) from error
    except Exception as error:  # a corrupt file can fail in any way
        raise UnreadableCheckpoint(_corrupt(file, error)) from error


def _policy(file: Path) -> io.BytesIO:
    """The torch file in a Stable-Baselines3 archive that holds the networks, in memory.

    What lies beside it (settings as pickles, optimisers) is not opened.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            if POLICY not in archive.namelist():
                raise InputError(
                    f"{file}: holds no {POLICY}, as archives of Stable-Baselines3 do; unpack other "
                    "archives, and name what is in them"
                )
            part = archive.getinfo(POLICY)
            if part.compress_type != zipfile.ZIP_STORED:
                raise InputError(f"{file}: {POLICY} is compressed, which its makers do not do")
            return io.BytesIO(archive.read(part))
    except OSError as error:
        raise UnreadableCheckpoint(f"{file}: cannot be read ({error.strerror})") from error
    except InputError:
        raise
    except Exception as error:  # zipfile raises more than BadZipFile on corrupt archives
        raise UnreadableCheckpoint(_corrupt(file, error)) from error


def _is_zip(file: Path) -> bool:
    """Whether a file is in torch's zip format, every part of it uncompressed and in the file."""
    try:
        with file.open("rb") as opened:
            if opened.read(4) != b"PK\3\4":
                return False
        with zipfile.ZipFile(file) as archive:
            parts = archive.infolist()
    except OSError as error:
        raise UnreadableCheckpoint(f"{file}: cannot be read ({error.strerror})") from error
    except Exception as error:  # zipfile raises more than BadZipFile on corrupt archives
        raise UnreadableCheckpoint(_corrupt(file, error)) from error
    if any("/code/" in part.filename for part in parts):
        raise InputError(_needs_classes(file, "it is a TorchScript archive"))
    compressed = [part.filename for part in parts if part.compress_type != zipfile.ZIP_STORED]
    if compressed:
        raise InputError(
            f"{file}: part {compressed[0]} is compressed, which torch.save does not do; save the "
            "checkpoint again with torch.save"
        )
    return True


def _corrupt(file: Path, error: Exception) -> str:
    reason = " ".join(str(error).split())[:200]
    return (
        f"{file}: is not a whole torch file ({type(error).__name__}: {reason}); it may be "
        "truncated or corrupt"
    )


def _needs_classes(file: Path, reason: str) -> str:
    return (
        f"{file}: holds more than tensors, numbers and plain containers ({reason}); reading it "
        "could run any code. Save a plain state dict where the checkpoint is made: "
        "torch.save(model.state_dict(), path). Of a finished run that you trust, make one of each "
        "checkpoint once, where its classes are installed: data = torch.load(path, "
        "weights_only=False); torch.save(data['state_dict'], new_path)"
    )


def _wrapper(data: object, file: Path) -> str | None:
    """The key of `WRAPPERS` that `data` keeps its network under, if there is one."""
    if not isinstance(data, Mapping):
        return None
    found = [key for key in WRAPPERS if _holds_tensors(data.get(key))]
    if len(found) > 1:
        raise InputError(
            f"{file}: tensors are under {' and '.join(found)}. Name the one to use: "
            "checkpoints.state_dict_key in the config, or --state-dict-key"
        )
    return found[0] if found else None


def _under(data: object, key: str, file: Path) -> object:
    """What `data` has under `key`; a dot goes one level down, unless a key has one in it."""
    if not isinstance(data, Mapping):
        raise InputError(f"{file}: holds a {type(data).__name__}, in which nothing is named {key}")
    if key in data:
        return data[key]
    first, _, rest = key.partition(".")
    if rest and first in data:
        return _under(data[first], rest, file)
    keys = ", ".join(sorted(map(str, data))[:20]) or "none"
    raise InputError(f"{file}: has no key {key} (--state-dict-key); the keys here are {keys}")


def _holds_tensors(value: object) -> bool:
    """Whether `value` is a dict with a tensor in it, or in a dict in it, and so on."""
    waiting: list[object] = [value]
    seen: set[int] = set()  # a corrupt file may hold a dict that holds itself
    while waiting:
        item = waiting.pop()
        if isinstance(item, Mapping) and id(item) not in seen:
            seen.add(id(item))
            if any(_is_tensor(inner) for inner in item.values()):
                return True
            waiting += _mappings(item)
    return False


def _mappings(data: Mapping[Any, Any]) -> Iterator[Mapping[Any, Any]]:
    return (value for value in data.values() if isinstance(value, Mapping))


def _is_tensor(value: object) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def _is_strided(tensor: torch.Tensor) -> bool:
    import torch

    plain = tensor.layout is torch.strided and tensor.device.type == "cpu"
    return plain and not tensor.is_quantized


def _type_name(tensor: torch.Tensor) -> str:
    name = str(tensor.dtype).removeprefix("torch.")
    dtype = _TYPES.get(name, name.upper())
    if _is_strided(tensor):
        return dtype
    if tensor.device.type == "meta":
        return f"{dtype} without values"
    return dtype if tensor.is_quantized else f"sparse {dtype}"
