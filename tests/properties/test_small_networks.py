"""Networks of many kinds train as in a plain loop in float64, side by side and alone.

Where the plain loop and the traced stack part, a map of training would be one of other networks.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from tests.support.small_networks import ALONE, RANDOM_ALONE, STACKED, small_task
from tests.support.twin import begin, train_epochs
from training_maps.training import resume
from training_maps.training.loop import Recording, train
from training_maps.training.networks import measured
from training_maps.training.random_streams import Streams
from training_maps.training.recipe import Recipe
from training_maps.utils.errors import InputError

RECIPES = {
    "sgd": Recipe("sgd", learning_rate=0.02, momentum=0.9, weight_decay=0.1, batch_size=8),
    "adamw": Recipe("adamw", learning_rate=0.005, weight_decay=0.1, batch_size=8),
}
EPOCHS = 2
# Of the whole change of a parameter; rounding alone made at most 4e-5 of it.
TOLERANCE = 3e-4


def plain_loop(task, seed, recipe, dtype):
    """The parameters of one network before and after a plain loop, by name."""
    streams = Streams(seed)
    data = task.data(streams.data)
    network = streams.initialise(task)
    if dtype == torch.float64:
        network = network.double()
    hyper = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(network.parameters(), momentum=0.9, foreach=False, **hyper)
    else:
        optimizer = torch.optim.AdamW(network.parameters(), foreach=False, **hyper)
    inputs, targets = torch.from_numpy(data.train_inputs), torch.from_numpy(data.train_targets)
    if inputs.is_floating_point():
        inputs = inputs.to(dtype)
    start = {name: value.detach().numpy().copy() for name, value in network.named_parameters()}
    with streams.noise("cpu"):
        for _ in range(EPOCHS):
            order = torch.from_numpy(streams.batches.permutation(len(inputs)))
            for batch in order.split(recipe.batch_size):
                optimizer.zero_grad()
                cross_entropy(network(inputs[batch]), targets[batch]).backward()
                optimizer.step()
    return start, {name: value.detach().numpy() for name, value in network.named_parameters()}


def assert_as_plain(task, recipe, seeds, dtype=torch.float64):
    for seed, found in train_epochs(task, recipe, seeds, EPOCHS).items():
        start, twin = plain_loop(task, seed, recipe, dtype)
        for name, value in twin.items():
            change = np.linalg.norm(value - start[name])
            # What is frozen or not used stays as it was, to the bit.
            apart = np.linalg.norm(found[name] - value)
            assert apart <= TOLERANCE * change, (name, apart, change)


@pytest.mark.parametrize("optimizer", RECIPES)
@pytest.mark.parametrize("name", STACKED)
def test_side_by_side(name, optimizer):
    assert_as_plain(small_task(name, side_by_side=True), RECIPES[optimizer], [3, 5])


@pytest.mark.parametrize("optimizer", RECIPES)
@pytest.mark.parametrize("name", [*STACKED, *ALONE])
def test_alone(name, optimizer):
    task = small_task(name, side_by_side=False)
    if name in RANDOM_ALONE:
        streams = Streams(3)
        with streams.noise("cpu"):
            assert_as_plain(task, RECIPES[optimizer], [3], torch.float32)
    else:
        assert_as_plain(task, RECIPES[optimizer], [3])


@pytest.mark.parametrize("name", ALONE)
def test_what_cannot_be_stacked_is_refused_with_the_true_reason(name, tmp_path):
    task, recipe = (
        small_task(name, side_by_side=True),
        dataclasses.replace(RECIPES["sgd"], length=2),
    )
    with pytest.raises(InputError, match=rf"(?s){ALONE[name][1]}.*its side_by_side be False"):
        train(task, name, recipe, [3, 5], Recording(tmp_path), device="cpu")


@pytest.mark.parametrize("name", [*STACKED, "batch_norm", "dropout", "chance_of_python"])
@pytest.mark.parametrize("side_by_side", [True, False])
def test_evaluation_is_that_of_the_network_in_evaluation_mode(name, side_by_side):
    if side_by_side and name in ALONE:
        pytest.skip("trained alone")
    task = small_task(name, side_by_side)
    examples, networks = begin(task, RECIPES["sgd"], [3, 5] if side_by_side else [3])
    streams = Streams(3)
    data = task.data(streams.data)
    network = streams.initialise(task).eval()
    inputs, targets = torch.from_numpy(data.eval_inputs), torch.from_numpy(data.eval_targets)
    with torch.no_grad():
        expected = float(cross_entropy(network(inputs), targets))
    whole = measured(networks, examples.part("eval", 9))[0][0]
    assert whole == pytest.approx(expected, rel=1e-5)
    if name not in ("batch_norm_of_the_batch", "branch_on_the_shape"):
        pieces = measured(networks, examples.part("eval", 4))[0][0]
        assert pieces == pytest.approx(expected, rel=1e-5)


def outcome(runs, seed):
    folder = runs / f"seed-{seed}" / "checkpoints"
    return [path.read_bytes() for path in sorted(folder.iterdir())]


@pytest.mark.parametrize("name", RANDOM_ALONE)
def test_what_a_network_draws_is_its_seed_s(name, tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "SAVE_EVERY", 0.0)
    task = small_task(name, side_by_side=False)
    recipe = dataclasses.replace(RECIPES["sgd"], length=9, checkpoint_every=2, unit="step")

    def run(folder, seeds):
        train(task, name, recipe, seeds, Recording(tmp_path / folder), device="cpu")

    run("alone", [3])
    expected = outcome(tmp_path / "alone", 3)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    run("after another", [2, 3])
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    assert outcome(tmp_path / "after another", 3) == expected
    assert outcome(tmp_path / "after another", 2) != expected
    steps = []
    with monkeypatch.context() as patch:
        from training_maps.training.alone import Alone

        original = Alone.step

        def step(self, inputs, targets):
            steps.append(1)
            if len(steps) == 6:
                raise KeyboardInterrupt
            original(self, inputs, targets)

        patch.setattr(Alone, "step", step)
        with pytest.raises(KeyboardInterrupt):
            run("killed", [3])
    run("killed", [3])
    assert outcome(tmp_path / "killed", 3) == expected


def test_tied_weights_are_recorded_once(tmp_path):
    for side_by_side in (True, False):
        task = small_task("tied", side_by_side)
        found = train_epochs(task, RECIPES["sgd"], [3], 1)[3]
        assert sorted(found) == ["0.bias", "0.weight", "2.bias", "4.bias", "4.weight"]


def test_examples_are_not_changed_in_evaluation():
    for side_by_side in (True, False):
        task = small_task("einsum", side_by_side)
        type(task).make = staticmethod(
            lambda: torch.nn.Sequential(torch.nn.ReLU(inplace=True), torch.nn.Linear(6, 3))
        )
        examples, networks = begin(task, RECIPES["sgd"], [3])
        with pytest.raises(InputError, match="changes its inputs, the examples, in place"):
            measured(networks, examples.part("eval", 4))


def test_a_fault_of_the_network_s_own_is_told_as_it_is(tmp_path):
    task = small_task("einsum", side_by_side=True)
    type(task).make = staticmethod(lambda: torch.nn.Linear(5, 3))
    recipe = dataclasses.replace(RECIPES["sgd"], length=1)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        train(task, "wrong", recipe, [3, 5], Recording(tmp_path), device="cpu")
