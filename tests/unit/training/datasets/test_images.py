"""An image set of one's own: what is read, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.dataset_files import digits
from training_maps.training.datasets import fetch, load
from training_maps.training.datasets.images import read_npz
from training_maps.utils.errors import InputError


def own_set(**changes):
    """The arrays of a small image set in grey, with `changes`."""
    images, labels = digits(12)
    arrays = {
        "train_images": images,
        "train_labels": labels.astype(np.int32),
        "eval_images": images[:5],
        "eval_labels": labels[:5],
    }
    return {**arrays, **changes}


@pytest.fixture
def own(tmp_path):
    """A function that writes an image set of one's own and returns its path."""
    load.cache_clear()

    def write_npz(**changes):
        path = tmp_path / "own.npz"
        np.savez(path, **own_set(**changes))
        return str(path)

    return write_npz


@pytest.mark.parametrize("channels", [None, 1, 3])
@pytest.mark.parametrize("channels_last", [False, True])
def test_an_image_set_of_ones_own_is_read(own, channels, channels_last):
    generator = np.random.default_rng(0)
    train, evaluation = (
        generator.integers(0, 256, (n, channels or 1, 6, 5)).astype(np.uint8) for n in (12, 5)
    )

    def given(images):
        if channels is None:
            return images[:, 0]
        return images.transpose(0, 2, 3, 1) if channels_last else images

    path = own(train_images=given(train), eval_images=given(evaluation))
    read = load(path)
    np.testing.assert_array_equal(read.train_images, train)
    np.testing.assert_array_equal(read.eval_images, evaluation)
    assert read.train_labels.tolist() == [*range(10), 0, 1]
    assert read.train_labels.dtype == read.eval_labels.dtype == np.int64
    assert read.n_classes == 10
    assert load(path) is read
    assert fetch(path)["image_shape"] == [channels or 1, 6, 5]


def colour_images(*shape):
    return np.zeros(shape, np.uint8)


WRONG_ARRAYS = {
    "dtype": ({"train_images": np.zeros((12, 4, 3))}, "train_images is float64; expected uint8"),
    "no image": ({"eval_images": colour_images(0, 4, 3)}, r"eval_images is empty.*\(0, 4, 3\)"),
    "flat": ({"train_images": colour_images(12, 12)}, r"train_images has shape \(12, 12\)"),
    "channels": ({"train_images": colour_images(12, 4, 4, 2)}, "1 or 3 channels: found none"),
    "ambiguous": ({"train_images": colour_images(12, 3, 32, 3)}, "both .* may be channels"),
    "sizes": ({"eval_images": colour_images(5, 4, 4)}, r"\(1, 4, 3\).*\(1, 4, 4\)"),
    "float labels": ({"train_labels": np.zeros(12)}, "train_labels is float64; expected integers"),
    "count": ({"train_labels": np.arange(11)}, r"train_labels has shape \(11,\).*\(12,\)"),
    "one-hot": ({"eval_labels": np.eye(5, dtype=int)}, r"eval_labels has shape \(5, 5\)"),
    "negative": ({"train_labels": np.arange(12) - 1}, "train_labels has -1"),
    "huge": ({"eval_labels": np.full(5, 2**64 - 1, np.uint64)}, "eval_labels has 1844674407370955"),
    "from one": ({"train_labels": np.arange(12) + 1}, "no example of class 0, but one of class 12"),
    "gap": ({"train_labels": np.arange(12) * 2}, "no example of class 1, but one of class 22"),
    "unseen": ({"eval_labels": np.array([0, 1, 2, 3, 10])}, "eval_labels has class 10"),
    "objects": ({"train_labels": np.array([{}] * 12)}, "not a whole .npz file of numbers"),
}


@pytest.mark.parametrize("fault", WRONG_ARRAYS)
def test_a_wrong_array_of_ones_own_is_refused(own, fault):
    changes, message = WRONG_ARRAYS[fault]
    path = own(**changes)
    with pytest.raises(InputError, match=message) as error:
        load(path)
    assert path in str(error.value)


def test_a_file_of_ones_own_that_is_no_npz_is_refused(own, tmp_path):
    with pytest.raises(InputError, match=r"missing\.npz: cannot be read \(No such file"):
        load(str(tmp_path / "missing.npz"))
    path = Path(own())
    whole = path.read_bytes()
    single = tmp_path / "single.npz"
    with single.open("wb") as file:
        np.save(file, np.arange(3))
    (tmp_path / "junk.npz").write_bytes(b"junk" * 100)
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.npz").write_bytes(b"")
    damaged = bytearray(whole)
    damaged[200] ^= 1  # within the first array: the zip's own checksum notices
    (tmp_path / "damaged.npz").write_bytes(damaged)
    for name in ("single", "junk", "cut", "empty", "damaged"):
        with pytest.raises(InputError, match=rf"{name}\.npz: is not a whole \.npz file of numbers"):
            load(str(tmp_path / f"{name}.npz"))
    np.savez(path, train_images=np.arange(3), other=np.arange(3))
    with pytest.raises(InputError, match="has no array train_labels, eval_images, eval_labels; it"):
        read_npz(path)
