"""CIFAR-100 and CIFAR-10 (Krizhevsky 2009; Hu et al. 2023, Table 6): small colour photographs."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from training_maps.training.tasks import Classification, Data, setting

if TYPE_CHECKING:
    import torch

_SIDE = 32
_IMAGE = (3, _SIDE, _SIDE)
_PADDING = 4
_OFFSETS = 2 * _PADDING + 1  # where a crop can begin in a padded row or column


@dataclass(frozen=True)
class Cifar(Classification):
    """Photographs of 32x32 pixels, with cross entropy, learned by a ResNet-18."""

    shared_data: ClassVar[bool] = True

    dataset: str = setting(
        "cifar100", "cifar100; cifar10; or the path of a .npz file of such images", minLength=1
    )
    batch_norm: bool = setting(True, "batch norm after each convolution")
    residual: bool = setting(True, "residual connections (shortcuts past two convolutions)")
    augmented: bool = setting(
        True, "train on random crops (reflect padding of 4 pixels), flipped half of the time"
    )

    @property
    def side_by_side(self) -> bool:
        """No: one such network keeps a device busy."""
        return False

    def data(self, generator: np.random.Generator) -> Data:
        """Images (n, 3, 32, 32) in uint8 and classes (n,) in int64.

        The network sees each channel with mean 0 and standard deviation 1 over the training images.

        Raises:
            InputError: if the data set cannot be had, or its images are not of 32x32 in colour.
        """
        from training_maps.training.datasets import load_of_shape

        images = load_of_shape(self.dataset, _IMAGE)
        mean, std = channel_statistics(images.train_images)
        return Data(
            images.train_images,
            images.train_labels,
            images.eval_images,
            images.eval_labels,
            mean=mean,
            std=std,
        )

    def augmentation(self, generator: np.random.Generator, n: int) -> np.ndarray | None:
        """For each example the crop's first row and column, 0 to 8, and whether it is flipped.

        Returns:
            (n, 3) of uint8; None if training images are used as they are.
        """
        if not self.augmented:
            return None
        return generator.integers(0, [_OFFSETS, _OFFSETS, 2], size=(n, 3), dtype=np.uint8)

    def augment(self, inputs: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
        """Pad each image by reflection, crop it where `draws` says, and flip it if so drawn.

        Args:
            inputs: images, (batch, 3, 32, 32).
            draws: rows of `augmentation`, (batch, 3).

        Returns:
            Images of the same shape and type, on the same device.
        """
        row, column, flip = draws.long().unbind(1)
        sources = _sources(inputs.device)[(row * _OFFSETS + column) * 2 + flip]
        pixels = inputs.flatten(2)  # (batch, 3, 1024)
        return pixels.gather(2, sources[:, None].expand_as(pixels)).view_as(inputs)

    def network(self) -> torch.nn.Module:
        """A ResNet-18."""
        from training_maps.training.datasets import n_classes
        from training_maps.training.models.resnet import ResNet18

        return ResNet18(n_classes(self.dataset), batch_norm=self.batch_norm, residual=self.residual)


def channel_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and population standard deviation of each channel, in units of pixel values.

    Args:
        images: (n, channels, height, width) of uint8.

    Returns:
        Both (channels, 1, 1) of float32. A channel that is constant has standard deviation 1, so
        that it becomes 0 when it is standardised, and not NaN.
    """
    mean, std = [], []
    for channel in range(images.shape[1]):
        values = images[:, channel]
        # Sums of integers: exact, and without a copy of all images in float64.
        total = int(values.sum(dtype=np.int64))
        squares = int(np.square(values, dtype=np.uint16).sum(dtype=np.int64))
        variance = (values.size * squares - total**2) / values.size**2
        mean.append(total / values.size)
        std.append(np.sqrt(variance) if variance > 0 else 1.0)
    as_channels = (images.shape[1], 1, 1)
    return (
        np.array(mean, np.float32).reshape(as_channels),
        np.array(std, np.float32).reshape(as_channels),
    )


@functools.cache
def _sources(device: torch.device) -> torch.Tensor:
    """For each draw (row, column, flip), in this order, which pixel each pixel of the crop shows.

    Returns:
        Indices into the 1024 pixels of an image: (9 x 9 x 2, 1024).
    """
    import torch

    positions = np.arange(_OFFSETS)[:, None] + np.arange(_SIDE) - _PADDING  # (offset, pixel)
    last = _SIDE - 1
    reflected = last - np.abs(last - np.abs(positions))
    columns = np.stack([reflected, reflected[:, ::-1]], axis=1)  # (offset, flip, pixel)
    sources = _SIDE * reflected[:, None, None, :, None] + columns[None, :, :, None, :]
    return torch.from_numpy(sources.reshape(-1, _SIDE * _SIDE)).to(device)
