"""The first step of networks side by side, against that of one of them as torch trains it alone.

A stacked network is traced, and all that is no tensor operation stands in the trace as it was then.
What cannot be in a trace, and a fault in stacking, would make other networks and say nothing: so
every job compares its first step with a plain one, and names the parameter that differs. It takes
one network's forward and backward pass, and one update.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from training_maps.training.networks import optimizer_of
from training_maps.training.random_streams import numpy_state
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import Task
from training_maps.utils.errors import InputError

DRAWS_RANDOM_NUMBERS = "its networks draw random numbers, as dropout does"
Gradients = Mapping[str, torch.Tensor | None]

# Of a parameter's gradient: how far rounding may move it, and the part of all parameters' gradient
# below which it is nothing but rounding (a bias in front of a norm, say).
_GRADIENT = {"float32": 1e-3, "tf32": 3e-2}
_NOTHING = {"float32": 1e-5, "tf32": 1e-3}
# Of an update by the same gradient, and of the parameter that is updated.
_UPDATE, _PARAMETER = 1e-3, 1e-6


def cannot_be_stacked(task: Task, reason: str) -> InputError:
    """The error of a task whose networks cannot be trained side by side."""
    return InputError(
        f"task {type(task).__name__}: its networks cannot be trained side by side ({reason}); let "
        "its side_by_side be False"
    )


def plain_gradients(
    task: Task,
    network: torch.nn.Module,
    values: Mapping[str, torch.Tensor],
    inputs: torch.Tensor,
    targets: torch.Tensor,
) -> dict[str, torch.Tensor | None]:
    """The gradient of one network on one batch, by torch's own differentiation.

    Args:
        task: whose loss it is.
        network: a network of the task; its parameters become `values`.
        values: every parameter by name.
        inputs: a batch, (batch, ...).
        targets: the same of targets.

    Returns:
        By parameter; None for one that is frozen, or that the loss does not depend on.

    Raises:
        InputError: if a pass draws random numbers or changes what a trace would keep as it was.
    """
    before = _random_state(), _attributes(network)
    network.train()
    with torch.enable_grad():
        for name, parameter in network.named_parameters():
            parameter.data.copy_(values[name])
        trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
        loss = task.loss(network(inputs), targets)
        found = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
    random_before, attributes_before = before
    if _random_state() != random_before:
        raise cannot_be_stacked(task, DRAWS_RANDOM_NUMBERS)
    for name, value in _attributes(network).items():
        if attributes_before.get(name, value) != value:
            raise cannot_be_stacked(task, f"its networks change {name} as they compute")
    return dict.fromkeys(values) | dict(zip(trained, found, strict=True))


def check_gradients(
    task: Task,
    network: torch.nn.Module,
    plain: Gradients,
    stacked: Gradients,
    batch: tuple[torch.Tensor, torch.Tensor],
    precision: str,
) -> None:
    """Compare the gradient of a network in the stack with that of the network alone.

    Args:
        task: of the networks.
        network: the network alone, its parameters as they are in the stack.
        plain: its gradient by `plain_gradients`.
        stacked: its gradient in the stack; None where `plain` has None.
        batch: inputs and targets of both.
        precision: that of the recipe.

    Raises:
        InputError: naming the parameter whose gradients differ by more than rounding.
    """
    off = _differing(plain, stacked, precision)
    if not off:
        return
    # Rounding may be worse than usual: by how much tells the plain gradient's own error.
    exact = _exact_gradients(task, network, *batch) or plain
    for name, apart in off.items():
        truth, alone, among = (_double(found[name]) for found in (exact, plain, stacked))
        if not _norm(among - truth) <= 10 * _norm(alone - truth):
            raise _fault(task, name, "gradient", apart)


def check_update(
    task: Task,
    recipe: Recipe,
    before: Mapping[str, torch.Tensor],
    after: Mapping[str, torch.Tensor],
    gradients: Gradients,
    states: Mapping[str, Mapping[str, Any]],
) -> None:
    """Compare the update of a network in the stack with torch's plain optimiser, same gradient.

    Args:
        task: of the networks.
        recipe: with the optimiser.
        before: the network's parameters before the step, by name.
        after: those after it.
        gradients: its gradient in the stack.
        states: what the optimiser had of each parameter before the step.

    Raises:
        InputError: naming the parameter whose updates differ by more than rounding.
    """
    plain = {name: torch.nn.Parameter(value.clone()) for name, value in before.items()}
    optimizer = optimizer_of(recipe, plain.values(), fused=False)
    for name, parameter in plain.items():
        parameter.grad = gradients[name]
        if states.get(name):
            state = dict(states[name])
            if isinstance(state.get("step"), torch.Tensor):
                state["step"] = state["step"].cpu()  # a fused optimiser counts on the device
            optimizer.state[parameter] = state
    optimizer.step()
    for name, parameter in plain.items():
        updated, start = _double(parameter), _double(before[name])
        apart = _norm(_double(after[name]) - updated)
        allowed = _UPDATE * _norm(updated - start) + _PARAMETER * _norm(start)
        if bool(updated.isfinite().all()) and not apart <= allowed:
            raise _fault(task, name, "update", apart / (_norm(updated - start) or 1.0))


def _differing(plain: Gradients, stacked: Gradients, precision: str) -> dict[str, float]:
    """The parameters whose gradients differ by more than rounding usually does, and how far."""
    norms = {name: _norm(_double(g)) for name, g in plain.items() if g is not None}
    whole = float(np.linalg.norm(list(norms.values())))
    off = {}
    for name, norm in norms.items():
        apart = _norm(_double(stacked[name]) - _double(plain[name]))
        allowed = _GRADIENT[precision] * norm + _NOTHING[precision] * whole
        if np.isfinite(norm) and not apart <= allowed:
            off[name] = apart / (norm or 1.0)
    return off


def _exact_gradients(
    task: Task, network: torch.nn.Module, inputs: torch.Tensor, targets: torch.Tensor
) -> dict[str, torch.Tensor | None] | None:
    """The gradient in float64; None for a network that cannot be computed in it."""
    values = {name: value.detach().clone() for name, value in network.named_parameters()}
    inputs, targets = (x.double() if x.is_floating_point() else x for x in (inputs, targets))
    try:
        return plain_gradients(task, copy.deepcopy(network).double(), values, inputs, targets)
    except RuntimeError:
        return None


def _fault(task: Task, name: str, what: str, apart: float) -> InputError:
    return InputError(
        f"task {type(task).__name__}: in the first step side by side, the {what} of parameter "
        f"{name} is {100 * apart:.3g} % off that of the network alone, so that other networks "
        "would be trained; let its side_by_side be False"
    )


def _random_state() -> tuple[Any, ...]:
    """Where the generators are that a network may draw from."""
    on_gpu = torch.cuda.is_initialized() and torch.cuda.get_rng_state().numpy().tobytes()
    on_cpu = torch.get_rng_state().numpy().tobytes()
    return on_cpu, on_gpu, random.getstate(), str(numpy_state())


def _attributes(network: torch.nn.Module) -> dict[str, Any]:
    """Numbers and texts that the network's parts hold in plain attributes, by name."""
    return {
        f"{path}.{name}".lstrip("."): value
        for path, module in network.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, int | float | str) and name != "training"
    }


def _double(tensor: torch.Tensor | None) -> torch.Tensor:
    assert tensor is not None  # stacked and plain gradients are None for the same parameters
    return tensor.detach().to(torch.complex128 if tensor.is_complex() else torch.float64)


def _norm(tensor: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor))
