"""Digits in turn: first digits as they are, then with their pixels in another order.

Continual learning at its smallest (permuted digits, after Goodfellow et al. 2013): one network, one
set of outputs, two tasks one after another. What is evaluated is always the first task, so that
evaluation accuracy falls as it is forgotten; training accuracy is always that of the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from training_maps.training.tasks import Classification, Data, setting

if TYPE_CHECKING:
    import torch

_N_PIXELS = 64
_ORDER_SEED = 1


@dataclass(frozen=True)
class DigitsInTurn(Classification):
    """Digits of 8x8 pixels, and the same with permuted pixels, by one perceptron, in turn."""

    shared_data: ClassVar[bool] = True
    profits_from_gpu: ClassVar[bool] = False

    first_epochs: int = setting(20, "epochs of the first task; the second follows", minimum=1)
    hidden_size: int = setting(64, "hidden units of the perceptron", minimum=1)

    def data(self, generator: np.random.Generator) -> Data:
        """Training digits as in the second task, evaluation digits as in the first.

        Inputs are pixels from 0 to 16 in uint8, (n, 64), which the network sees from 0 to 1.
        """
        from training_maps.training.datasets.small_digits import N_TRAIN, small_digits

        images, labels = small_digits()
        pixels = images.reshape(len(images), _N_PIXELS)
        return Data(
            pixels[:N_TRAIN, _order()],
            labels[:N_TRAIN],
            pixels[N_TRAIN:],
            labels[N_TRAIN:],
            mean=np.zeros(1, np.float32),
            std=np.full(1, 16, np.float32),
        )

    def augmentation_in_epoch(
        self, generator: np.random.Generator, n: int, epoch: int
    ) -> np.ndarray | None:
        """Which task it is, for each example: (n,) of uint8, 0 or 1. Nothing is random."""
        return np.full(n, epoch >= self.first_epochs, np.uint8)

    def augment(self, inputs: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
        """Pixels of the first task are put back where they belong.

        Args:
            inputs: pixels in the second task's order, (batch, 64).
            draws: which task it is, (batch,).
        """
        import torch

        back = torch.from_numpy(np.argsort(_order())).to(inputs.device)
        return torch.where(draws.bool()[:, None], inputs, inputs[:, back])

    def network(self) -> torch.nn.Module:
        """An MLP 64 - hidden_size - 10."""
        from training_maps.training.models.mlp import MLP

        return MLP(_N_PIXELS, self.hidden_size, 10)


def _order() -> np.ndarray:
    """The order of the pixels in the second task."""
    return np.random.default_rng(_ORDER_SEED).permutation(_N_PIXELS)
