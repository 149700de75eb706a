"""The logged norm of the gradient; the twin is autograd in a plain loop over one network.

The twin's steps are in float32 too: Adam makes whole steps of gradients that are rounding errors.
"""

import numpy as np
import pandas as pd
import pytest
import torch

from tests.support.twin import alone, begin
from training_maps.training.loop import Recording, train
from training_maps.training.recipe import Recipe
from training_maps.training.side_by_side import SideBySide
from training_maps.training.tasks import make_task

PARITIES = make_task("sparse_parities", {"n_bits": 10, "n_train": 45, "hidden_size": 16})


def hinge(outputs, targets):
    return torch.relu(1 - outputs.squeeze(-1) * targets).mean()


def norms_by_autograd(task, seed, recipe, steps, loss):
    """Norm of the last step's gradient at each of `steps`, a plain loop over one network."""
    streams, network, optimizer, inputs, targets = alone(task, seed, recipe)
    batches, norms = [], {0: np.nan}
    for step in range(1, steps[-1] + 1):
        if not batches:
            order = torch.from_numpy(streams.batches.permutation(len(inputs)))
            batches = list(order.split(recipe.batch_size))
        batch = batches.pop(0)
        value = loss(network(inputs[batch]), targets[batch])
        gradients = torch.autograd.grad(value, list(network.parameters()))
        squares = [(gradient.numpy().astype(float) ** 2).sum() for gradient in gradients]
        norms[step] = np.sqrt(sum(squares))
        for parameter, gradient in zip(network.parameters(), gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
    return [norms[step] for step in steps]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_networks_side_by_side_each_have_their_own(optimizer, tmp_path):
    recipe = Recipe(
        optimizer, learning_rate=0.02, weight_decay=0.5, batch_size=20, unit="step", length=11,
        checkpoint_every=4,
    )  # fmt: skip
    train(PARITIES, "sparse_parities", recipe, [3, 5, 8], Recording(tmp_path), device="cpu")
    for seed in (3, 5, 8):
        log = pd.read_parquet(tmp_path / f"seed-{seed}" / "training_log.parquet")
        assert log["step"].tolist() == [0, 4, 8, 11]
        twin = norms_by_autograd(PARITIES, seed, recipe, [0, 4, 8, 11], hinge)
        assert min(twin[1:]) > 0.01
        np.testing.assert_allclose(log["gradient_norm"], twin, rtol=1e-4)


def test_networks_with_shared_data_too(perceptron, tmp_path):
    recipe = Recipe("adamw", learning_rate=0.002, batch_size=16, unit="step", length=5)
    train(perceptron, "mnist", recipe, [0, 2], Recording(tmp_path), device="cpu")
    for seed in (0, 2):
        log = pd.read_parquet(tmp_path / f"seed-{seed}" / "training_log.parquet")
        loss = torch.nn.CrossEntropyLoss()
        twin = norms_by_autograd(perceptron, seed, recipe, [0, 5], loss)
        np.testing.assert_allclose(log["gradient_norm"], twin, rtol=1e-4)


def test_a_network_alone(lenet, tmp_path):
    recipe = Recipe(
        "sgd", learning_rate=0.05, weight_decay=0.5, batch_size=16, unit="step", length=6,
        checkpoint_every=3,
    )  # fmt: skip
    train(lenet, "mnist", recipe, [1], Recording(tmp_path), device="cpu")
    log = pd.read_parquet(tmp_path / "seed-1" / "training_log.parquet")
    twin = norms_by_autograd(lenet, 1, recipe, [0, 3, 6], torch.nn.CrossEntropyLoss())
    np.testing.assert_allclose(log["gradient_norm"], twin, rtol=1e-3)


def test_parameters_that_are_not_trained_do_not_count(lenet):
    examples, networks = begin(lenet, Recipe("sgd", batch_size=16), [0])
    frozen = networks._network.get_parameter("conv1.weight").requires_grad_(False)
    assert networks.gradient_norms().isnan().all()
    networks.step(*next(examples.batches()))
    assert frozen.grad is None
    squares = [
        float((parameter.grad.double() ** 2).sum())
        for parameter in networks._network.parameters()
        if parameter is not frozen
    ]
    assert networks.gradient_norms().item() == pytest.approx(np.sqrt(sum(squares)), rel=1e-12)


def test_a_number_as_a_parameter_counts_for_each_network():
    networks = SideBySide.__new__(SideBySide)
    scale, weight = torch.zeros(2), torch.zeros(2, 3)
    scale.grad, weight.grad = torch.tensor([3.0, -6.0]), torch.tensor([[4.0, 0, 0], [0, 8, 0]])
    networks.parameters, networks._n_seeds = {"scale": scale, "weight": weight}, 2
    networks._device = torch.device("cpu")
    assert networks.gradient_norms().tolist() == [5, 10]
