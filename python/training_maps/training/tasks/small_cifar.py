"""Small photographs: ResNet-8 on shrunk CIFAR-10, at a size that one CPU core trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from training_maps.training.tasks import Classification, Data, setting
from training_maps.utils.errors import InputError

if TYPE_CHECKING:
    import torch

_SIDE = 32


@dataclass(frozen=True)
class SmallCifar(Classification):
    """Photographs of a few classes, shrunk, with cross entropy, learned by a ResNet-8.

    What Hu et al. 2023 do to a ResNet-18 of CIFAR-100 (section 4) can be done here in minutes:
    batch norm and residual connections are each on or off.
    """

    shared_data: ClassVar[bool] = True
    profits_from_gpu: ClassVar[bool] = False

    dataset: str = setting(
        "cifar10", "cifar10; cifar100; or the path of a .npz file of such images", minLength=1
    )
    batch_norm: bool = setting(True, "batch norm after each convolution")
    residual: bool = setting(True, "residual connections (shortcuts past two convolutions)")
    width: int = setting(16, "channels of the first stage", minimum=1)
    side: int = setting(16, "pixels of a side; images of 32x32 are averaged", enum=[32, 16, 8])
    n_classes: int = setting(3, "classes: the first so many", minimum=2)
    n_train: int = setting(5000, "training images: the first so many of these classes", minimum=1)
    n_eval: int = setting(1000, "images for evaluation, likewise", minimum=1)

    @property
    def side_by_side(self) -> bool:
        """No: batch norm has buffers, and on CPUs stacked convolutions have no fast code."""
        return False

    def data(self, generator: np.random.Generator) -> Data:
        """Images (n, 3, side, side) in uint8 and classes (n,) in int64.

        The network sees each channel with mean 0 and standard deviation 1 over the training images.

        Raises:
            InputError: if the data set cannot be had, its images are not of 32x32 in colour, or
                there are too few of these classes.
        """
        from training_maps.training.datasets import load_of_shape
        from training_maps.training.tasks.cifar import channel_statistics

        images = load_of_shape(self.dataset, (3, _SIDE, _SIDE))
        train = self._some(images.train_images, images.train_labels, self.n_train)
        evaluation = self._some(images.eval_images, images.eval_labels, self.n_eval)
        mean, std = channel_statistics(train[0])
        return Data(*train, *evaluation, mean=mean, std=std)

    def _some(
        self, images: np.ndarray, labels: np.ndarray, n: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The first `n` images of the first classes, shrunk, and their labels."""
        chosen = np.flatnonzero(labels < self.n_classes)[:n]
        there = np.unique(labels[chosen])
        if len(chosen) < n or len(there) < self.n_classes:
            raise InputError(
                f"data set {self.dataset}: has {len(chosen)} images of {len(there)} classes below "
                f"{self.n_classes} in one of its parts; the task takes {n} of {self.n_classes}"
            )
        factor = _SIDE // self.side
        parts = images[chosen].reshape(n, 3, self.side, factor, self.side, factor)
        return np.rint(parts.mean((3, 5))).astype(np.uint8), labels[chosen]

    def network(self) -> torch.nn.Module:
        """A ResNet-8."""
        from training_maps.training.models.resnet8 import ResNet8

        return ResNet8(
            self.n_classes, batch_norm=self.batch_norm, residual=self.residual, width=self.width
        )
