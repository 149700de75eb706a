"""A tiny set of images, as a user may bring one."""

import numpy as np
import pytest

from training_maps.training.tasks import make_task


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """An .npz of 50 + 30 images of 28x28 in three classes, told apart by where they are bright."""
    rng = np.random.default_rng(0)

    def some(n):
        labels = rng.integers(0, 3, n)
        images = rng.integers(0, 100, (n, 28, 28))
        for image, label in zip(images, labels, strict=True):
            image[:, 9 * label : 9 * label + 9] += 150
        return images.astype(np.uint8), labels

    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    train, evaluation = some(50), some(30)
    np.savez(
        path,
        train_images=train[0], train_labels=train[1],
        eval_images=evaluation[0], eval_labels=evaluation[1],
    )  # fmt: skip
    return str(path)


@pytest.fixture(scope="session")
def lenet(digits):
    """A task whose networks have batch norm, and are trained one by one."""
    return make_task("mnist", {"dataset": digits, "model": "lenet5", "batch_norm": True})


@pytest.fixture(scope="session")
def perceptron(digits):
    """A task whose runs share their data, side by side."""
    return make_task("mnist", {"dataset": digits, "hidden_size": 12})
