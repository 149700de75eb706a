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
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from training_maps.settings.fields import fields_schema
from training_maps.settings.fields import setting as setting  # for tasks
from training_maps.utils.errors import InputError

if TYPE_CHECKING:
    import torch


@dataclasses.dataclass(frozen=True)
class Data:
    """A data set: inputs (n, ...) and targets (n, ...), for training and for evaluation.

    Inputs may be kept small, as images of uint8 are: where `mean` and `std` are given, the network
    sees (input - mean) / std in float32. Both broadcast against one input.
    """

    train_inputs: np.ndarray
    train_targets: np.ndarray
    eval_inputs: np.ndarray
    eval_targets: np.ndarray
    mean: np.ndarray | None = None
    std: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Task:
    """A learning task: its data, network and loss."""

    shared_data: ClassVar[bool] = False
    """Whether all runs have the same data, so that one copy in memory does for them."""

    profits_from_gpu: ClassVar[bool] = True
    """Whether training is faster on a GPU: the workflow then takes one where there is one.

    False for networks so small that a GPU would mostly wait for its next order.
    """

    @property
    def dataset(self) -> str | None:
        """The name of the data set that `training.datasets` loads for this task, if one."""
        return None

    @property
    def side_by_side(self) -> bool:
        """Whether networks of many seeds are stacked and stepped together.

        False for networks with buffers (batch norm) or randomness of their own (dropout), and for
        those so large that one of them keeps the device busy: a job trains these one by one.
        """
        return True

    def data(self, generator: np.random.Generator) -> Data:
        """The data set of one run, drawn from that run's own generator.

        Where all runs share their data (`shared_data`), the generator is the same in every job.
        """
        raise NotImplementedError

    def augmentation(self, generator: np.random.Generator, n: int) -> np.ndarray | None:
        """What is drawn for each of the `n` training examples, in each epoch again: (n, ...).

        None if training inputs are used as they are.
        """
        return None

    def augmentation_in_epoch(
        self, generator: np.random.Generator, n: int, epoch: int
    ) -> np.ndarray | None:
        """As `augmentation`, where it depends on how many passes over the data came before."""
        return self.augmentation(generator, n)

    def augment(self, inputs: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
        """A batch of training inputs, each changed as its row of `draws` says.

        Args:
            inputs: as in `Data`, not yet shifted and scaled: (batch, ...).
            draws: the rows of `augmentation` for these examples: (batch, ...).

        Returns:
            Inputs of the same shape and type.
        """
        raise NotImplementedError

    def network(self) -> torch.nn.Module:
        """A freshly initialised network; randomness comes from torch's global generator."""
        raise NotImplementedError

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean loss over a batch, a scalar tensor."""
        raise NotImplementedError

    def correct(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Whether each example of a batch is answered correctly: (batch,) of bool.

        Or how far, from 0 to 1: what is logged as accuracy is the mean.
        """
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Classification(Task):
    """A task whose outputs are logits (batch, n_classes) and whose targets are classes (batch,)."""

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Cross entropy, averaged over the batch."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs, targets)

    def correct(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Whether the class of the largest logit is the target."""
        return outputs.argmax(-1) == targets


def task_names() -> list[str]:
    """The names of all tasks: the modules of this package."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def task_class(name: str) -> type[Task]:
    """The class of the task called `name`.

    Raises:
        InputError: if there is no such task, or its module does not declare one as it should.
    """
    if name not in task_names():
        raise InputError(f"there is no task {name!r}; the tasks are {', '.join(task_names())}")
    try:
        module = importlib.import_module(f"{__name__}.{name}")
    except Exception as error:  # a task is its author's: whatever it raises, say where
        where = getattr(error, "filename", None) or f"tasks/{name}.py"
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise InputError(
            f"task {name}: {where}{line} cannot be imported ({type(error).__name__}: {error})"
        ) from error
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Task)
        and value.__module__ == module.__name__
    ]
    if len(classes) != 1:
        raise InputError(f"{module.__file__}: expected one subclass of Task, found {len(classes)}")
    if "__dataclass_fields__" not in vars(classes[0]):
        raise InputError(
            f"{module.__file__}: class {classes[0].__name__} is not a dataclass; put "
            "@dataclass(frozen=True) above it"
        )
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
    """A JSON Schema of the settings of the task called `name`."""
    return fields_schema(task_class(name))
