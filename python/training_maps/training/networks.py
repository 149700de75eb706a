"""Networks in training: what all kinds of them can do, so that one loop trains any.

Those of many seeds are stacked and stepped together (`side_by_side`), or one is trained on its own
(`alone`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from training_maps.training.recipe import Recipe
from training_maps.training.tasks import Task
from training_maps.utils.errors import InputError


class Networks(Protocol):
    """The networks of one or more seeds, in training."""

    evaluation_batch: int
    """Examples a seed evaluated at once: bounds memory, changes no result."""

    def step(self, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        """One optimiser update of each network, on its own batch: (n_seeds, batch, ...)."""

    def measure(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean loss and accuracy of each network: (2, n_seeds) in float64 on the device.

        Inputs and targets are (n_seeds, n, ...), or (1, n, ...) if all seeds share them.
        """

    def gradient_norms(self) -> torch.Tensor:
        """Each network's gradient in the last step, all parameters as one vector: its L2 norm.

        (n_seeds,) in float64 on the device; NaN before the first step. The gradient is that of the
        loss on the step's batch, at the parameters before the step; weight decay is not in it.
        """

    def tensors(self) -> dict[str, torch.Tensor]:
        """Parameters and buffers by name, stacked: (n_seeds, *shape), where they lie."""

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to `state`."""


def optimizer_of(
    recipe: Recipe, parameters: Iterable[torch.Tensor], fused: bool = True
) -> torch.optim.Optimizer:
    """The recipe's optimiser of `parameters`: one fused operation a step, or as torch writes it."""
    how: dict[str, Any] = {
        "lr": recipe.learning_rate,
        "weight_decay": recipe.weight_decay,
        "fused": fused,
        "foreach": False,
    }
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(list(parameters), momentum=recipe.momentum, **how)
    return torch.optim.AdamW(list(parameters), **how)


def norms_of(
    gradients: Sequence[torch.Tensor | None], n_seeds: int, device: torch.device
) -> torch.Tensor:
    """L2 norm of each network's gradient on `device`, from stacks (n_seeds, *shape).

    A None counts as zeros; if all are, the norms are NaN.
    """
    found = [gradient for gradient in gradients if gradient is not None]
    if not found:
        return torch.full((n_seeds,), float("nan"), dtype=torch.float64, device=device)
    norms = [
        torch.linalg.vector_norm(gradient.flatten(1), dim=1, dtype=torch.float64)
        if gradient.dim() > 1
        else gradient.double().abs()
        for gradient in found
    ]
    return torch.linalg.vector_norm(torch.stack(norms), dim=0)


def loss_and_accuracy(task: Task, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean loss, and share of the examples answered correctly: (2,) in float64."""
    loss, right = task.loss(outputs, targets), task.correct(outputs, targets)
    if loss.dim() != 0 or right.dim() != 1:
        raise InputError(
            f"task {type(task).__name__}: expected the loss of a batch as one number and what is "
            f"correct as one truth value an example; their shapes are {tuple(loss.shape)} and "
            f"{tuple(right.shape)} for outputs of shape {tuple(outputs.shape)}"
        )
    return torch.stack([loss.double(), right.double().mean()])


def measured(
    networks: Networks, pieces: Iterable[tuple[torch.Tensor, torch.Tensor]]
) -> tuple[np.ndarray, np.ndarray]:
    """Mean loss and accuracy of every network over the examples in `pieces`: (n_seeds,) each.

    Raises:
        InputError: if a network changes its inputs, which are the examples themselves.
    """
    sums, total = None, 0
    for inputs, targets in pieces:
        version = inputs._version
        piece = inputs.shape[1] * networks.measure(inputs, targets)
        sums = piece if sums is None else sums + piece
        total += inputs.shape[1]
        if inputs._version != version:
            raise InputError(
                "the network changes its inputs, the examples, in place; let its first layer not "
                "do so (inplace=False), or begin forward with inputs = inputs.clone()"
            )
    assert sums is not None  # `Examples` refuses data without examples
    loss, accuracy = (sums / total).cpu().numpy()
    return loss, accuracy
