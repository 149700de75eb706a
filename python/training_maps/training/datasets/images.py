"""Labelled images in memory, and how an image set of one's own is read."""

from __future__ import annotations

import os
import zipfile
import zlib
from dataclasses import dataclass, fields

import numpy as np

from training_maps.utils.errors import InputError

_CHANNELS = (1, 3)  # grey or colour: what tells the axis of channels from height and width


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images for training and for evaluation.

    Attributes:
        train_images: uint8, (n_train, channels, height, width).
        train_labels: int64, (n_train,), from 0 to n_classes - 1.
        eval_images: uint8, (n_eval, channels, height, width).
        eval_labels: int64, (n_eval,).
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    eval_images: np.ndarray
    eval_labels: np.ndarray

    @property
    def n_classes(self) -> int:
        """One more than the largest training label."""
        return int(self.train_labels.max()) + 1


def read_npz(path: str | os.PathLike[str]) -> Images:
    """Read an image set of one's own from a .npz file, as `numpy.savez` writes it.

    The file holds four arrays, named as the fields of `Images`. Images are uint8 of shape
    (n, height, width), which is n grey images, (n, channels, height, width) or (n, height, width,
    channels), with 1 or 3 channels. Labels are whole numbers from 0 on, of any integer type, and
    every class has a training example.

    Raises:
        InputError: if the file is missing or broken, or an array is not what it should be; the
            message names the file, the array, and what was expected.
    """
    arrays = _arrays(path)
    train_images = _channels_first(arrays["train_images"], f"{path}: train_images")
    eval_images = _channels_first(arrays["eval_images"], f"{path}: eval_images")
    if train_images.shape[1:] != eval_images.shape[1:]:
        raise InputError(
            f"{path}: images of train_images are {train_images.shape[1:]} (channels, height, "
            f"width), those of eval_images {eval_images.shape[1:]}; they must agree"
        )
    train_labels = _labels(arrays["train_labels"], len(train_images), f"{path}: train_labels")
    classes = np.unique(train_labels)
    gap = np.flatnonzero(classes != np.arange(len(classes)))
    if len(gap):
        raise InputError(
            f"{path}: train_labels has no example of class {gap[0]}, but one of class "
            f"{classes[-1]}; number the classes 0, 1, 2, ... without gaps"
        )
    eval_labels = _labels(arrays["eval_labels"], len(eval_images), f"{path}: eval_labels")
    if eval_labels.max() >= len(classes):
        raise InputError(
            f"{path}: eval_labels has class {eval_labels.max()}, of which train_labels has no "
            "example"
        )
    return Images(train_images, train_labels, eval_images, eval_labels)


def _arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The four arrays of a .npz file, as they are there."""
    names = [field.name for field in fields(Images)]
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in names if name not in file.files]
            if missing:
                raise InputError(
                    f"{path}: has no array {', '.join(missing)}; "
                    f"it has {', '.join(file.files) or 'none'}"
                )
            return {name: file[name] for name in names}
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"{path}: is not a whole .npz file of numbers ({error}); "
            f"write it with numpy.savez, with the arrays {', '.join(names)}"
        ) from error


def _channels_first(images: np.ndarray, where: str) -> np.ndarray:
    """Images as (n, channels, height, width), whichever way they came."""
    if images.dtype != np.uint8:
        raise InputError(f"{where} is {images.dtype}; expected uint8, from 0 (black) to 255")
    if images.size == 0:
        raise InputError(f"{where} is empty: its shape is {images.shape}")
    if images.ndim == 3:
        return images[:, None]
    first, last = (
        (images.shape[1] in _CHANNELS, images.shape[3] in _CHANNELS)
        if images.ndim == 4
        else (False, False)
    )
    if first == last:
        ambiguous = "both its second and last axis may be channels" if first else "found none"
        raise InputError(
            f"{where} has shape {images.shape}; expected (n, height, width), (n, channels, height, "
            f"width) or (n, height, width, channels) with 1 or 3 channels: {ambiguous}"
        )
    return np.ascontiguousarray(images if first else images.transpose(0, 3, 1, 2))


def _labels(labels: np.ndarray, n: int, where: str) -> np.ndarray:
    """Labels as int64, one for each of `n` images."""
    if labels.dtype.kind not in "iu":
        raise InputError(f"{where} is {labels.dtype}; expected integers, the numbers of classes")
    if labels.shape != (n,):
        raise InputError(f"{where} has shape {labels.shape}; expected ({n},), one for each image")
    if labels.min() < 0 or labels.max() > np.iinfo(np.int64).max:
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise InputError(f"{where} has {wrong}; expected numbers of classes, 0, 1, 2, ...")
    return labels.astype(np.int64)
