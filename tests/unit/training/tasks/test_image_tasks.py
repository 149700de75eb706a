"""MNIST and CIFAR: what the networks see, augmentation, and training on them."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from tests.support.twin import begin, plain_loop, train_epochs
from training_maps.training import datasets
from training_maps.training.models.lenet import LeNet5
from training_maps.training.models.mlp import MLP
from training_maps.training.models.resnet import ResNet18
from training_maps.training.random_streams import Streams
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import make_task
from training_maps.training.tasks.cifar import channel_statistics
from training_maps.utils.errors import InputError


def image_set(path, shape, n_classes=3, n_train=30, n_eval=12):
    """A .npz file of random images, whose corner pixel gives the class away."""
    generator = np.random.default_rng(0)
    arrays = {}
    for part, n in (("train", n_train), ("eval", n_eval)):
        labels = np.arange(n) % n_classes
        images = generator.integers(0, 256, size=(n, *shape), dtype=np.uint8)
        images[:, :, :4, :4] = (labels * 100)[:, None, None, None]
        arrays |= {f"{part}_images": images, f"{part}_labels": labels}
    np.savez(path, **arrays)
    return str(path)


@pytest.fixture
def digits(tmp_path):
    return image_set(tmp_path / "digits.npz", (1, 28, 28))


@pytest.fixture
def photographs(tmp_path):
    return image_set(tmp_path / "photographs.npz", (3, 32, 32))


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


def test_only_perceptrons_are_stacked():
    assert make_task("mnist", {}).side_by_side
    assert not make_task("mnist", {"model": "lenet5"}).side_by_side
    assert not make_task("mnist", {"model": "lenet5", "batch_norm": True}).side_by_side
    assert not make_task("cifar", {}).side_by_side


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


@pytest.mark.parametrize("name", ["mnist", "cifar"])
def test_images_of_another_shape_are_refused(tmp_path, name):
    path = image_set(tmp_path / "odd.npz", (3, 28, 28))
    with pytest.raises(
        InputError, match=r"odd\.npz have shape \(3, 28, 28\).*takes images of shape \("
    ):
        make_task(name, {"dataset": path}).data(np.random.default_rng(0))


@pytest.mark.parametrize("name", ["mnist", "cifar"])
def test_cross_entropy_and_accuracy_by_hand(name):
    task = make_task(name, {})
    outputs = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.1, 0.7], [0.1, 0.8, 0.1]])) + 3
    targets = torch.tensor([0, 1, 1])
    expected = -np.log([0.5, 0.1, 0.8]).mean()
    assert task.loss(outputs, targets).item() == pytest.approx(expected, rel=1e-6)
    assert task.correct(outputs, targets).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("name", "settings", "n_classes"),
    [
        ("mnist", {}, 10),
        ("mnist", {"dataset": "mnist_t10k", "model": "lenet5"}, 10),
        ("cifar", {}, 100),
        ("cifar", {"dataset": "cifar10"}, 10),
    ],
)
def test_networks_answer_with_the_classes_of_the_data_set(name, settings, n_classes, monkeypatch):
    # Known without the files: the network can be had where they cannot.
    monkeypatch.setattr(datasets, "load", lambda _: pytest.fail("the data set was loaded"))
    network = make_task(name, settings).network()
    assert list(network.parameters())[-1].shape == (n_classes,)


def test_networks_answer_with_the_classes_of_ones_own_images(digits, photographs):
    assert make_task("mnist", {"dataset": digits}).network().output.bias.shape == (3,)
    assert make_task("cifar", {"dataset": photographs}).network().fc.bias.shape == (3,)


def test_a_data_set_that_is_not_there():
    for name in ("mnist", "cifar"):
        task = make_task(name, {"dataset": "nothing"})
        with pytest.raises(InputError, match="there is no data set 'nothing'"):
            task.data(np.random.default_rng(0))
        with pytest.raises(InputError, match="there is no data set 'nothing'"):
            task.network()


def test_cifar_is_the_data_set_standardised_by_the_training_images(photographs):
    task = make_task("cifar", {"dataset": photographs})
    data, images = task.data(np.random.default_rng(0)), datasets.load(photographs)
    np.testing.assert_array_equal(data.train_inputs, images.train_images)
    np.testing.assert_array_equal(data.eval_inputs, images.eval_images)
    np.testing.assert_array_equal(data.train_targets, images.train_labels)
    np.testing.assert_array_equal(data.eval_targets, images.eval_labels)
    assert data.mean.shape == data.std.shape == (3, 1, 1)
    assert data.mean.dtype == data.std.dtype == np.float32
    seen = as_seen(task).astype(np.float64)
    np.testing.assert_allclose(seen.mean((0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(seen.std((0, 2, 3)), 1, rtol=1e-6)


def test_channel_statistics_are_numpys():
    images = np.random.default_rng(1).integers(0, 256, size=(50, 3, 6, 5), dtype=np.uint8)
    images[:, 1] //= 3
    mean, std = channel_statistics(images)
    np.testing.assert_allclose(mean.ravel(), images.mean((0, 2, 3), np.float64), rtol=1e-7)
    np.testing.assert_allclose(std.ravel(), images.astype(np.float64).std((0, 2, 3)), rtol=1e-7)
    images[:, 2] = 255
    mean, std = channel_statistics(images)
    assert (mean[2], std[2]) == (255, 1)  # standardised: 0, and not NaN


def test_cifars_network():
    for batch_norm, residual in itertools.product((True, False), repeat=2):
        network = make_task("cifar", {"batch_norm": batch_norm, "residual": residual}).network()
        assert isinstance(network, ResNet18)
        names = set(network.state_dict())
        assert ("bn1.weight" in names) == batch_norm
        assert ("layer2.0.downsample.0.weight" in names) == residual


def augmented_one_by_one(images, draws):
    """The twin: pad, crop and flip image by image, as tutorials do."""
    changed = []
    for image, (row, column, flip) in zip(images, draws, strict=True):
        padded = np.pad(image, [(0, 0), (4, 4), (4, 4)], mode="reflect")
        crop = padded[:, row : row + 32, column : column + 32]
        changed.append(crop[:, :, ::-1] if flip else crop)
    return np.stack(changed)


def test_augmentation_is_crops_of_the_padded_image_and_flips():
    task, generator = make_task("cifar", {}), np.random.default_rng(0)
    every = list(itertools.product(range(9), range(9), range(2)))
    draws = np.concatenate([np.array(every, np.uint8), task.augmentation(generator, 300)])
    images = generator.integers(0, 256, size=(len(draws), 3, 32, 32), dtype=np.uint8)
    before = images.copy()
    changed = task.augment(torch.from_numpy(images), torch.from_numpy(draws))
    assert changed.dtype == torch.uint8
    np.testing.assert_array_equal(changed.numpy(), augmented_one_by_one(images, draws))
    np.testing.assert_array_equal(images, before)
    unchanged = every.index((4, 4, 0))
    np.testing.assert_array_equal(changed[unchanged], images[unchanged])


def test_what_is_drawn_is_fair():
    draws = make_task("cifar", {}).augmentation(np.random.default_rng(0), 162_000)
    assert draws.dtype == np.uint8
    counts = np.zeros((9, 9, 2))
    np.add.at(counts, tuple(draws.T), 1)
    assert counts.sum() == 162_000
    # 162 equally likely draws: chi-squared with 161 degrees of freedom, five standard deviations.
    assert abs(((counts - 1000) ** 2 / 1000).sum() - 161) < 5 * np.sqrt(2 * 161)


def test_draws_come_from_the_generator_given():
    task = make_task("cifar", {})
    first, again, other = (task.augmentation(np.random.default_rng(s), 50) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert (
        make_task("cifar", {"augmented": False}).augmentation(np.random.default_rng(0), 5) is None
    )
    assert make_task("mnist", {}).augmentation(np.random.default_rng(0), 5) is None


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


def test_training_on_cifar_sees_the_augmented_images(photographs):
    task = make_task("cifar", {"dataset": photographs})
    examples, _ = begin(task, Recipe(batch_size=12), [3])
    inputs, targets = next(examples.batches())
    data = task.data(np.random.default_rng(0))
    streams = Streams(3)
    order = streams.batches.permutation(30)[:12]
    draws = task.augmentation(streams.augmentation, 30)[:12]
    images = augmented_one_by_one(data.train_inputs[order], draws)
    expected = (images.astype(np.float32) - data.mean) / data.std
    np.testing.assert_allclose(inputs[0], expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(targets[0], data.train_targets[order])
