"""Training side by side is training: the twin is a plain PyTorch loop over one network."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.support.twin import begin, plain_loop, train_epochs
from training_maps.training.loop import Recording, train
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import make_task
from training_maps.training.tasks.mnist import Mnist
from training_maps.utils.errors import InputError

TASK = make_task("sparse_parities", {"n_bits": 10, "n_train": 45, "n_eval": 20, "hidden_size": 16})
RECIPE = Recipe(learning_rate=0.1, weight_decay=0.01, batch_size=20, length=6, checkpoint_every=4)


def hinge(outputs, targets):
    return torch.relu(1 - outputs.squeeze(-1) * targets).mean()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_side_by_side_equals_one_after_another(optimizer):
    recipe = Recipe(optimizer, learning_rate=0.02, weight_decay=0.1, batch_size=20)
    assert begin(TASK, recipe, [3])[0].steps_per_epoch == 3  # two batches of 20 and one of 5
    for seed, tensors in train_epochs(TASK, recipe, [3, 5, 8], 4).items():
        for name, twin in plain_loop(TASK, seed, recipe, 4, hinge).items():
            np.testing.assert_allclose(tensors[name], twin, rtol=1e-4, atol=1e-6, err_msg=name)


class TransposedProducts(torch.nn.Module):
    """A perceptron whose products leave gradients with other strides than their parameters."""

    def __init__(self, n_bits, hidden_size):
        super().__init__()
        self.hidden = torch.nn.Parameter(torch.randn(hidden_size, n_bits) / n_bits**0.5)
        self.output = torch.nn.Parameter(torch.randn(hidden_size, 1) / hidden_size**0.5)

    def forward(self, inputs):
        return torch.relu(torch.einsum("hd,bd->bh", self.hidden, inputs)) @ self.output


class Transposed(type(TASK)):
    """The task with such a network."""

    def network(self):
        return TransposedProducts(self.n_bits, self.hidden_size)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_gradients_of_any_strides_train_the_same_network(optimizer):
    task = Transposed(n_bits=10, n_train=45, n_eval=20, hidden_size=16)
    recipe = Recipe(optimizer, learning_rate=0.02, weight_decay=0.1, batch_size=20)
    for seed, tensors in train_epochs(task, recipe, [3, 5], 4).items():
        for name, twin in plain_loop(task, seed, recipe, 4, hinge).items():
            np.testing.assert_allclose(tensors[name], twin, rtol=1e-4, atol=1e-6, err_msg=name)


@dataclasses.dataclass(frozen=True)
class Convolving(Mnist):
    """Networks of convolutions, stacked all the same."""

    side_by_side = True


def test_stacked_convolutions_train_too(digits):
    task = Convolving(dataset=digits, model="lenet5")
    recipe = Recipe("sgd", learning_rate=0.05, batch_size=16)
    for seed, tensors in train_epochs(task, recipe, [0, 3], 1).items():
        twin = plain_loop(task, seed, recipe, 1, torch.nn.CrossEntropyLoss())
        for name, value in twin.items():
            np.testing.assert_allclose(tensors[name], value, rtol=1e-3, atol=1e-5, err_msg=name)


class Dropping(type(TASK)):
    """Networks that draw random numbers of their own."""

    def network(self):
        return torch.nn.Sequential(super().network(), torch.nn.Dropout())


class Odd(type(TASK)):
    """A loss an example, where one for the batch is expected."""

    def loss(self, outputs, targets):
        return (1 - outputs.squeeze(-1) * targets).clamp(min=0)


def test_what_cannot_be_stacked_is_said():
    with pytest.raises(InputError, match=r"Dropping.*cannot be trained side by side.*be False"):
        train_epochs(Dropping(n_bits=10, n_train=45), RECIPE, [0, 1], 1)


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("device-side assert triggered"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    ],
    ids=["accelerator", "CUDA", "cuDNN"],
)
def test_an_error_of_the_device_is_not_laid_at_the_network_s_door(monkeypatch, error):
    def failing(*_, **__):
        raise error

    monkeypatch.setattr("training_maps.training.side_by_side.traced", failing)
    with pytest.raises(RuntimeError) as told:
        train_epochs(TASK, RECIPE, [0, 1], 1)
    assert told.value is error


def test_a_loss_is_one_number(tmp_path):
    task = Odd(n_bits=10, n_train=45, n_eval=20)
    with pytest.raises(InputError, match=r"Odd: expected the loss of a batch as one number"):
        train(task, "odd", RECIPE, [0, 1], Recording(tmp_path), device="cpu")
