"""The multilayer perceptron of sparse parities, MNIST and the transformer."""

from __future__ import annotations

import torch
from torch import nn

from training_maps.utils.errors import InputError

INITIALISATIONS = ("torch", "xavier")


class MLP(nn.Module):
    """A perceptron with one hidden layer of ReLUs: (batch, n_inputs) to (batch, n_outputs).

    It starts in one of two ways. "torch" is the default of `nn.Linear`: weights and biases uniform
    within 1/sqrt(inputs of the layer) of zero. "xavier" is what the released code of Hu et al. 2023
    does: weights uniform within sqrt(6 / (inputs + outputs of the layer)) of zero (Glorot and
    Bengio 2010, equation 16), and biases zero.
    """

    def __init__(
        self, n_inputs: int, hidden_size: int, n_outputs: int, *, initialisation: str = "torch"
    ) -> None:
        """Make a network with fresh random parameters from torch's global generator.

        Raises:
            InputError: if `initialisation` is neither "torch" nor "xavier".
        """
        super().__init__()
        if initialisation not in INITIALISATIONS:
            raise InputError(
                f"initialisation of an MLP: expected one of {', '.join(INITIALISATIONS)}, "
                f"got {initialisation!r}"
            )
        self.hidden = nn.Linear(n_inputs, hidden_size)
        self.output = nn.Linear(hidden_size, n_outputs)
        if initialisation == "xavier":
            for layer in (self.hidden, self.output):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """The outputs before any softmax: (batch, n_outputs)."""
        return self.output(torch.relu(self.hidden(inputs)))
