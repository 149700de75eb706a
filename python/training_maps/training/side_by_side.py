"""The networks of many seeds, stacked along a leading dimension and stepped together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.func import functional_call, grad, vjp, vmap

from training_maps.training.devices import is_of_device, is_out_of_memory
from training_maps.training.first_step import (
    DRAWS_RANDOM_NUMBERS,
    cannot_be_stacked,
    check_gradients,
    check_update,
    plain_gradients,
)
from training_maps.training.matrix_products import networks_at_once
from training_maps.training.networks import loss_and_accuracy, norms_of, optimizer_of
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import Task
from training_maps.training.tracing import traced
from training_maps.utils.errors import InputError

# What torch says of a network that has no batched form, in words of its author.
_BY_VALUE = "its networks go by a tensor's values, in a branch or as a number"
_REASONS = {
    ".item()": _BY_VALUE,
    "data-dependent": _BY_VALUE,
    "random operation": DRAWS_RANDOM_NUMBERS,
}


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
        self._task, self._recipe = task, recipe
        self._n_seeds, self._device = len(networks), torch.device(device)
        self.parameters = _stacked(task, networks, device)
        # Its structure, and the twin of the first step; the values are in `parameters`.
        self._network = networks[0].to(device)
        self._trained = [name for name, p in self._network.named_parameters() if p.requires_grad]
        self._optimizer = optimizer_of(recipe, self.parameters.values())
        self._gradients: dict[torch.Size, Callable[..., Sequence[torch.Tensor]]] = {}
        self._measures: dict[torch.Size, Callable[..., torch.Tensor]] = {}
        self._checked = False
        # On a CPU so small that what a layer computes stays in the cache: a third faster than 4096.
        at_once = 2**18 if self._device.type == "cuda" else 4096
        self.evaluation_batch = max(256, at_once // self._n_seeds)

    @torch.no_grad()
    def step(self, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        """One update; the function that gives the gradients is traced once for each batch size.

        Raises:
            InputError: in the first step, if the networks cannot be stacked, or if one of them is
                not updated as it would be alone.
        """
        if not self._checked:
            self._first_step(inputs, targets)
            return
        self._differentiate(inputs, targets)
        self._optimizer.step()

    def _differentiate(self, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        """Give each trained parameter its gradient on a batch."""
        if inputs.shape not in self._gradients:
            self._gradients[inputs.shape] = self._gradient_function(inputs, targets)
        gradients = self._gradients[inputs.shape](*self.parameters.values(), inputs, targets)
        for name, gradient in zip(self._trained, gradients, strict=True):
            # The fused optimisers go by the memory, not by the strides, of what they are given.
            self.parameters[name].grad = gradient.contiguous()

    def _first_step(self, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        """The first step of a job, compared with what the first network alone would do."""
        batch = (inputs[0], targets[0])
        before = {name: value[0].clone() for name, value in self.parameters.items()}
        plain = plain_gradients(self._task, self._network, before, *batch)
        # What the loss does not depend on has no gradient, and no optimiser touches it.
        self._trained = [name for name in self._trained if plain[name] is not None]
        self._differentiate(inputs, targets)
        gradients = {
            name: None if value.grad is None else value.grad[0].clone()
            for name, value in self.parameters.items()
        }
        precision = self._recipe.precision
        check_gradients(self._task, self._network, plain, gradients, batch, precision)
        states = {
            name: of_rows(self._optimizer.state.get(value, {}), 0)
            for name, value in self.parameters.items()
        }
        self._optimizer.step()
        after = {name: value[0] for name, value in self.parameters.items()}
        check_update(self._task, self._recipe, before, after, gradients, states)
        self._checked = True

    def _gradient_function(
        self, inputs: torch.Tensor, targets: torch.Tensor
    ) -> Callable[..., Sequence[torch.Tensor]]:
        """All networks' gradients: (*parameters, inputs, targets) to (*those of `_trained`)."""
        names, trained = list(self.parameters), list(self._trained)
        at_once = networks_at_once(self.parameters.values(), inputs)

        def loss(
            of_trained: dict[str, torch.Tensor],
            others: dict[str, torch.Tensor],
            inputs: torch.Tensor,
            targets: torch.Tensor,
        ) -> torch.Tensor:
            outputs = functional_call(self._network, of_trained | others, (inputs,))
            return self._task.loss(outputs, targets)

        def gradients(*arguments: torch.Tensor) -> tuple[torch.Tensor, ...]:
            *values, inputs, targets = arguments
            others = dict(zip(names, values, strict=True))
            of_trained = {name: others.pop(name) for name in trained}
            of_all = vmap(grad(loss), chunk_size=None if self._recipe.compile else at_once)
            found = of_all(of_trained, others, inputs, targets)
            return tuple(found[name] for name in trained)

        self._network.train()
        return self._traced(gradients, inputs, targets, self._recipe.compile)

    def _traced(
        self,
        function: Callable[..., Any],
        inputs: torch.Tensor,
        targets: torch.Tensor,
        compiled: bool = False,
    ) -> Callable[..., Any]:
        """A function of (*parameters, inputs, targets), traced on such inputs and targets.

        Raises:
            InputError: if it has no trace, though one network alone can be computed.
        """
        arguments = (*self.parameters.values(), inputs, targets)
        try:
            return traced(function, arguments, compiled=compiled)
        except RuntimeError as error:
            if is_out_of_memory(error) or is_of_device(error):
                raise
            first = str(error).splitlines()[0]
        self._network(inputs[0])  # what is wrong with the network itself is told as it is
        known = (words for mark, words in _REASONS.items() if mark in first)
        raise cannot_be_stacked(self._task, next(known, first))

    @torch.no_grad()
    def measure(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss and accuracy; examples that all seeds share are not copied for each of them."""
        if inputs.shape not in self._measures:
            self._measures[inputs.shape] = self._measuring_function(inputs, targets)
        return self._measures[inputs.shape](*self.parameters.values(), inputs, targets)

    def _measuring_function(
        self, inputs: torch.Tensor, targets: torch.Tensor
    ) -> Callable[..., torch.Tensor]:
        """All networks' loss and accuracy: (*parameters, inputs, targets) to (2, n_seeds)."""
        names, shared = list(self.parameters), len(inputs) < self._n_seeds
        kinds = (torch.nn.RNNBase, torch.nn.RNNCellBase)
        recurrent = any(isinstance(part, kinds) for part in self._network.modules())

        def one(
            parameters: dict[str, torch.Tensor], inputs: torch.Tensor, targets: torch.Tensor
        ) -> torch.Tensor:
            def forward(parameters: dict[str, torch.Tensor]) -> torch.Tensor:
                return functional_call(self._network, parameters, (inputs,))

            # Differentiable, though nothing is differentiated: some layers, an LSTM for one, are
            # a stack of operations only then, and else one that has no batched form.
            outputs = vjp(forward, parameters)[0] if recurrent else forward(parameters)
            return loss_and_accuracy(self._task, outputs, targets)

        def measures(*arguments: torch.Tensor) -> torch.Tensor:
            *values, inputs, targets = arguments
            parameters = dict(zip(names, values, strict=True))
            if shared:
                return vmap(one, in_dims=(0, None, None))(parameters, inputs[0], targets[0]).T
            return vmap(one)(parameters, inputs, targets).T

        self._network.eval()
        return self._traced(measures, inputs, targets)

    def gradient_norms(self) -> torch.Tensor:
        """Each network's own, from the stacked gradients."""
        return norms_of([v.grad for v in self.parameters.values()], self._n_seeds, self._device)

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


def _stacked(
    task: Task, networks: Sequence[torch.nn.Module], device: str
) -> dict[str, torch.Tensor]:
    """The parameters of all networks by name, a tied one once: (n_seeds, *shape) on `device`."""
    kinds = [{n: (p.shape, p.dtype) for n, p in one.named_parameters()} for one in networks]
    for kind in kinds:
        if kind != kinds[0]:
            different = sorted(dict(kind.items() ^ kinds[0].items()))
            reason = f"those of different seeds have other parameters: {different[0]}"
            raise cannot_be_stacked(task, reason)
    of_all = [dict(one.named_parameters()) for one in networks]
    return {
        name: torch.stack([of_one[name].detach() for of_one in of_all]).to(device)
        for name in kinds[0]
    }


def of_rows(state: Any, rows: Sequence[int] | int) -> Any:
    """Of a state of networks side by side, that of some of them, or of one, by their places.

    All its tensors are stacked, but for counts of steps, which are one number.
    """
    if isinstance(state, torch.Tensor):
        places = rows if isinstance(rows, int) else list(rows)
        return state[places].clone() if state.dim() else state.clone()
    if isinstance(state, dict):
        return {key: of_rows(value, rows) for key, value in state.items()}
    return state
