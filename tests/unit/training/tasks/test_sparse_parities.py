"""Sparse parities: data, loss and network."""

import numpy as np
import pytest
import torch

from training_maps.training.tasks import make_task


def test_sparse_parities_labels_are_products_of_the_relevant_bits():
    task = make_task("sparse_parities", {"n_relevant_bits": 3})
    data = task.data(np.random.default_rng(0))
    for inputs, targets, n in (
        (data.train_inputs, data.train_targets, 1000),
        (data.eval_inputs, data.eval_targets, 100),
    ):
        assert inputs.shape == (n, 40)
        assert set(np.unique(inputs)) == {-1.0, 1.0}
        assert inputs.dtype == targets.dtype == np.float32
        np.testing.assert_array_equal(targets, inputs[:, 0] * inputs[:, 1] * inputs[:, 2])
    # Fair signs: 44,000 of them, within five standard deviations.
    bits = np.concatenate([data.train_inputs, data.eval_inputs])
    assert abs(bits.mean()) < 5 / np.sqrt(bits.size)


def test_training_and_evaluation_examples_are_drawn_apart():
    data = make_task("sparse_parities", {}).data(np.random.default_rng(1))
    train = {row.tobytes() for row in data.train_inputs}
    assert not train & {row.tobytes() for row in data.eval_inputs}


def test_hinge_loss_and_accuracy_by_hand():
    task = make_task("sparse_parities", {})
    outputs = torch.tensor([[2.0], [0.5], [-0.5], [-3.0]])
    targets = torch.tensor([1.0, 1.0, 1.0, -1.0])
    assert task.loss(outputs, targets).item() == pytest.approx((0 + 0.5 + 1.5 + 0) / 4)
    assert task.correct(outputs, targets).tolist() == [True, True, False, True]


def test_the_network_is_a_perceptron_of_the_given_sizes():
    network = make_task("sparse_parities", {"n_bits": 7, "hidden_size": 5}).network().double()
    shapes = {name: tuple(value.shape) for name, value in network.named_parameters()}
    assert shapes == {
        "hidden.weight": (5, 7), "hidden.bias": (5,), "output.weight": (1, 5), "output.bias": (1,),
    }  # fmt: skip
    inputs = np.random.default_rng(0).normal(size=(3, 7))
    p = {name: value.detach().numpy() for name, value in network.named_parameters()}
    twin = np.maximum(inputs @ p["hidden.weight"].T + p["hidden.bias"], 0)
    twin = twin @ p["output.weight"].T + p["output.bias"]
    outputs = network(torch.from_numpy(inputs)).detach().numpy()
    np.testing.assert_allclose(outputs, twin, rtol=1e-10, atol=1e-14)
