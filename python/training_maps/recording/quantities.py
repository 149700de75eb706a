"""What only the training loop sees of a step, to record beside the weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

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


class UpdateSize:
    """The L2 norm of what one optimiser step changes, all parameters taken as one vector.

    It takes a copy of the parameters from before the step to after it.
    """

    def __init__(self) -> None:
        """Begin without a step."""
        self._before: list[torch.Tensor] = []

    def before(self, parameters: Iterable[torch.Tensor]) -> None:
        """Keep the parameters as they are before a step."""
        self._before = [parameter.detach().clone() for parameter in parameters]

    def after(self, parameters: Iterable[torch.Tensor]) -> float | None:
        """How far the step has moved them; None if `before` was not called."""
        import torch

        if not self._before:
            return None
        squares = [
            torch.sum(torch.square(gathered(now.detach() - before).double()))
            for now, before in zip(parameters, self._before, strict=True)
        ]
        self._before = []
        return float(torch.stack(squares).sum().sqrt())


class ActivationNorm:
    """The root mean square of what layers put out in a forward pass, the mean over layers.

    Layers are the modules without modules in them that have parameters. Their outputs are looked at
    between `start` and `stop` alone, and nothing is kept of them but a number.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        """Look at the layers of a model, when it is asked to."""
        self._layers = [
            module
            for module in model.modules()
            if not any(module.children()) and any(True for _ in module.parameters(recurse=False))
        ]
        self._hooks: list[Any] = []
        self._squares: list[torch.Tensor] = []

    def start(self) -> None:
        """Look at the passes from now on."""
        self.stop()
        self._hooks = [layer.register_forward_hook(self._look) for layer in self._layers]

    def stop(self) -> float | None:
        """Look no more; returns what was seen, None if there was no pass."""
        import torch

        for hook in self._hooks:
            hook.remove()
        seen, self._hooks, self._squares = self._squares, [], []
        return float(torch.stack(seen).mean()) if seen else None

    def _look(self, layer: torch.nn.Module, given: object, output: object) -> None:
        import torch

        if isinstance(output, torch.Tensor) and output.is_floating_point():
            self._squares.append(output.detach().double().square().mean().sqrt())


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
