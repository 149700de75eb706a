"""Networks in training: those of many seeds stacked and stepped together, or one on its own.

Both kinds have the same methods, so that one loop trains either.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from training_maps.training.recipe import Recipe
from training_maps.training.tasks import Task
from training_maps.utils.errors import InputError

logger = logging.getLogger("training_maps")

_OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adamw": torch.optim.AdamW,
}


# Of errors that are no `torch.OutOfMemoryError`: what a CPU's allocator and CUDA's libraries say.
_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "ALLOC_FAILED",
    "ALLOCATION_FAILED",  # cuDNN 9
    "CUBLAS_STATUS_NOT_INITIALIZED",  # cuBLAS, where it finds no room for its workspace
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device, or the machine, has no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(words in text for words in _OUT_OF_MEMORY)


def is_of_device(error: BaseException) -> bool:
    """Whether an error is the device's, or its libraries', and tells nothing of a network."""
    return isinstance(error, torch.AcceleratorError) or str(error).startswith(("CUDA", "cuDNN"))


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
        self._optimizer = _optimizer(recipe, self.parameters.values())
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

        def loss(
            parameters: dict[str, torch.Tensor], inputs: torch.Tensor, targets: torch.Tensor
        ) -> torch.Tensor:
            return self._task.loss(functional_call(self._network, parameters, (inputs,)), targets)

        def gradients(*arguments: torch.Tensor) -> tuple[torch.Tensor, ...]:
            *values, inputs, targets = arguments
            found = vmap(grad(loss))(dict(zip(names, values, strict=True)), inputs, targets)
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
            return _loss_and_accuracy(self._task, outputs, targets)

        if len(inputs) < self._n_seeds:
            of_all = vmap(one, in_dims=(0, None, None))(self.parameters, inputs[0], targets[0])
        else:
            of_all = vmap(one)(self.parameters, inputs, targets)
        return of_all.T

    def gradient_norms(self) -> torch.Tensor:
        """Each network's own, from the stacked gradients."""
        return _norms([value.grad for value in self.parameters.values()], self._n_seeds)

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


class Alone:
    """One network, with torch's own automatic differentiation: for the large and the stateful."""

    def __init__(self, task: Task, network: torch.nn.Module, recipe: Recipe, device: str) -> None:
        """Put the network on `device`, in the memory layout that suits its convolutions."""
        self._task, self._device = task, torch.device(device)
        convolves = any(parameter.dim() == 4 for parameter in network.parameters())
        layout = torch.channels_last if convolves else torch.preserve_format
        self._network = network.to(device, memory_format=layout)  # type: ignore[call-overload]
        self._forward = torch.compile(self._network) if recipe.compile else self._network
        self._optimizer = _optimizer(recipe, self._network.parameters())
        self._bfloat16 = recipe.precision == "bfloat16"
        self._layout = layout
        self.evaluation_batch = 2048 if self._device.type == "cuda" else 512

    def _outputs(self, inputs: torch.Tensor) -> torch.Tensor:
        if inputs.dim() == 4:
            inputs = inputs.contiguous(memory_format=self._layout)
        context: contextlib.AbstractContextManager[Any] = (
            torch.autocast(self._device.type, torch.bfloat16)
            if self._bfloat16
            else contextlib.nullcontext()
        )
        with context:
            return self._forward(inputs)

    def step(self, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        """One update; losses are always taken in float32."""
        self._network.train()
        self._optimizer.zero_grad(set_to_none=True)
        self._task.loss(self._outputs(inputs[0]).float(), targets[0]).backward()
        self._optimizer.step()

    @torch.no_grad()
    def measure(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss and accuracy with the network in evaluation mode."""
        self._network.eval()
        outputs = self._outputs(inputs[0]).float()
        return _loss_and_accuracy(self._task, outputs, targets[0])[:, None]

    def gradient_norms(self) -> torch.Tensor:
        """The one network's."""
        stacks = [
            None if value.grad is None else value.grad[None] for value in self._network.parameters()
        ]
        return _norms(stacks, 1)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Parameters and buffers, each as a stack of one."""
        return {name: value.detach()[None] for name, value in self._network.state_dict().items()}

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


def _optimizer(recipe: Recipe, parameters: Iterable[torch.Tensor]) -> torch.optim.Optimizer:
    return _OPTIMIZERS[recipe.optimizer](
        list(parameters), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )


def _norms(gradients: Sequence[torch.Tensor | None], n_seeds: int) -> torch.Tensor:
    """L2 norm of each network's gradient, from stacks (n_seeds, *shape); a None counts as zeros."""
    found = [gradient for gradient in gradients if gradient is not None]
    if not found:
        return torch.full((n_seeds,), float("nan"), dtype=torch.float64)
    norms = [
        torch.linalg.vector_norm(gradient.flatten(1), dim=1, dtype=torch.float64)
        if gradient.dim() > 1
        else gradient.double().abs()
        for gradient in found
    ]
    return torch.linalg.vector_norm(torch.stack(norms), dim=0)


def _loss_and_accuracy(task: Task, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
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
    """Mean loss and accuracy of every network over the examples in `pieces`: (n_seeds,) each."""
    sums, total = None, 0
    for inputs, targets in pieces:
        piece = inputs.shape[1] * networks.measure(inputs, targets)
        sums = piece if sums is None else sums + piece
        total += inputs.shape[1]
    assert sums is not None  # `Examples` refuses data without examples
    loss, accuracy = (sums / total).cpu().numpy()
    return loss, accuracy


def traced(
    function: Callable[..., Any],
    arguments: tuple[torch.Tensor, ...],
    compiled: bool = False,
) -> Callable[..., Sequence[torch.Tensor]]:
    """`function` as plain tensor operations, for arguments of the shapes of `arguments`.

    Small networks' steps are short, and most of their time goes into dispatching: tracing takes the
    cost of the transforms (vmap, grad) out of every step, and on a CPU TorchScript that of Python
    too; together about half. Values stay the same to the bit. (torch calls TorchScript's tracing
    deprecated in favour of `torch.compile`, which needs a C++ compiler and half a minute to start;
    `compiled` asks for it.)
    """
    graph = make_fx(function)(*arguments)
    if compiled:
        return torch.compile(graph)
    if arguments[0].device.type != "cpu":
        return graph
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        try:
            return torch.jit.trace(graph, arguments, check_trace=False)
        except RuntimeError as error:
            # Some gradients, a convolution's for one, have no TorchScript: Python runs the graph.
            logger.debug("not traced by TorchScript: %s", error)
            return graph
