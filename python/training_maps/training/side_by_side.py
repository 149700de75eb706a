"""The networks of many seeds, stacked along a leading dimension and stepped together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.func import functional_call, grad, stack_module_state, vmap

from training_maps.training.devices import is_of_device, is_out_of_memory
from training_maps.training.matrix_products import networks_at_once
from training_maps.training.networks import loss_and_accuracy, norms_of, optimizer_of
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import Task
from training_maps.training.tracing import traced
from training_maps.utils.errors import InputError


class SideBySide:
    """The networks of several seeds, stacked: one batched operation for all of them."""

    def __init__(
        self, task: Task, networks: Sequence[torch.nn.Module], recipe: Recipe, device: str
    ) -> None:
        """Stack the networks' parameters on `device`.

        Raises:
            InputError: if the networks have buffers, or the recipe asks for bfloat16.
        """
        buffers = [name for name, _ in networks[0].named_buffers()]
        if buffers or recipe.precision == "bfloat16":
            what = f"its network has buffers ({buffers[0]}, ...)" if buffers else "bfloat16"
            raise InputError(
                f"task {type(task).__name__}: {what}, so its networks cannot be trained side by "
                "side; let its side_by_side be False, or change training.precision"
            )
        self._task, self._compile = task, recipe.compile
        self._n_seeds = len(networks)
        stacked, _ = stack_module_state(list(networks))
        self.parameters = {name: value.detach().to(device) for name, value in stacked.items()}
        self._network = networks[0].to("meta")  # its structure; the values are in `parameters`
        self._optimizer = optimizer_of(recipe, self.parameters.values())
        self._gradients: dict[torch.Size, Callable[..., Sequence[torch.Tensor]]] = {}
        # So small that what a layer computes stays in a CPU's cache: a third faster than 4096.
        self.evaluation_batch = max(256, 4096 // self._n_seeds)

    @torch.no_grad()
    def step(self, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        """One update; the function that gives the gradients is traced once for each batch size."""
        parameters = self.parameters.values()
        if inputs.shape not in self._gradients:
            self._gradients[inputs.shape] = self._gradient_function(inputs, targets)
        gradients = self._gradients[inputs.shape](*parameters, inputs, targets)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            # The fused optimisers go by the memory, not by the strides, of what they are given.
            parameter.grad = gradient.contiguous()
        self._optimizer.step()

    def _gradient_function(
        self, inputs: torch.Tensor, targets: torch.Tensor
    ) -> Callable[..., Sequence[torch.Tensor]]:
        """All networks' gradients: (*parameters, inputs, targets) to (*gradients)."""
        names = list(self.parameters)
        at_once = None if self._compile else networks_at_once(self.parameters.values(), inputs)

        def loss(
            parameters: dict[str, torch.Tensor], inputs: torch.Tensor, targets: torch.Tensor
        ) -> torch.Tensor:
            return self._task.loss(functional_call(self._network, parameters, (inputs,)), targets)

        def gradients(*arguments: torch.Tensor) -> tuple[torch.Tensor, ...]:
            *values, inputs, targets = arguments
            of_all = vmap(grad(loss), chunk_size=at_once)
            found = of_all(dict(zip(names, values, strict=True)), inputs, targets)
            return tuple(found[name] for name in names)

        arguments = (*self.parameters.values(), inputs, targets)
        try:
            return traced(gradients, arguments, compiled=self._compile)
        except RuntimeError as error:  # dropout, or a branch on a value: what cannot be stacked
            if is_out_of_memory(error) or is_of_device(error):
                raise
            raise InputError(
                f"task {type(self._task).__name__}: its networks cannot be trained side by side "
                f"({str(error).splitlines()[0]}); let its side_by_side be False"
            ) from error

    @torch.no_grad()
    def measure(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss and accuracy; examples that all seeds share are not copied for each of them."""

        def one(
            parameters: dict[str, torch.Tensor], inputs: torch.Tensor, targets: torch.Tensor
        ) -> torch.Tensor:
            outputs = functional_call(self._network, parameters, (inputs,))
            return loss_and_accuracy(self._task, outputs, targets)

        if len(inputs) < self._n_seeds:
            of_all = vmap(one, in_dims=(0, None, None))(self.parameters, inputs[0], targets[0])
        else:
            of_all = vmap(one)(self.parameters, inputs, targets)
        return of_all.T

    def gradient_norms(self) -> torch.Tensor:
        """Each network's own, from the stacked gradients."""
        return norms_of([value.grad for value in self.parameters.values()], self._n_seeds)

    def tensors(self) -> dict[str, torch.Tensor]:
        """The stacked parameters; there are no buffers."""
        return self.parameters

    def state(self) -> dict[str, Any]:
        """Parameters and the optimiser's state."""
        return {"parameters": self.parameters, "optimizer": self._optimizer.state_dict()}

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        """Go back to `state`."""
        for name, value in state["parameters"].items():
            self.parameters[name].copy_(value)
        self._optimizer.load_state_dict(state["optimizer"])


def of_rows(state: Any, rows: Sequence[int]) -> Any:
    """Of a state of networks side by side, that of some of them, by their places.

    All its tensors are stacked, but for counts of steps, which are one number.
    """
    if isinstance(state, torch.Tensor):
        return state[list(rows)].clone() if state.dim() else state
    if isinstance(state, dict):
        return {key: of_rows(value, rows) for key, value in state.items()}
    return state
