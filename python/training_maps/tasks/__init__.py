"""What is trained: one module a task, each with one subclass of `Task` named after nothing else.

A task is a frozen dataclass. Its fields are the task's own settings, declared with `setting`, and
the config's schema is made from them: the module is all there is to write. Modules here import
numpy at the top and torch only inside the methods that need it, because the workflow reads their
settings in every job.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from training_maps.errors import InputError

if TYPE_CHECKING:
    import torch

_JSON_TYPES = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}


@dataclasses.dataclass(frozen=True)
class Data:
    """A data set: inputs (n, ...) and targets (n, ...), for training and for evaluation."""

    train_inputs: np.ndarray
    train_targets: np.ndarray
    eval_inputs: np.ndarray
    eval_targets: np.ndarray


@dataclasses.dataclass(frozen=True)
class Task:
    """A learning task: its data, network and loss."""

    def data(self, generator: np.random.Generator) -> Data:
        """The data set of one run, drawn from that run's own generator."""
        raise NotImplementedError

    def network(self) -> torch.nn.Module:
        """A freshly initialised network; randomness comes from torch's global generator."""
        raise NotImplementedError

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean loss over a batch, a scalar tensor."""
        raise NotImplementedError

    def correct(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Whether each example of a batch is answered correctly: (batch,) of bool."""
        raise NotImplementedError


def setting(default: Any, description: str, **limits: Any) -> Any:
    """A field of a task: its default, what it means, and JSON Schema limits (minimum=1, ...)."""
    return dataclasses.field(
        default=default, metadata={"schema": {"description": description, **limits}}
    )


def task_names() -> list[str]:
    """The names of all tasks: the modules of this package."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def task_class(name: str) -> type[Task]:
    """The class of the task called `name`.

    Raises:
        InputError: if there is no such task.
    """
    if name not in task_names():
        raise InputError(f"there is no task {name!r}; the tasks are {', '.join(task_names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Task)
        and value.__module__ == module.__name__
    ]
    if len(classes) != 1:
        raise InputError(f"{module.__file__}: expected one subclass of Task, found {len(classes)}")
    return classes[0]


def make_task(name: str, settings: Mapping[str, Any]) -> Task:
    """The task called `name` with `settings`; others than its fields are refused."""
    cls = task_class(name)
    known = [field.name for field in dataclasses.fields(cls)]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise InputError(
            f"task {name} has no setting {', '.join(unknown)}; it has {', '.join(known) or 'none'}"
        )
    return cls(**settings)


def settings_schema(name: str) -> dict[str, Any]:
    """A JSON Schema of the task's own settings, made from its fields."""
    properties = {}
    for field in dataclasses.fields(task_class(name)):
        properties[field.name] = {
            "type": _JSON_TYPES[str(field.type)],
            "default": field.default,
            **field.metadata.get("schema", {}),
        }
    return {"type": "object", "properties": properties, "additionalProperties": False}
