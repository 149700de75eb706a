"""The forms of data sets: read as they are described, and refused where they are not so."""

import gzip
import tarfile

import numpy as np
import pytest

from tests.support.dataset_files import archive, digits, idx
from training_maps.training.datasets.formats import (
    read_cifar,
    read_idx,
    read_mnist,
    read_mnist_part,
)
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
