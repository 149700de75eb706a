"""CIFAR: standardised images, augmentation, and training on them."""

import itertools

import numpy as np
import torch

from tests.support.twin import begin
from training_maps.training import datasets
from training_maps.training.models.resnet import ResNet18
from training_maps.training.random_streams import Streams
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import make_task
from training_maps.training.tasks.cifar import channel_statistics


def as_seen(task):
    """Training inputs as the network sees them."""
    data = task.data(np.random.default_rng(0))
    return (data.train_inputs.astype(np.float32) - data.mean) / data.std


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
