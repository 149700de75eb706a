"""Small digits: a narrow ResNet-18, stable or destabilised, at a size that one CPU core trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from training_maps.training.tasks import Classification, Data, setting

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class SmallDigits(Classification):
    """Digits of 8x8 pixels, with cross entropy, learned by a narrow ResNet-18.

    What Hu et al. 2023 do to a ResNet-18 of CIFAR-100 (section 4) can be done here in minutes:
    batch norm and residual connections are each on or off.
    """

    shared_data: ClassVar[bool] = True
    profits_from_gpu: ClassVar[bool] = False

    batch_norm: bool = setting(True, "batch norm after each convolution")
    residual: bool = setting(True, "residual connections (shortcuts past two convolutions)")
    width: int = setting(8, "channels of the first stage; a ResNet-18 of CIFAR has 64", minimum=1)

    @property
    def side_by_side(self) -> bool:
        """No: batch norm has buffers, and on CPUs stacked convolutions have no fast code."""
        return False

    def data(self, generator: np.random.Generator) -> Data:
        """Images (n, 1, 8, 8) in uint8, which the network sees standardised, and digits (n,)."""
        from training_maps.training.datasets.small_digits import N_TRAIN, small_digits

        images, labels = small_digits()
        images = images[:, None]
        seen = images[:N_TRAIN].astype(np.float64)
        return Data(
            images[:N_TRAIN],
            labels[:N_TRAIN],
            images[N_TRAIN:],
            labels[N_TRAIN:],
            mean=np.full(1, seen.mean(), np.float32),
            std=np.full(1, seen.std(), np.float32),
        )

    def network(self) -> torch.nn.Module:
        """A ResNet-18 of `width` channels."""
        from training_maps.training.models.resnet import ResNet18

        return ResNet18(
            10,
            batch_norm=self.batch_norm,
            residual=self.residual,
            n_channels=1,
            width=self.width,
        )
