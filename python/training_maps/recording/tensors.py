"""A model's tensors while it trains, as the metrics take them: which count, and where they lie.

What counts is decided as of a checkpoint (docs/parameters.md). Here modules are known, and go
before names: what belongs to an embedding or a normalisation layer is left out whatever its name.
Tensors that share their memory count once, by the first name.

Tensors on the CPU are read where they lie. Those of a GPU are copied once, to pinned memory,
without holding up the stream; `Snapshot.wait` waits for the copies.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training_maps.metrics.module_types import modules_of
from training_maps.metrics.parameters import (
    NO_OVERRIDES,
    Overrides,
    ParameterSelection,
    select_parameters,
)
from training_maps.runs.derived_weights import Derived, find_derived, make, with_derived
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


_NUMPY_TYPES = {"float64": "F64", "float32": "F32", "float16": "F16"}


@dataclass(frozen=True, eq=False)
class Chosen:
    """Which of a model's tensors count.

    Attributes:
        selection: which of them, and as what.
        derived: those of them that are made of several tensors, by name, as weight norm makes them.
    """

    selection: ParameterSelection
    derived: Mapping[str, Derived]

    @property
    def parts(self) -> list[str]:
        """The tensors of the model that are needed."""
        names = [*(m.tensor for m in self.selection.matrices), *self.selection.biases]
        of_names = [self.derived[n].parts if n in self.derived else (n,) for n in names]
        return list(dict.fromkeys(part for parts in of_names for part in parts))


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Tensors that are needed, at one moment.

    Attributes:
        parts: by name, where they lie or as copies.
        shared: whether any of them is the model's own memory, which training will change.
        wait: waits until copies from a GPU have arrived.
    """

    parts: Mapping[str, NDArray[Any]]
    shared: bool
    wait: Callable[[], None]

    def arrays(self, chosen: Chosen) -> dict[str, NDArray[Any]]:
        """The tensors that count, by name; of a GPU, when they have arrived."""
        self.wait()
        typed = {
            name: (_NUMPY_TYPES[array.dtype.name], array) for name, array in self.parts.items()
        }
        bits = _bits(typed)
        made = {
            name: make(one, bits, "the model")[1]
            for name, one in chosen.derived.items()
            if set(one.parts) <= set(bits)
        }
        return {**self.parts, **made}


def _bits(typed: Mapping[str, tuple[str, NDArray[Any]]]) -> dict[str, tuple[str, NDArray[Any]]]:
    """Values of half precision as their bits, which parts of weights are given as."""
    return {
        name: (kind, array.view(np.uint16) if kind == "F16" else array)
        for name, (kind, array) in typed.items()
    }


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
    found: dict[str, torch.Tensor] = {}
    memory: set[tuple[Any, ...]] = set()
    for name, tensor in state.items():
        if not hasattr(tensor, "dtype"):
            continue
        if not callable(getattr(tensor, "full_tensor", None)) and tensor.numel():
            place = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
            if place in memory:
                continue  # tied to one that is there
            memory.add(place)
        found[bare_name(name)] = tensor
    return found


def bare_name(name: str) -> str:
    """A tensor's name without what wraps the model."""
    for wrapper in _WRAPPERS:
        name = name.removeprefix(wrapper)
    return name.replace("._orig_mod.", ".")


def select(
    model: Any, tensors: Mapping[str, torch.Tensor], overrides: Overrides = NO_OVERRIDES
) -> Chosen:
    """Which tensors count, from their names, types and shapes, and from the modules if known.

    Raises:
        InputError: if nothing counts, or a pattern matches nothing.
    """
    modules = {}
    if hasattr(model, "named_modules"):
        modules = {bare_name(name): one for name, one in modules_of(model).items()}
    described = [
        (name, _TYPES.get(str(tensor.dtype).removeprefix("torch."), "U8"), tuple(tensor.shape))
        for name, tensor in tensors.items()
    ]
    derived = find_derived(described)
    described = with_derived(described, derived)
    selection = select_parameters(described, "the model", overrides, modules)
    return Chosen(selection, {one.name: one for one in derived})


def snapshot(tensors: Mapping[str, torch.Tensor], chosen: Chosen, copy: bool) -> Snapshot:
    """The tensors that are needed, on the host.

    Args:
        tensors: all of the model's, by name; parts that `fully_shard` spread over ranks are
            gathered, which all ranks must ask for.
        chosen: which of them count.
        copy: whether to copy those on the CPU too, so that training may go on.
    """
    import torch

    parts: dict[str, NDArray[Any]] = {}
    shared, events = False, []
    for name in chosen.parts:
        tensor = gathered(tensors[name].detach())
        source = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
        if source.device.type == "cpu":
            own = source.data_ptr() == tensor.data_ptr()
            host = source.clone() if copy and own else source
            shared = shared or (own and not copy)
        else:
            pinned = source.device.type == "cuda"
            host = torch.empty(source.shape, dtype=source.dtype, pin_memory=pinned)
            host.copy_(source, non_blocking=pinned)
            if pinned:
                event = torch.cuda.Event()
                event.record(torch.cuda.current_stream(source.device))
                events.append((event, source))
        parts[name] = host.numpy()

    def wait() -> None:
        for event, _ in events:
            event.synchronize()

    return Snapshot(parts, shared, wait)


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
