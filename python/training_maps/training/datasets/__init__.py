"""Sets of labelled images: MNIST, CIFAR-10 and CIFAR-100 in their official forms, or one's own.

`load` fetches the files that are missing, compares every file with its published checksum, and
reads it. Files are kept in one folder (`data_folder`), and those put there by hand are as good as
fetched ones. A path that ends in .npz is read as an image set of one's own (`images.read_npz`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from training_maps.training.datasets.download import (
    File,
    data_folder,
    fetch_files,
    use_data_folder,
)
from training_maps.training.datasets.formats import read_cifar, read_mnist, read_mnist_part
from training_maps.training.datasets.images import Images, read_npz
from training_maps.utils.errors import InputError
from training_maps.utils.files import file_digest

__all__ = ["DATASETS", "DataSet", "File", "Images", "data_folder", "fetch", "load"]
__all__ += ["load_of_shape", "n_classes", "use_data_folder"]


@dataclass(frozen=True)
class DataSet:
    """A published data set.

    Attributes:
        title: what it is, in a few words.
        files: what has to be fetched.
        read: makes the images from the paths of `files`, in their order.
        n_classes: number of classes; labels are 0 to n_classes - 1.
        n_train: number of training examples.
        n_eval: number of examples for evaluation.
    """

    title: str
    files: tuple[File, ...]
    read: Callable[[Sequence[Path]], Images]
    n_classes: int
    n_train: int
    n_eval: int


def _mnist(name: str, size: int, md5: str) -> File:
    mirrors = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    )
    return File(f"mnist/{name}", size, md5, tuple(mirror + name for mirror in mirrors))


def _cifar(name: str, size: int, md5: str) -> File:
    return File(name, size, md5, (f"https://www.cs.toronto.edu/~kriz/{name}",))


_MNIST_TRAIN = (
    _mnist("train-images-idx3-ubyte.gz", 9_912_422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
    _mnist("train-labels-idx1-ubyte.gz", 28_881, "d53e105ee54ea40749a09fcbcd1e9432"),
)
_MNIST_TEST = (
    _mnist("t10k-images-idx3-ubyte.gz", 1_648_877, "9fb629c4189551a2d022fa330f9573f3"),
    _mnist("t10k-labels-idx1-ubyte.gz", 4_542, "ec29112dd5afa0611ce80d1b7f02629c"),
)
_CIFAR10 = _cifar("cifar-10-binary.tar.gz", 170_052_171, "c32a1d4ab5d03f1284b67883e8d87530")
_CIFAR100 = _cifar("cifar-100-binary.tar.gz", 168_513_733, "03b5dce01913d631647c71ecec9e9cb8")

DATASETS: dict[str, DataSet] = {
    "mnist": DataSet(
        title="MNIST",
        files=_MNIST_TRAIN + _MNIST_TEST,
        read=read_mnist,
        n_classes=10,
        n_train=60_000,
        n_eval=10_000,
    ),
    "mnist_t10k": DataSet(
        title="MNIST, test digits only: the first 8,000 train, the last 2,000 evaluate",
        files=_MNIST_TEST,
        read=partial(read_mnist_part, n_train=8_000),
        n_classes=10,
        n_train=8_000,
        n_eval=2_000,
    ),
    "cifar10": DataSet(
        title="CIFAR-10",
        files=(_CIFAR10,),
        read=partial(
            read_cifar,
            train=tuple(f"cifar-10-batches-bin/data_batch_{i}.bin" for i in range(1, 6)),
            evaluation=("cifar-10-batches-bin/test_batch.bin",),
            n_labels=(10,),
        ),
        n_classes=10,
        n_train=50_000,
        n_eval=10_000,
    ),
    "cifar100": DataSet(
        title="CIFAR-100 (fine labels)",
        files=(_CIFAR100,),
        read=partial(
            read_cifar,
            train=("cifar-100-binary/train.bin",),
            evaluation=("cifar-100-binary/test.bin",),
            n_labels=(20, 100),
        ),
        n_classes=100,
        n_train=50_000,
        n_eval=10_000,
    ),
}


@functools.cache
def load(name: str) -> Images:
    """The images and labels of a data set, read once a process; do not write into its arrays.

    Args:
        name: a key of `DATASETS`, or the path of a .npz file, as `images.read_npz` reads it.

    Raises:
        InputError: if there is no such data set; if files are missing and cannot be fetched; or if
            a file is not what was published.
    """
    if name.endswith(".npz"):
        return read_npz(name)
    dataset = _find(name)
    images = dataset.read(fetch_files(dataset.title, dataset.files))
    found = (len(images.train_labels), len(images.eval_labels), images.n_classes)
    if found != (dataset.n_train, dataset.n_eval, dataset.n_classes):
        raise InputError(
            f"{', '.join(str(file.path) for file in dataset.files)}: hold {found[0]} training and "
            f"{found[1]} evaluation examples of {found[2]} classes; {dataset.title} has "
            f"{dataset.n_train} and {dataset.n_eval} of {dataset.n_classes}"
        )
    return images


def load_of_shape(name: str, shape: tuple[int, int, int]) -> Images:
    """What `load` gives, if its images have the shape (channels, height, width).

    Raises:
        InputError: as `load` does, or if they have another shape.
    """
    images = load(name)
    found = images.train_images.shape[1:]
    if found != shape:
        raise InputError(
            f"the images of data set {name} have shape {found} (channels, height, width); the task "
            f"takes images of shape {shape}"
        )
    return images


def n_classes(name: str) -> int:
    """Number of classes of a data set; a published one need not be there for it."""
    return (DATASETS.get(name) or load(name)).n_classes


def fetch(name: str) -> dict[str, Any]:
    """Have a data set's files in the folder, whole and readable, and say what they are.

    Args:
        name: as for `load`.

    Returns:
        `name`, `title`, `files` (each with `file`, relative to the folder, `size` in bytes, `md5`
        and `sha256`), `image_shape` (channels, height, width), `n_classes`, `n_train`, `n_eval`.

    Raises:
        InputError: as `load` does.
    """
    images = load(name)
    if name.endswith(".npz"):
        title, files = "an image set of one's own", {name: Path(name)}
    else:
        dataset = _find(name)
        title = dataset.title
        paths = fetch_files(title, dataset.files)
        files = {file.name: path for file, path in zip(dataset.files, paths, strict=True)}
    return {
        "name": name,
        "title": title,
        "files": [
            {
                "file": file,
                "size": path.stat().st_size,
                "md5": file_digest(path, "md5"),
                "sha256": file_digest(path),
            }
            for file, path in files.items()
        ],
        "image_shape": list(images.train_images.shape[1:]),
        "n_classes": images.n_classes,
        "n_train": len(images.train_labels),
        "n_eval": len(images.eval_labels),
    }


def _find(name: str) -> DataSet:
    if name not in DATASETS:
        raise InputError(
            f"there is no data set {name!r}; the data sets are {', '.join(DATASETS)}, "
            "or give the path of a .npz file with images of your own"
        )
    return DATASETS[name]
