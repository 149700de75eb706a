"""MNIST: what the networks see, which networks there are, and training on it."""

import numpy as np
import pytest
from torch import nn

from tests.support.twin import begin, plain_loop, train_epochs
from training_maps.training import datasets
from training_maps.training.models.lenet import LeNet5
from training_maps.training.models.mlp import MLP
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import make_task
from training_maps.utils.errors import InputError


def as_seen(task):
    """Training inputs as the network sees them."""
    data = task.data(np.random.default_rng(0))
    return (data.train_inputs.astype(np.float32) - data.mean) / data.std


@pytest.mark.parametrize(("model", "shape"), [("mlp", (784,)), ("lenet5", (1, 28, 28))])
def test_mnist_is_the_data_set_from_0_to_1(digits, model, shape):
    task = make_task("mnist", {"dataset": digits, "model": model})
    data, images = task.data(np.random.default_rng(0)), datasets.load(digits)
    assert data.train_inputs.shape == (30, *shape)
    assert data.eval_inputs.shape == (12, *shape)
    assert data.train_inputs.dtype == data.eval_inputs.dtype == np.uint8
    assert data.train_targets.dtype == data.eval_targets.dtype == np.int64
    np.testing.assert_array_equal(data.train_inputs.ravel(), images.train_images.ravel())
    np.testing.assert_array_equal(data.eval_inputs.ravel(), images.eval_images.ravel())
    np.testing.assert_array_equal(data.train_targets, np.arange(30) % 3)
    np.testing.assert_array_equal(data.eval_targets, np.arange(12) % 3)
    seen = as_seen(task)
    assert seen.dtype == np.float32
    np.testing.assert_array_equal(seen, images.train_images.reshape(seen.shape) / np.float32(255))
    assert (seen.min(), seen.max()) == (0, 1)


def test_mnists_networks():
    network = make_task("mnist", {"initialisation": "xavier"}).network()
    assert isinstance(network, MLP)
    shapes = [tuple(value.shape) for value in network.parameters()]
    assert shapes == [(800, 784), (800,), (10, 800), (10,)]
    assert not network.hidden.bias.any()
    assert make_task("mnist", {}).network().hidden.bias.any()
    assert make_task("mnist", {"hidden_size": 5}).network().hidden.weight.shape == (5, 784)
    for batch_norm in (False, True):
        lenet = make_task("mnist", {"model": "lenet5", "batch_norm": batch_norm}).network()
        assert isinstance(lenet, LeNet5)
        assert any(isinstance(m, nn.BatchNorm2d) for m in lenet.modules()) == batch_norm


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_norm": True}, r"batch_norm \(True\) is for model lenet5, and .* here is mlp"),
        ({"model": "lenet5", "hidden_size": 9}, r"hidden_size \(9\) is for model mlp"),
        ({"model": "lenet5", "initialisation": "xavier"}, r"initialisation \(xavier\) is for"),
    ],
)
def test_mnist_refuses_settings_of_another_network(settings, message):
    with pytest.raises(InputError, match=message):
        make_task("mnist", settings)


@pytest.mark.parametrize(
    ("settings", "seeds"),
    [
        ({"hidden_size": 20}, [3, 5, 8]),
        ({"hidden_size": 20, "initialisation": "xavier"}, [3, 5, 8]),
        ({"model": "lenet5"}, [3]),
        ({"model": "lenet5", "batch_norm": True}, [3]),
    ],
    ids=["mlp", "xavier", "lenet5", "batch_norm"],
)
def test_training_on_mnist_is_a_plain_loop(digits, settings, seeds):
    task = make_task("mnist", {"dataset": digits, **settings})
    recipe = Recipe("sgd", learning_rate=0.02, weight_decay=0.1, batch_size=12)
    assert begin(task, recipe, seeds)[0].steps_per_epoch == 3  # two batches of 12 and one of 6
    for seed, tensors in train_epochs(task, recipe, seeds, 4).items():
        twin = plain_loop(task, seed, recipe, 4, nn.CrossEntropyLoss())
        assert tensors.keys() == twin.keys()
        for name, value in twin.items():
            np.testing.assert_allclose(tensors[name], value, rtol=1e-4, atol=1e-6, err_msg=name)
