"""Modular addition (Nanda et al. 2023; Hu et al. 2023, Table 5): grokking in a small transformer.

An example is three tokens, "x y =", and its label is (x + y) mod `modulus`. A part of the table of
all sums is trained on; the network memorises it first, and much later answers the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training_maps.training.tasks import Classification, Data, setting
from training_maps.utils.errors import InputError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ModularAddition(Classification):
    """Sums modulo `modulus`, with cross entropy, learned by a one-layer transformer."""

    modulus: int = setting(113, "numbers are added modulo this", minimum=2)
    train_share: float = setting(
        0.3,
        "share of all pairs that is trained on, rounded down; the rest is for evaluation",
        exclusiveMinimum=0,
        exclusiveMaximum=1,
    )
    d_model: int = setting(128, "width of the residual stream", minimum=1)
    n_heads: int = setting(4, "attention heads", minimum=1)
    d_head: int = setting(32, "width of a head", minimum=1)
    d_mlp: int = setting(512, "hidden units of the MLP", minimum=1)
    layer_norm: bool = setting(False, "layer norm after attention and after the MLP")

    def __post_init__(self) -> None:
        """Refuse a share that leaves nothing to train on."""
        if self._n_train < 1:
            raise InputError(
                f"task modular_addition: train_share ({self.train_share}) of the "
                f"{self.modulus**2} pairs is less than one example"
            )

    @property
    def _n_train(self) -> int:
        return int(self.train_share * self.modulus**2)

    def data(self, generator: np.random.Generator) -> Data:
        """Tokens (n, 3), of which the last is "=" (`modulus`), and sums (n,), both in int64."""
        pairs = generator.permutation(self.modulus**2)
        x, y = np.divmod(pairs, self.modulus)
        inputs = np.stack([x, y, np.full_like(x, self.modulus)], axis=1)
        targets = (x + y) % self.modulus
        n_train = self._n_train
        return Data(inputs[:n_train], targets[:n_train], inputs[n_train:], targets[n_train:])

    def network(self) -> torch.nn.Module:
        """A transformer whose vocabulary is the numbers and "="."""
        from training_maps.training.models.transformer import TabulatedTransformer

        return TabulatedTransformer(
            self.modulus + 1,
            3,
            last_token=self.modulus,
            d_model=self.d_model,
            n_heads=self.n_heads,
            d_head=self.d_head,
            d_mlp=self.d_mlp,
            layer_norm=self.layer_norm,
        )
