"""What only the training loop sees of a step, to record beside the weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from training_maps.recording.tensors import gathered

if TYPE_CHECKING:
    import torch


def gradient_norm(parameters: Iterable[torch.Tensor]) -> float:
    """The L2 norm of the gradient, all parameters taken as one vector; 0 where there is none."""
    import torch

    squares = [
        torch.sum(torch.square(gathered(parameter.grad.detach()).double()))
        for parameter in parameters
        if parameter.grad is not None
    ]
    return float(torch.stack(squares).sum().sqrt()) if squares else 0.0


def learning_rate(optimizer: torch.optim.Optimizer) -> float:
    """The learning rate of an optimiser's first group of parameters."""
    return float(optimizer.param_groups[0]["lr"])


def renamed(logs: Mapping[str, object], columns: Mapping[str, str]) -> dict[str, float]:
    """Numbers that a trainer logged, under the workflow's names.

    Args:
        logs: by the trainer's names; what is no number is left out.
        columns: by the workflow's name, the trainer's: {"eval_accuracy": "val/acc"}.
    """
    new = {theirs: ours for ours, theirs in columns.items()}
    found = {}
    for name, value in logs.items():
        try:
            found[new.get(name, name)] = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, RuntimeError):
            continue
    return found
