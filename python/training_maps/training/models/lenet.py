"""The small convolutional network of MNIST."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import max_pool2d


class LeNet5(nn.Module):
    """LeNet-5 for images of 28x28: (batch, 1, 28, 28) to (batch, n_classes).

    The layers of LeCun et al. 1998, Figure 2, whose first convolution sees images of 32x32: here it
    pads them with zeros. ReLUs, max pools and fully connected layers throughout, as in the released
    code of Hu et al. 2023, which also has a batch norm after each convolution (`batch_norm=True`).
    As there, convolutions keep their biases then, which have no effect: rounding errors are all the
    gradient that they get. All layers start as torch's defaults.
    """

    def __init__(self, n_classes: int = 10, *, batch_norm: bool = False) -> None:
        """Make a network with fresh random parameters from torch's global generator."""
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.bn1 = nn.BatchNorm2d(6) if batch_norm else nn.Identity()
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.bn2 = nn.BatchNorm2d(16) if batch_norm else nn.Identity()
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, n_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The logits of the classes: (batch, n_classes)."""
        features = max_pool2d(self.bn1(self.conv1(images)).relu(), 2)  # (batch, 6, 14, 14)
        features = max_pool2d(self.bn2(self.conv2(features)).relu(), 2)  # (batch, 16, 5, 5)
        hidden = self.fc1(features.flatten(1)).relu()
        return self.fc3(self.fc2(hidden).relu())
