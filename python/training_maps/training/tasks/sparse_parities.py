"""Sparse parities (Barak et al. 2022; Hu et al. 2023, Table 4): find the few bits that matter.

An input is a vector of random signs; its label is the product of the first `n_relevant_bits` of
them. The network must find out which bits those are, and so memorises first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from training_maps.training.tasks import Data, Task, setting
from training_maps.utils.errors import InputError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class SparseParities(Task):
    """Parity of `n_relevant_bits` out of `n_bits`, with hinge loss, learned by a one-layer MLP."""

    profits_from_gpu: ClassVar[bool] = False

    n_bits: int = setting(40, "bits of an input", minimum=1)
    n_relevant_bits: int = setting(3, "bits whose product is the label", minimum=1)
    n_train: int = setting(1000, "training examples", minimum=1)
    n_eval: int = setting(100, "evaluation examples", minimum=1)
    hidden_size: int = setting(128, "hidden units of the perceptron", minimum=1)
    initialisation: str = setting(
        "torch",
        "how weights start: torch's default, or Xavier-uniform with zero biases",
        enum=["torch", "xavier"],
    )

    def __post_init__(self) -> None:
        """Refuse more relevant bits than there are bits."""
        if self.n_relevant_bits > self.n_bits:
            raise InputError(
                f"task sparse_parities: n_relevant_bits ({self.n_relevant_bits}) is more than "
                f"n_bits ({self.n_bits})"
            )

    def data(self, generator: np.random.Generator) -> Data:
        """Inputs (n, n_bits) and targets (n,), both of signs +1 and -1 in float32."""
        n_examples = self.n_train + self.n_eval
        signs = generator.integers(0, 2, size=(n_examples, self.n_bits)) * 2 - 1
        inputs = signs.astype(np.float32)
        targets = inputs[:, : self.n_relevant_bits].prod(axis=1)
        return Data(
            inputs[: self.n_train],
            targets[: self.n_train],
            inputs[self.n_train :],
            targets[self.n_train :],
        )

    def network(self) -> torch.nn.Module:
        """An MLP n_bits - hidden_size - 1."""
        from training_maps.training.models.mlp import MLP

        return MLP(self.n_bits, self.hidden_size, 1, initialisation=self.initialisation)

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Hinge loss, max(0, 1 - output * target), averaged over the batch."""
        return (1 - outputs.squeeze(-1) * targets).clamp(min=0).mean()

    def correct(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Whether the output has the target's sign."""
        return outputs.squeeze(-1) * targets > 0
