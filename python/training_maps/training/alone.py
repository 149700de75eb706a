"""One network on its own: for the large, and for those with a state or randomness of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch

from training_maps.training.networks import loss_and_accuracy, norms_of, optimizer_of
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import Task


class Alone:
    """One network, with torch's own automatic differentiation: for the large and the stateful."""

    def __init__(self, task: Task, network: torch.nn.Module, recipe: Recipe, device: str) -> None:
        """Put the network on `device`, in the memory layout that suits its convolutions."""
        self._task, self._device = task, torch.device(device)
        convolves = any(parameter.dim() == 4 for parameter in network.parameters())
        layout = torch.channels_last if convolves else torch.preserve_format
        self._network = network.to(device, memory_format=layout)  # type: ignore[call-overload]
        # Steps alone: each size of a piece that is evaluated would be compiled anew.
        self._compiled = torch.compile(self._network) if recipe.compile else self._network
        self._optimizer = optimizer_of(recipe, self._network.parameters())
        self._bfloat16 = recipe.precision == "bfloat16"
        self._layout = layout
        self.evaluation_batch = 2048 if self._device.type == "cuda" else 512

    def _outputs(self, forward: Callable[..., Any], inputs: torch.Tensor) -> torch.Tensor:
        if inputs.dim() == 4:
            inputs = inputs.contiguous(memory_format=self._layout)
        context: contextlib.AbstractContextManager[Any] = (
            torch.autocast(self._device.type, torch.bfloat16)
            if self._bfloat16
            else contextlib.nullcontext()
        )
        with context:
            return forward(inputs)

    def step(self, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        """One update; losses are always taken in float32."""
        self._network.train()
        self._optimizer.zero_grad(set_to_none=True)
        self._task.loss(self._outputs(self._compiled, inputs[0]).float(), targets[0]).backward()
        self._optimizer.step()

    @torch.no_grad()
    def measure(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss and accuracy with the network in evaluation mode."""
        self._network.eval()
        outputs = self._outputs(self._network, inputs[0]).float()
        return loss_and_accuracy(self._task, outputs, targets[0])[:, None]

    def gradient_norms(self) -> torch.Tensor:
        """The one network's."""
        stacks = [None if p.grad is None else p.grad[None] for p in self._network.parameters()]
        return norms_of(stacks, 1, self._device)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Parameters and buffers, each as a stack of one; what has two names is there once."""
        state = self._network.state_dict()
        own = dict(self._network.named_parameters()) | dict(self._network.named_buffers())
        return {name: value.detach()[None] for name, value in state.items() if name in own}

    def state(self) -> dict[str, Any]:
        """Parameters, buffers and the optimiser's state."""
        return {
            "network": self._network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to `state`."""
        self._network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
