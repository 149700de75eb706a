"""The networks that are trained, in plain torch: one network, no thought of seeds or devices."""

from __future__ import annotations

import torch
from torch import nn


class MLP(nn.Module):
    """A perceptron with one hidden layer of ReLUs: (batch, n_inputs) to (batch, n_outputs).

    torch's default initialisation of `nn.Linear`: uniform within 1/sqrt(n_inputs) of zero.
    """

    def __init__(self, n_inputs: int, hidden_size: int, n_outputs: int) -> None:
        """Make a network with fresh random parameters from torch's global generator."""
        super().__init__()
        self.hidden = nn.Linear(n_inputs, hidden_size)
        self.output = nn.Linear(hidden_size, n_outputs)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """The outputs before any softmax: (batch, n_outputs)."""
        return self.output(torch.relu(self.hidden(inputs)))
