"""The binary forms in which MNIST and CIFAR are published, and how they are read.

MNIST comes as IDX files (LeCun et al.): a header that gives type and shape, then the bytes. CIFAR's
"binary version" (Krizhevsky 2009) is an archive of files of fixed-length records: one label, or two
for CIFAR-100, then the red, green and blue plane of a 32 x 32 image, row by row. Archives are read
where they are; nothing is extracted to disk.
"""

from __future__ import annotations

import gzip
import math
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training_maps.training.datasets.images import Images
from training_maps.utils.errors import InputError

_UNSIGNED_BYTE = 8  # IDX's code for the type of its data
_CIFAR_SHAPE = (3, 32, 32)  # channels, height, width
_N_DIGITS = 10
_DAMAGED = (EOFError, zlib.error, tarfile.TarError, OSError)


def read_mnist(paths: Sequence[Path]) -> Images:
    """MNIST from training images, training labels, test images and test labels, in this order.

    Raises:
        InputError: if a file is not in IDX form, or images and labels do not match.
    """
    train_images, train_labels, test_images, test_labels = paths
    return Images(*_digits(train_images, train_labels), *_digits(test_images, test_labels))


def read_mnist_part(paths: Sequence[Path], *, n_train: int) -> Images:
    """One pair of MNIST's files, cut in two: the first `n_train` digits train, the rest evaluate.

    Args:
        paths: the file of images and the file of labels.
        n_train: number of digits to train on.

    Raises:
        InputError: as `read_mnist` does, and if there are not more than `n_train` digits.
    """
    images_path, labels_path = paths
    images, labels = _digits(images_path, labels_path)
    if len(images) <= n_train:
        raise InputError(f"{images_path}: has {len(images)} images; expected more than {n_train}")
    return Images(images[:n_train], labels[:n_train], images[n_train:], labels[n_train:])


def read_idx(path: Path, n_dimensions: int) -> np.ndarray:
    """Read a gzipped IDX file of unsigned bytes: uint8, of `n_dimensions` dimensions.

    Raises:
        InputError: if the file cannot be read, or its first four bytes, its header or its length
            are not those of such a file.
    """
    try:
        with gzip.open(path) as file:
            content = file.read()
    except _DAMAGED as error:
        raise InputError(f"{path}: cannot be read as a gzip file ({error})") from error
    magic = bytes((0, 0, _UNSIGNED_BYTE, n_dimensions))
    if content[:4] != magic:
        raise InputError(
            f"{path}: begins with the bytes {content[:4].hex(' ') or 'of an empty file'}; an IDX "
            f"file of unsigned bytes with {n_dimensions} dimensions begins with {magic.hex(' ')}"
        )
    header = 4 + 4 * n_dimensions
    if len(content) < header:
        raise InputError(f"{path}: ends within its header of {header} bytes")
    shape = tuple(np.frombuffer(content, ">u4", n_dimensions, offset=4).tolist())
    if len(content) - header != math.prod(shape) or len(content) == header:
        raise InputError(
            f"{path}: its header announces the shape {shape}, which is {math.prod(shape)} bytes, "
            f"but {len(content) - header} follow"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()


def read_cifar(
    paths: Sequence[Path],
    *,
    train: Sequence[str],
    evaluation: Sequence[str],
    n_labels: Sequence[int],
) -> Images:
    """CIFAR from its archive of binary files.

    Args:
        paths: the archive alone.
        train: names of the archive's files with training images, in their order.
        evaluation: names of its files with images for evaluation.
        n_labels: the number of values of each label byte of a record; the last label counts.

    Raises:
        InputError: if the archive is damaged or lacks a file, or a file is not made of records, or
            a label is out of range.
    """
    (path,) = paths
    contents = _archived(path, (*train, *evaluation))
    parts = {
        name: _records(content, n_labels, f"{path}: {name}") for name, content in contents.items()
    }
    return Images(
        np.concatenate([parts[name][0] for name in train]),
        np.concatenate([parts[name][1] for name in train]),
        np.concatenate([parts[name][0] for name in evaluation]),
        np.concatenate([parts[name][1] for name in evaluation]),
    )


def _digits(images_path: Path, labels_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 1, height, width) of uint8 and labels (n,) of int64."""
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise InputError(
            f"{images_path}: has {len(images)} images, but {labels_path} has {len(labels)} labels"
        )
    _check_labels(labels, _N_DIGITS, str(labels_path))
    return images[:, None], labels.astype(np.int64)


def _archived(path: Path, names: Sequence[str]) -> dict[str, bytes]:
    """The contents of the files of an archive that are called exactly `names`."""
    contents = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                if member.name in names and member.isreg():
                    file = archive.extractfile(member)
                    assert file is not None  # only for what is not a file
                    contents[member.name] = file.read()
    except _DAMAGED as error:
        raise InputError(f"{path}: cannot be read as a .tar.gz archive ({error})") from error
    missing = [name for name in names if name not in contents]
    if missing:
        raise InputError(f"{path}: has no file {', '.join(missing)}; is it the binary version?")
    return contents


def _records(content: bytes, n_labels: Sequence[int], where: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 3, 32, 32) of uint8 and labels (n,) of int64 of one file of records."""
    length = len(n_labels) + math.prod(_CIFAR_SHAPE)
    if not content or len(content) % length:
        raise InputError(
            f"{where}: has {len(content)} bytes; expected a multiple of {length}, the length of a "
            "record (labels, then 3072 bytes of pixels)"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, length)
    for position, n_values in enumerate(n_labels):
        _check_labels(records[:, position], n_values, where)
    images = records[:, len(n_labels) :].reshape(-1, *_CIFAR_SHAPE)
    return images, records[:, len(n_labels) - 1].astype(np.int64)


def _check_labels(labels: np.ndarray, n_values: int, where: str) -> None:
    wrong = np.flatnonzero(labels >= n_values)
    if len(wrong):
        raise InputError(
            f"{where}: example {wrong[0]} (counted from 0) has the label {labels[wrong[0]]}; "
            f"expected 0 to {n_values - 1}"
        )
