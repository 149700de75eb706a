"""The forms of data sets: read as they are described, and refused where they are not so."""

import gzip
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests.support.dataset_files import archive, digits, idx
from training_maps.training.datasets import fetch, load
from training_maps.training.datasets.formats import (
    read_cifar,
    read_idx,
    read_mnist,
    read_mnist_part,
)
from training_maps.training.datasets.images import read_npz
from training_maps.utils.errors import InputError


def test_an_idx_file_is_read(tmp_path):
    path = tmp_path / "x.gz"
    # Two images of 2 x 3, by hand: type 8, three dimensions, most significant byte first.
    path.write_bytes(
        gzip.compress(b"\0\0\x08\3" + b"\0\0\0\2" + b"\0\0\0\2" + b"\0\0\0\3" + bytes(range(12)))
    )
    read = read_idx(path, 3)
    assert read.dtype == np.uint8
    assert read.flags.writeable
    assert read.tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]


def broken_idx():
    images, labels = digits()
    whole = gzip.decompress(idx(images))
    return {
        "not gzip": (whole, "cannot be read as a gzip file"),
        "cut gzip": (idx(images)[:-20], "cannot be read as a gzip file"),
        "empty": (gzip.compress(b""), "of an empty file"),
        "labels": (idx(labels), "begins with the bytes 00 00 08 01.*3 dimensions.*00 00 08 03"),
        "floats": (gzip.compress(b"\0\0\x0d\3" + whole[4:]), "begins with the bytes 00 00 0d 03"),
        "header": (gzip.compress(whole[:10]), "ends within its header of 16 bytes"),
        "short": (gzip.compress(whole[:-1]), r"\(12, 4, 3\), which is 144 bytes, but 143 follow"),
        "long": (gzip.compress(whole + b"\0"), "144 bytes, but 145 follow"),
        "no image": (gzip.compress(b"\0\0\x08\3" + bytes(12)), "0 bytes, but 0 follow"),
    }


@pytest.mark.parametrize("fault", broken_idx())
def test_a_broken_idx_file_is_refused(fault, tmp_path):
    content, message = broken_idx()[fault]
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_idx(path, 3)
    assert str(path) in str(error.value)


