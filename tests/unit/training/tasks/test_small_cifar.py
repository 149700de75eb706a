"""Small photographs: which images, how they are shrunk, and training on them."""

import numpy as np
import pytest
from torch import nn

from tests.support.twin import plain_loop, train_epochs
from training_maps.training import datasets
from training_maps.training.models.resnet8 import ResNet8
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import make_task
from training_maps.utils.errors import InputError


@pytest.fixture
def settings(photographs):
    return {"dataset": photographs, "n_classes": 2, "n_train": 20, "n_eval": 6}


@pytest.mark.parametrize("side", [32, 16, 8])
def test_the_first_images_of_the_first_classes_are_averaged(photographs, settings, side):
    data = make_task("small_cifar", settings | {"side": side}).data(np.random.default_rng(0))
    images = datasets.load(photographs)
    parts = {
        "train": (images.train_images, images.train_labels, 20),
        "eval": (images.eval_images, images.eval_labels, 6),
    }
    for part, (pixels, labels, n) in parts.items():
        inputs, targets = getattr(data, f"{part}_inputs"), getattr(data, f"{part}_targets")
        chosen = [i for i in range(len(labels)) if labels[i] in (0, 1)][:n]
        assert inputs.shape == (n, 3, side, side)
        assert inputs.dtype == np.uint8
        np.testing.assert_array_equal(targets, labels[chosen])
        k = 32 // side
        for row, i in enumerate(chosen):
            for y, x in ((0, 0), (side - 1, 1), (2, side - 1)):
                block = pixels[i, :, k * y : k * y + k, k * x : k * x + k].astype(float)
                mean = block.mean((1, 2))
                assert (np.abs(inputs[row, :, y, x] - mean) <= 0.5).all()
    seen = (data.train_inputs.astype(np.float64) - data.mean) / data.std
    np.testing.assert_allclose(seen.mean((0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(seen.std((0, 2, 3)), 1, rtol=1e-6)


def test_too_few_images_or_classes_are_refused(settings):
    with pytest.raises(InputError, match="the task takes 2000 of 2"):
        make_task("small_cifar", settings | {"n_train": 2000}).data(np.random.default_rng(0))
    many = settings | {"n_classes": 90, "n_train": 5}
    with pytest.raises(InputError, match=r"has 5 images of .* classes below 90"):
        make_task("small_cifar", many).data(np.random.default_rng(0))


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("residual", [True, False])
def test_batch_norm_and_shortcuts_are_each_on_or_off(batch_norm, residual):
    network = make_task("small_cifar", {"batch_norm": batch_norm, "residual": residual}).network()
    assert isinstance(network, ResNet8)
    names = set(network.state_dict())
    assert ("bn1.weight" in names) == batch_norm
    assert ("layer2.downsample.0.weight" in names) == residual
    assert network.conv1.weight.shape == (16, 3, 3, 3)
    assert network.fc.weight.shape == (3, 64)


@pytest.mark.parametrize("stable", [True, False])
def test_training_is_a_plain_loop(settings, stable):
    parts = {"batch_norm": stable, "residual": stable, "width": 2, "side": 8}
    task = make_task("small_cifar", settings | parts)
    # A rate so small that rounding, which batch norm amplifies, does not grow.
    recipe = Recipe("sgd", learning_rate=0.001, batch_size=10)
    (tensors,) = train_epochs(task, recipe, [4], 1).values()
    twin = plain_loop(task, 4, recipe, 1, nn.CrossEntropyLoss())
    for name, value in tensors.items():
        np.testing.assert_allclose(value, twin[name], rtol=1e-4, atol=2e-5, err_msg=name)
