"""What each tensor of a network is, by the type of its module: the side file `modules.json`.

A checkpoint has names and shapes; which module a tensor is of, only the network itself knows.
`describe_model` writes it down, and where the file lies beside a checkpoint, or in a folder around
it, it goes before the rules on names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, get_args

from training_maps.metrics.tensor_names import Tensor
from training_maps.metrics.tensor_rules import Kind
from training_maps.utils.errors import InputError
from training_maps.utils.files import made_by, read_json, write_json

if TYPE_CHECKING:
    import torch

FILE = "modules.json"
# In how many folders around a checkpoint the file is looked for: its own, the run's, all runs'.
_FOLDERS = 4


@dataclass(frozen=True)
class TensorOfModule:
    """What a tensor counts as by the type of its module, called `module`, and its shape there."""

    kind: Kind
    module: str
    shape: tuple[int, ...]

    @property
    def reason(self) -> str:
        """What is said of it."""
        return f"{FILE}: {self.module}"

    def fits(self, tensor: Tensor) -> bool:
        """Whether the file is of a tensor of this shape: of another network it is not believed."""
        return self.shape == tensor.shape


NO_MODULES: Mapping[str, TensorOfModule] = MappingProxyType({})


def describe_model(model: torch.nn.Module, path: str | os.PathLike[str]) -> dict[str, str]:
    """Write what each tensor of `model.state_dict()` is, by its module's type, as `modules.json`.

    Parameters that are of no layer that is known stay with the rules on names.

    Args:
        model: the network, trained or not; one on the device `meta` will do.
        path: the file, or the folder to write it in: that of the checkpoints, or of all runs.

    Returns:
        What each tensor counts as, by name.
    """
    known = modules_of(model)
    entries = {
        name: {"kind": one.kind, "module": one.module, "shape": list(one.shape)}
        for name, one in known.items()
    }
    path = Path(path)
    write_json({"tensors": entries, "made_by": made_by()}, path / FILE if path.is_dir() else path)
    return {name: str(one.kind) for name, one in known.items()}


def modules_of(model: torch.nn.Module) -> dict[str, TensorOfModule]:
    """What each tensor of `model.state_dict()` is, by its module's type; by name.

    Parameters that are of no layer that is known are not there.
    """
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    return {
        name: TensorOfModule(kind, module, shapes.get(name, tuple(shape)))
        for name, kind, module, shape in _tensors(model)
    }


def modules_beside(checkpoint: str | os.PathLike[str]) -> Mapping[str, TensorOfModule]:
    """What the nearest `modules.json` says; nothing if there is none in or around the checkpoint.

    Raises:
        InputError: if it is broken.
    """
    path = Path(checkpoint).absolute()
    for folder in [path, *path.parents][: _FOLDERS + 1]:
        file = folder / FILE
        if file.is_file():
            return read_modules(file)
    return NO_MODULES


def read_modules(file: Path) -> dict[str, TensorOfModule]:
    """What a `modules.json` says of each tensor, by name.

    Raises:
        InputError: if it is no such file.
    """
    data = read_json(file)
    try:
        found = {
            name: TensorOfModule(entry["kind"], str(entry["module"]), tuple(entry["shape"]))
            for name, entry in data["tensors"].items()
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(
            f"{file}: does not say what tensors are ({type(error).__name__}: {error}); write it "
            "again with training-maps describe-model"
        ) from error
    strange = next((name for name, one in found.items() if one.kind not in get_args(Kind)), None)
    if strange is not None:
        raise InputError(f"{file}: tensor '{strange}' is no {', '.join(get_args(Kind))}")
    return found


def _tensors(model: torch.nn.Module) -> Iterator[tuple[str, Kind, str, list[int]]]:
    """Name, kind, module's type and shape of each tensor that a module's type decides on."""
    outputs = {id(parameter) for parameter in _output_parameters(model)}
    for name, module in model.named_modules(remove_duplicate=False):
        kept = module.state_dict()  # not of what is registered as not persistent
        for own, buffer in module.named_buffers(recurse=False):
            if own in kept:
                yield _joined(name, own), "left out", "a buffer", list(buffer.shape)
        for own, tensor in _parameters(module):
            kind = _kind(module, own)
            if id(tensor) in outputs:
                kind = "left out"
            if kind is not None:
                yield _joined(name, own), kind, _type(module), list(tensor.shape)


def _parameters(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """A module's own parameters; of one with parametrisations, also what these make."""
    from torch.nn.utils import parametrize

    yield from module.named_parameters(recurse=False)
    if parametrize.is_parametrized(module):
        for own in module.parametrizations:  # type: ignore[union-attr]
            yield own, getattr(module, own)


def _kind(module: torch.nn.Module, own: str) -> Kind | None:
    """What a parameter of a module counts as; None if the module's type does not tell."""
    import torch
    from torch import nn

    names = [base.__name__ for base in type(module).__mro__]
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return "left out"
    if any("Norm" in name for name in names):
        return "left out"
    layers = (nn.Linear, nn.Bilinear, nn.modules.conv._ConvNd)
    of_layer = isinstance(module, layers) or "Conv1D" in names
    stacks = (nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention)
    if isinstance(module, stacks) or (of_layer and own in ("weight", "bias")):
        return "bias" if "bias" in own else "weight"
    if isinstance(module, torch.nn.PReLU):
        return "left out"
    return None


def _output_parameters(model: torch.nn.Module) -> Iterator[torch.Tensor]:
    """The parameters of the layers that transformers calls output embeddings, in any part."""
    for module in model.modules():
        ask: Any = getattr(module, "get_output_embeddings", None)
        try:
            layer = ask() if ask else None
        except (AttributeError, NotImplementedError):
            layer = None
        if layer is not None and hasattr(layer, "parameters"):
            yield from layer.parameters()


def _type(module: torch.nn.Module) -> str:
    name = type(module).__name__
    return name.removeprefix("Parametrized")


def _joined(module: str, own: str) -> str:
    return f"{module}.{own}" if module else own
