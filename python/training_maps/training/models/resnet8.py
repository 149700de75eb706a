"""The smallest residual network of CIFAR, with batch norm and shortcuts each on or off."""

from __future__ import annotations

import torch
from torch import nn

from training_maps.training.models.resnet import BasicBlock


class ResNet8(nn.Module):
    """ResNet-8 (He et al. 2016, section 4.2, n = 1): (batch, 3, height, width) to logits.

    A 3x3 convolution and three stages of one block each, of `width`, twice and four times as many
    channels; the last two halve height and width. What is on and off, how values start, and the
    names of tensors are those of `resnet.ResNet18`; shortcuts that change shape are 1x1
    convolutions.
    """

    def __init__(
        self, n_classes: int, *, batch_norm: bool = True, residual: bool = True, width: int = 16
    ) -> None:
        """Make a network with fresh random parameters from torch's global generator."""
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.bn1: nn.Module = nn.BatchNorm2d(width) if batch_norm else nn.Identity()
        self.layer1 = BasicBlock(width, width, 1, batch_norm, residual)
        self.layer2 = BasicBlock(width, 2 * width, 2, batch_norm, residual)
        self.layer3 = BasicBlock(2 * width, 4 * width, 2, batch_norm, residual)
        self.fc = nn.Linear(4 * width, n_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The logits of the classes: (batch, n_classes)."""
        features = self.bn1(self.conv1(images)).relu_()
        for stage in (self.layer1, self.layer2, self.layer3):
            features = stage(features)
        return self.fc(features.mean((2, 3)))
