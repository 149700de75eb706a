"""The residual network of CIFAR, with batch norm and shortcuts each on or off."""

from __future__ import annotations

import torch
from torch import nn


class ResNet18(nn.Module):
    """ResNet-18 (He et al. 2016, Table 1) for images of 32x32: (batch, n_channels, 32, 32).

    As usual for images so small, and in the released code of Hu et al. 2023, the first convolution
    is 3x3 with stride 1 and no max pool follows it. Names of tensors are torchvision's.

    Without `batch_norm` there is no normalisation at all, in the shortcuts neither; without
    `residual` there are no shortcuts and none of their convolutions. Convolutions have no biases
    either way. They start normal with variance 2 / fan_out (He et al. 2015, as in torchvision), the
    last layer as torch's default, norms as the identity.

    `width` is the channels of the first stage, which each later one doubles.
    """

    def __init__(
        self,
        n_classes: int,
        *,
        batch_norm: bool = True,
        residual: bool = True,
        n_channels: int = 3,
        width: int = 64,
    ) -> None:
        """Make a network with fresh random parameters from torch's global generator."""
        super().__init__()

        def stage(n_inputs: int, n_outputs: int, stride: int) -> nn.Sequential:
            return nn.Sequential(
                BasicBlock(n_inputs, n_outputs, stride, batch_norm, residual),
                BasicBlock(n_outputs, n_outputs, 1, batch_norm, residual),
            )

        self.conv1 = _convolution(n_channels, width, kernel=3, stride=1)
        self.bn1 = _norm(width, batch_norm)
        self.layer1 = stage(width, width, 1)
        self.layer2 = stage(width, 2 * width, 2)
        self.layer3 = stage(2 * width, 4 * width, 2)
        self.layer4 = stage(4 * width, 8 * width, 2)
        self.fc = nn.Linear(8 * width, n_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The logits of the classes: (batch, n_classes)."""
        features = self.bn1(self.conv1(images)).relu_()
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            features = stage(features)
        return self.fc(features.mean((2, 3)))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and, if `residual`, a shortcut past them (He et al. 2016, Figure 5).

    (batch, n_inputs, height, width) to (batch, n_outputs, height / stride, width / stride). Where
    these shapes differ, the shortcut is a 1x1 convolution, called `downsample` as in torchvision.
    """

    def __init__(
        self, n_inputs: int, n_outputs: int, stride: int, batch_norm: bool, residual: bool
    ) -> None:
        """Make fresh random parameters from torch's global generator."""
        super().__init__()
        self.residual = residual
        self.conv1 = _convolution(n_inputs, n_outputs, kernel=3, stride=stride)
        self.bn1 = _norm(n_outputs, batch_norm)
        self.conv2 = _convolution(n_outputs, n_outputs, kernel=3, stride=1)
        self.bn2 = _norm(n_outputs, batch_norm)
        self.downsample: nn.Module = nn.Identity()
        if residual and (stride != 1 or n_inputs != n_outputs):
            self.downsample = nn.Sequential(
                _convolution(n_inputs, n_outputs, kernel=1, stride=stride),
                _norm(n_outputs, batch_norm),
            )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """What the next block reads."""
        added = self.bn1(self.conv1(features)).relu_()
        added = self.bn2(self.conv2(added))
        if self.residual:
            added = added + self.downsample(features)
        return added.relu_()


def _convolution(n_inputs: int, n_outputs: int, *, kernel: int, stride: int) -> nn.Conv2d:
    """A convolution without biases, padded so that stride 1 keeps an image's size."""
    layer = nn.Conv2d(n_inputs, n_outputs, kernel, stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer


def _norm(n_channels: int, batch_norm: bool) -> nn.Module:
    """A batch norm over channels, or nothing."""
    return nn.BatchNorm2d(n_channels) if batch_norm else nn.Identity()