def write(folder, **contents):
    """Write files called by their keywords; return their paths."""
    paths = [folder / name for name in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        path.write_bytes(content)
    return paths


def test_mnist_is_read(tmp_path):
    (images, labels), (test_images, test_labels) = digits(12), digits(10, seed=1)
    read = read_mnist(
        write(tmp_path, a=idx(images), b=idx(labels), c=idx(test_images), d=idx(test_labels))
    )
    np.testing.assert_array_equal(read.train_images, images.reshape(12, 1, 4, 3))
    np.testing.assert_array_equal(read.train_labels, labels)
    np.testing.assert_array_equal(read.eval_images[:, 0], test_images)
    np.testing.assert_array_equal(read.eval_labels, test_labels)
    assert read.train_labels.dtype == read.eval_labels.dtype == np.int64
    assert read.n_classes == 10


def test_a_part_of_mnist_is_cut_in_order(tmp_path):
    images, labels = digits(15)
    paths = write(tmp_path, images=idx(images), labels=idx(labels))
    read = read_mnist_part(paths, n_train=11)
    np.testing.assert_array_equal(read.train_images[:, 0], images[:11])
    np.testing.assert_array_equal(read.eval_images[:, 0], images[11:])
    assert read.eval_labels.tolist() == labels[11:].tolist()
    with pytest.raises(InputError, match="has 15 images; expected more than 15"):
        read_mnist_part(paths, n_train=15)


def test_images_and_labels_of_mnist_must_match(tmp_path):
    images, labels = digits(12)
    with pytest.raises(InputError, match=r"has 12 images, but .*labels has 11 labels"):
        read_mnist_part(write(tmp_path, images=idx(images), labels=idx(labels[:11])), n_train=9)
    labels[5] = 10
    with pytest.raises(InputError, match=r"example 5 .* has the label 10; expected 0 to 9"):
        read_mnist_part(write(tmp_path, images=idx(images), labels=idx(labels)), n_train=9)


def colours(n, n_labels, seed=0):
    """Images (n, 3, 32, 32), labels (n, len(n_labels)), and both as CIFAR's records."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (n, 3, 32, 32)).astype(np.uint8)
    labels = generator.integers(0, n_labels, (n, len(n_labels))).astype(np.uint8)
    records = b"".join(
        bytes(label) + image.tobytes() for label, image in zip(labels, images, strict=True)
    )
    return images, labels, records


def test_a_cifar_record_is_labels_then_red_green_and_blue_rows(tmp_path):
    image = bytearray(3072)
    image[0], image[32], image[1024], image[2048 + 31] = 1, 2, 3, 4
    record = bytes((7,)) + bytes(image)
    path = tmp_path / "x.tar.gz"
    path.write_bytes(archive({"a": record, "b": record}))
    read = read_cifar([path], train=["a"], evaluation=["b"], n_labels=(10,))
    assert read.train_labels.tolist() == [7]
    expected = np.zeros((1, 3, 32, 32), np.uint8)
    expected[0, 0, 0, 0] = 1  # red, first row, first column
    expected[0, 0, 1, 0] = 2  # red, second row
    expected[0, 1, 0, 0] = 3  # green
    expected[0, 2, 0, 31] = 4  # blue, first row, last column
    np.testing.assert_array_equal(read.train_images, expected)
    np.testing.assert_array_equal(read.eval_images, expected)


@pytest.mark.parametrize("n_labels", [(10,), (20, 100)])
def test_cifar_is_read(n_labels, tmp_path):
    parts = {name: colours(n, n_labels, n) for name, n in (("one", 5), ("two", 9), ("test", 4))}
    files = {f"folder/{name}": part[2] for name, part in reversed(parts.items())}
    path = tmp_path / "x.tar.gz"
    path.write_bytes(archive({"folder/readme": b"text", **files, "../../outside": b"x"}))
    read = read_cifar(
        [path],
        train=("folder/one", "folder/two"),
        evaluation=("folder/test",),
        n_labels=n_labels,
    )
    train = np.concatenate([parts["one"][0], parts["two"][0]])
    np.testing.assert_array_equal(read.train_images, train)
    fine = np.concatenate([parts["one"][1], parts["two"][1]])[:, -1]
    np.testing.assert_array_equal(read.train_labels, fine)
    np.testing.assert_array_equal(read.eval_images, parts["test"][0])
    np.testing.assert_array_equal(read.eval_labels, parts["test"][1][:, -1])
    for images in (read.train_images, read.eval_images):
        assert images.dtype == np.uint8
        assert images.flags.c_contiguous
        assert images.flags.writeable
    assert read.train_labels.dtype == read.eval_labels.dtype == np.int64
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar.gz"]  # nothing was extracted


def broken_cifar():
    _, _, records = colours(3, (20, 100))
    whole = archive({"train": records, "test": records})
    coarse = bytearray(records)
    coarse[3074] = 20  # the coarse label of the second record
    fine = bytearray(records)
    fine[2 * 3074 + 1] = 100
    link = archive({"train": b"", "test": b""}, member_type=tarfile.SYMTYPE)
    return {
        "not an archive": (b"no archive", "cannot be read as a .tar.gz archive"),
        "cut": (whole[: len(whole) // 2], "cannot be read as a .tar.gz archive"),
        "not gzip": (archive({"train": records}, "w"), "cannot be read as a .tar.gz archive"),
        "python version": (archive({"train": records}), "has no file test; is it the binary"),
        "links": (link, "has no file train, test; is it the binary version"),
        "cut record": (
            archive({"train": records, "test": records[:-1]}),
            "test: has 9221 bytes; expected a multiple of 3074",
        ),
        "empty": (archive({"train": b"", "test": records}), "train: has 0 bytes"),
        "coarse label": (
            archive({"train": bytes(coarse), "test": records}),
            r"train: example 1 .* has the label 20; expected 0 to 19",
        ),
        "fine label": (
            archive({"train": records, "test": bytes(fine)}),
            r"test: example 2 .* has the label 100; expected 0 to 99",
        ),
    }


@pytest.mark.parametrize("fault", broken_cifar())
def test_a_broken_cifar_archive_is_refused(fault, tmp_path):
    content, message = broken_cifar()[fault]
    path = tmp_path / "x.tar.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_cifar([path], train=["train"], evaluation=["test"], n_labels=(20, 100))
    assert str(path) in str(error.value)


# Image sets of one's own


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
