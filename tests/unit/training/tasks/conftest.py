"""Tiny sets of images, of the shapes that the tasks take."""

import pytest

from tests.support.dataset_files import image_set


@pytest.fixture
def digits(tmp_path):
    return image_set(tmp_path / "digits.npz", (1, 28, 28))


@pytest.fixture
def photographs(tmp_path):
    return image_set(tmp_path / "photographs.npz", (3, 32, 32))
