"""A model's tensors while it trains, as the metrics take them: which count, and where they lie.

What counts is decided as of a checkpoint, from names, types and shapes (docs/parameters.md). Here
modules are known besides: what belongs to an embedding or a normalisation layer is left out
whatever its name, and so is an output layer that shares an embedding's memory.

Tensors on the CPU are read where they lie. Those of a GPU are copied once, to pinned memory,
without holding up the stream; `Snapshot.ready` waits for the copies.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training_maps.metrics.parameters import (
    NO_OVERRIDES,
    Overrides,
    ParameterSelection,
    select_parameters,
)
from training_maps.utils.errors import InputError

if TYPE_CHECKING:
    import torch

# What DDP and torch.compile put in front of names.
_WRAPPERS = ("module.", "_orig_mod.")
# safetensors' names of torch's types.
_TYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64",
    "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Tensors that count, at one moment.

    Attributes:
        arrays: by name, where they lie or as copies.
        shared: whether any of them is the model's own memory, which training will change.
        ready: waits until copies from a GPU have arrived.
    """

    arrays: Mapping[str, NDArray[Any]]
    shared: bool
    ready: Callable[[], None]


def named_tensors(model: Any) -> dict[str, torch.Tensor]:
    """All tensors of a module or a state dict, by the names that a checkpoint gives them.

    Raises:
        InputError: if it is neither, or FSDP's first version holds its parameters.
    """
    state = model if isinstance(model, Mapping) else None
    if state is None:
        if not callable(getattr(model, "state_dict", None)):
            raise InputError(
                f"record: expected a torch.nn.Module or a state dict, not {type(model).__name__}"
            )
        if any(type(m).__name__ == "FullyShardedDataParallel" for m in model.modules()):
            raise InputError(
                "record: the model is sharded by FullyShardedDataParallel; hand the full state "
                "dict, gathered on all ranks (torch.distributed.checkpoint.state_dict."
                "get_model_state_dict with full_state_dict=True), or shard with fully_shard"
            )
        state = model.state_dict()
    return {bare_name(name): tensor for name, tensor in state.items() if hasattr(tensor, "dtype")}


def bare_name(name: str) -> str:
    """A tensor's name without what wraps the model."""
    for wrapper in _WRAPPERS:
        name = name.removeprefix(wrapper)
    return name.replace("._orig_mod.", ".")


def select(
    model: Any, tensors: Mapping[str, torch.Tensor], overrides: Overrides = NO_OVERRIDES
) -> ParameterSelection:
    """Which tensors count, from their names, types and shapes, and from the modules if known.

    Raises:
        InputError: if nothing counts, or a pattern matches nothing.
    """
    known = [
        _escaped(name)
        for name in left_out_by_modules(model)
        if name in tensors
        and not any(fnmatchcase(name, p) for p in (*overrides.weights, *overrides.biases))
    ]
    told = Overrides(
        overrides.weights, overrides.biases, (*overrides.left_out, *known), overrides.blocks
    )
    described = (
        (name, _TYPES.get(str(tensor.dtype).removeprefix("torch."), "U8"), tuple(tensor.shape))
        for name, tensor in tensors.items()
    )
    return select_parameters(described, "the model", told)


def left_out_by_modules(model: Any) -> list[str]:
    """Names of what belongs to embeddings and normalisation layers, or shares their memory."""
    if not hasattr(model, "named_modules"):
        return []
    from torch import nn

    embeddings = (nn.Embedding, nn.EmbeddingBag)
    norms = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.batchnorm._NormBase)
    names, tied = [], set()
    for prefix, module in model.named_modules():
        if isinstance(module, (*embeddings, *norms)):
            for name, parameter in module.named_parameters(recurse=False):
                names.append(bare_name(f"{prefix}.{name}".lstrip(".")))
                if isinstance(module, embeddings):
                    tied.add(id(parameter))
    for prefix, module in model.named_modules():
        names += [
            bare_name(f"{prefix}.{name}".lstrip("."))
            for name, parameter in module.named_parameters(recurse=False)
            if id(parameter) in tied
        ]
    return list(dict.fromkeys(names))


def _escaped(name: str) -> str:
    """A pattern that matches a name and nothing else."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def snapshot(
    tensors: Mapping[str, torch.Tensor], selection: ParameterSelection, copy: bool
) -> Snapshot:
    """The tensors that count, on the host.

    Args:
        tensors: all of the model's, by name; parts that `fully_shard` spread over ranks are
            gathered, which all ranks must ask for.
        selection: which of them count.
        copy: whether to copy those on the CPU too, so that training may go on.
    """
    import torch

    names = [*(matrix.tensor for matrix in selection.matrices), *selection.biases]
    arrays: dict[str, NDArray[Any]] = {}
    shared, events = False, []
    for name in dict.fromkeys(names):
        tensor = gathered(tensors[name].detach())
        if tensor.device.type == "cpu":
            host = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
            if copy and host.data_ptr() == tensor.data_ptr():
                host = host.clone()
            shared = shared or host.data_ptr() == tensor.data_ptr()
        else:
            source = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
            pinned = source.device.type == "cuda"
            host = torch.empty(source.shape, dtype=source.dtype, pin_memory=pinned)
            host.copy_(source, non_blocking=pinned)
            if pinned:
                event = torch.cuda.Event()
                event.record(torch.cuda.current_stream(source.device))
                events.append((event, source))
        arrays[name] = host.numpy()

    def ready() -> None:
        for event, _ in events:
            event.synchronize()

    return Snapshot(arrays, shared, ready)


def gathered(tensor: torch.Tensor) -> torch.Tensor:
    """The whole of a tensor that ranks hold parts of, on each of them; others as they are."""
    full = getattr(tensor, "full_tensor", None)
    return full() if callable(full) else tensor


def is_sharded(tensors: Mapping[str, Any]) -> bool:
    """Whether ranks hold parts of a tensor, so that all must take part in gathering it."""
    return any(callable(getattr(tensor, "full_tensor", None)) for tensor in tensors.values())


def is_first_rank() -> bool:
    """Whether this process is the one that records: the only one, or rank 0."""
    if "torch" in sys.modules:
        from torch import distributed

        if distributed.is_available() and distributed.is_initialized():
            return bool(distributed.get_rank() == 0)
    return os.environ.get("RANK", "0") in ("", "0")


def as_number(name: str, value: object) -> float:
    """A logged value: a number, or a tensor of one.

    Raises:
        InputError: if it is neither.
    """
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"record: {name} is {type(value).__name__}; expected a number, or a tensor of one"
        ) from error
    return float(np.float64(number))
