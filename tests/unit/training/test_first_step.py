"""The first step side by side is compared with a plain one; a fault is named by its parameter."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from tests.support.small_networks import small_task
from tests.support.twin import begin
from training_maps.training import side_by_side
from training_maps.training.first_step import check_gradients, check_update, plain_gradients
from training_maps.training.loop import Recording, train
from training_maps.training.recipe import Recipe
from training_maps.training.side_by_side import SideBySide
from training_maps.utils.errors import InputError

RECIPE = Recipe("adamw", learning_rate=0.01, weight_decay=0.1, batch_size=8, length=2)
TASK = small_task("einsum", side_by_side=True)


def first_step(task=TASK, recipe=RECIPE):
    examples, networks = begin(task, recipe, [0, 1])
    networks.step(*next(examples.batches()))
    return networks


def test_a_gradient_that_is_scrambled_is_named(monkeypatch):
    traced = side_by_side.traced

    def scrambled(function, arguments, **options):
        graph = traced(function, arguments, **options)

        def run(*values):
            first, second = graph(*values)
            return first, second.flip(1)

        return run

    monkeypatch.setattr(side_by_side, "traced", scrambled)
    with pytest.raises(InputError, match=r"einsum.*gradient of parameter o is .*% off.*be False"):
        first_step()


def test_an_optimiser_that_ignores_strides_is_named(monkeypatch):
    def as_it_lies(self, inputs, targets):
        gradients = self._gradient_function(inputs, targets)
        for name, gradient in zip(
            self._trained, gradients(*self.parameters.values(), inputs, targets), strict=True
        ):
            self.parameters[name].grad = gradient  # as before: not made contiguous

    monkeypatch.setattr(SideBySide, "_differentiate", as_it_lies)
    with pytest.raises(InputError, match="update of parameter w is"):
        first_step()


def test_weights_that_the_trace_takes_for_constants_are_named(monkeypatch):
    task = small_task("tied", side_by_side=True)
    original = torch.func.functional_call
    kept = {}

    def untied(network, values, inputs):
        stale = kept.setdefault("value", network.get_parameter("0.weight").detach().clone())
        return original(network, values | {"2.weight": stale}, inputs, tie_weights=False)

    monkeypatch.setattr(side_by_side, "functional_call", untied)
    with pytest.raises(InputError, match=r"gradient of parameter \d.(weight|bias)"):
        first_step(task)


def test_the_check_changes_no_step():
    networks = first_step()
    unchecked, twins = begin(TASK, RECIPE, [0, 1])
    twins._checked = True
    twins.step(*next(unchecked.batches()))
    for name, value in networks.tensors().items():
        assert torch.equal(value, twins.tensors()[name])


def test_it_is_made_once_a_job_and_again_when_resumed(monkeypatch, tmp_path):
    made = []
    original = side_by_side.check_update

    def counted(*arguments):
        made.append(copy.deepcopy(arguments[-1]))
        original(*arguments)

    monkeypatch.setattr(side_by_side, "check_update", counted)
    monkeypatch.setattr("training_maps.training.resume.SAVE_EVERY", 0.0)
    recipe = dataclasses.replace(RECIPE, length=4, checkpoint_every=1)
    step = SideBySide.step
    steps = []

    def interrupted(self, *batch):
        steps.append(1)
        if len(steps) == 5:
            raise KeyboardInterrupt
        step(self, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(SideBySide, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(TASK, "einsum", recipe, [0, 1], Recording(tmp_path), device="cpu")
    assert made == [{"w": {}, "o": {}}]
    train(TASK, "einsum", recipe, [0, 1], Recording(tmp_path), device="cpu")
    assert len(made) == 2
    assert made[1]["w"]["exp_avg"].shape == (8, 6)
    assert float(made[1]["w"]["step"]) == 3


def test_rounding_is_no_fault():
    network = torch.nn.Linear(6, 3)
    values = {name: value.detach() for name, value in network.named_parameters()}
    rng = np.random.default_rng(0)
    batch = (
        torch.from_numpy(rng.normal(size=(8, 6)).astype(np.float32)),
        torch.from_numpy(rng.integers(0, 3, 8)),
    )
    plain = plain_gradients(TASK, network, values, *batch)
    near = {name: value * (1 + 5e-4) for name, value in plain.items()}
    check_gradients(TASK, network, plain, near, batch, "float32")
    far = plain | {"bias": plain["bias"] * 1.1}
    with pytest.raises(InputError, match="gradient of parameter bias is 10 % off"):
        check_gradients(TASK, network, plain, far, batch, "float32")
    # Where the plain gradient itself is that wrong, the other need not be better.
    check_gradients(TASK, network, far, plain, batch, "float32")
    lost = plain | {"bias": torch.full_like(plain["bias"], float("nan"))}
    with pytest.raises(InputError, match="parameter bias"):
        check_gradients(TASK, network, plain, lost, batch, "float32")


def test_tf32_may_round_more():
    network = torch.nn.Linear(6, 3)
    values = {name: value.detach() for name, value in network.named_parameters()}
    batch = torch.ones(8, 6), torch.arange(8) % 3
    plain = plain_gradients(TASK, network, values, *batch)
    rounded = {name: value * 1.01 for name, value in plain.items()}
    check_gradients(TASK, network, plain, rounded, batch, "tf32")
    with pytest.raises(InputError, match="% off"):
        check_gradients(TASK, network, plain, rounded, batch, "float32")


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_an_update_is_the_optimiser_s(optimizer):
    recipe = Recipe(optimizer, learning_rate=0.1, weight_decay=0.5)
    before, gradients = {"w": torch.ones(3)}, {"w": torch.tensor([1.0, -2.0, 0.5])}
    decayed = torch.full((3,), 0.95)
    step = gradients["w"] if optimizer == "sgd" else gradients["w"].sign()
    check_update(TASK, recipe, before, {"w": decayed - 0.1 * step}, gradients, {})
    with pytest.raises(InputError, match="update of parameter w"):
        check_update(TASK, recipe, before, {"w": 1 - 0.1 * step}, gradients, {})
