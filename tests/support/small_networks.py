"""A catalogue of small networks of many kinds, as people bring them, each as a task."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from training_maps.training.tasks import Classification, Data

N_TRAIN, N_EVAL = 20, 9
_EXAMPLES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "vectors": lambda rng, n: rng.normal(size=(n, 6)).astype(np.float32),
    "series": lambda rng, n: rng.normal(size=(n, 5, 6)).astype(np.float32),
    "images": lambda rng, n: rng.normal(size=(n, 4, 8, 8)).astype(np.float32),
    "tokens": lambda rng, n: rng.integers(0, 7, (n, 5)),
}


class SmallTask(Classification):
    """Random examples of three classes, and networks that `make` makes."""

    examples: ClassVar[str]
    make: ClassVar[Callable[[], nn.Module]]

    def data(self, generator):
        n = N_TRAIN + N_EVAL
        inputs, targets = _EXAMPLES[self.examples](generator, n), generator.integers(0, 3, n)
        return Data(inputs[:N_TRAIN], targets[:N_TRAIN], inputs[N_TRAIN:], targets[N_TRAIN:])

    def network(self):
        return type(self).make()


STACKED: dict[str, type[SmallTask]] = {}
"""Networks that can be stacked."""
ALONE: dict[str, tuple[type[SmallTask], str]] = {}
"""Networks that cannot, and words of the reason."""


def small_task(name: str, side_by_side: bool) -> SmallTask:
    """The task of the network called `name`."""
    task = STACKED[name] if name in STACKED else ALONE[name][0]
    return type(name, (task,), {"side_by_side": side_by_side})()


def _of(examples: str, reason: str | None = None) -> Callable[[Callable[[], nn.Module]], Any]:
    """Put a network into the catalogue; with a reason, among those that cannot be stacked."""

    def put(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        members = {"examples": examples, "make": staticmethod(make)}
        task = type(make.__name__, (SmallTask,), members)
        if reason is None:
            STACKED[make.__name__] = task
        else:
            ALONE[make.__name__] = (task, reason)
        return make

    return put


class Net(nn.Module):
    """A network of some parts, and a function of it and its inputs that computes its outputs."""

    def __init__(self, forward, **parts):
        super().__init__()
        self._function = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, inputs):
        return self._function(self, inputs)


def _weights(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape) / shape[-1] ** 0.5)


def _perceptron(function, **others) -> Net:
    """`function` of a network with layers `a` (6 to 8) and `b` (8 to 3)."""
    return Net(function, a=nn.Linear(6, 8), b=nn.Linear(8, 3), **others)


# Products, by other ways than nn.Linear.


@_of("vectors")
def einsum():
    def forward(net, x):
        return torch.relu(torch.einsum("hd,bd->bh", net.w, x)) @ net.o

    return Net(forward, w=_weights(8, 6), o=_weights(8, 3))


@_of("vectors")
def transposed_parameter():
    w = nn.Parameter(torch.randn(6, 8).T / 2)
    return Net(lambda net, x: torch.relu(x @ net.w.T) @ net.o, w=w, o=_weights(8, 3))


@_of("vectors")
def bilinear():
    return Net(lambda net, x: net.w(x, x), w=nn.Bilinear(6, 6, 3))


@_of("vectors")
def fourier():
    def forward(net, x):
        return torch.fft.rfft(x @ net.w).abs() @ net.o

    return Net(forward, w=_weights(6, 6), o=_weights(4, 3))


# Parameters: shared, frozen, not used, single numbers, derived from others.


@_of("vectors")
def tied():
    net = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))
    net[2].weight = net[0].weight
    return net


@_of("tokens")
def tied_embedding():
    net = Net(
        lambda net, x: net.u(torch.tanh(net.h(net.e(x).mean(1)))),
        e=nn.Embedding(7, 6), h=nn.Linear(6, 6), u=nn.Linear(6, 7, bias=False),
    )  # fmt: skip
    net.u.weight = net.e.weight
    return net


@_of("vectors")
def frozen():
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    net[0].weight.requires_grad_(False)
    return net


@_of("vectors")
def unused():
    return Net(lambda net, x: net.a(x), a=nn.Linear(6, 3), b=nn.Linear(8, 3))


@_of("vectors")
def one_number():
    return _perceptron(
        lambda net, x: net.b(torch.relu(net.a(x) * net.scale)),
        scale=nn.Parameter(torch.tensor(1.5)),
    )


@_of("vectors")
def weight_norm():
    normed = torch.nn.utils.parametrizations.weight_norm(nn.Linear(6, 8))
    return nn.Sequential(normed, nn.ReLU(), nn.Linear(8, 3))


@_of("vectors")
def double_precision():
    return Net(lambda net, x: net.a(x.double()).to(x.dtype), a=nn.Linear(6, 3).double())


# Convolutions.


@_of("images")
def grouped():
    return nn.Sequential(
        nn.Conv2d(4, 8, 3, groups=2), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU(),
        nn.Flatten(), nn.Linear(128, 3),
    )  # fmt: skip


@_of("images")
def dilated():
    return nn.Sequential(
        nn.Conv2d(4, 6, 3, dilation=2, padding=1, stride=2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3),
    )  # fmt: skip


@_of("images")
def transposed_convolution():
    return nn.Sequential(
        nn.ConvTranspose2d(4, 3, 3, stride=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(192, 3),
    )  # fmt: skip


@_of("images")
def circular():
    return nn.Sequential(
        nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"), nn.ELU(), nn.AvgPool2d(2),
        nn.Upsample(scale_factor=2), nn.Flatten(), nn.Linear(384, 3),
    )  # fmt: skip


@_of("images")
def one_and_three_dimensions():
    def forward(net, x):
        rows = torch.relu(net.one(x.flatten(2))).unflatten(-1, (2, 31))
        return net.o(net.three(rows[:, :, None]).flatten(1))

    return Net(
        forward, one=nn.Conv1d(4, 3, 3), three=nn.Conv3d(3, 2, (1, 2, 3)), o=nn.Linear(58, 3)
    )


# Norms. A bias in front of one has no gradient but rounding, which Adam makes whole steps of.


@_of("vectors")
def layer_norm():
    return nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3))


@_of("vectors")
def rms_norm():
    return nn.Sequential(nn.Linear(6, 8), nn.RMSNorm(8), nn.ReLU(), nn.Linear(8, 3))


@_of("images")
def group_norm():
    return nn.Sequential(
        nn.Conv2d(4, 8, 3), nn.GroupNorm(2, 8), nn.SiLU(), nn.Flatten(), nn.Linear(288, 3)
    )


@_of("images")
def instance_norm():
    return nn.Sequential(
        nn.Conv2d(4, 8, 3, bias=False), nn.InstanceNorm2d(8, affine=True), nn.SiLU(),
        nn.Flatten(), nn.Linear(288, 3),
    )  # fmt: skip


@_of("vectors")
def batch_norm_of_the_batch():
    return nn.Sequential(
        nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8, track_running_stats=False), nn.ReLU(),
        nn.Linear(8, 3),
    )  # fmt: skip


@_of("vectors", "buffers")
def batch_norm():
    return nn.Sequential(nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


# Sequences.


@_of("tokens")
def embedding():
    return Net(
        lambda net, x: net.o(torch.relu(net.e(x).flatten(1))),
        e=nn.Embedding(7, 4, padding_idx=0), o=nn.Linear(20, 3),
    )  # fmt: skip


@_of("tokens")
def embedding_bag():
    return Net(
        lambda net, x: net.o(torch.relu(net.e(x))), e=nn.EmbeddingBag(7, 4), o=nn.Linear(4, 3)
    )


@_of("series")
def multihead_attention():
    return Net(
        lambda net, x: net.o(net.a(x, x, x, need_weights=False)[0].mean(1)),
        a=nn.MultiheadAttention(6, 2, bias=False, batch_first=True), o=nn.Linear(6, 3),
    )  # fmt: skip


@_of("series")
def causal_attention():
    def forward(net, x):
        query, key, value = net.q(x).unflatten(-1, (3, 2, 3)).permute(2, 0, 3, 1, 4)
        read = scaled_dot_product_attention(query, key, value, is_causal=True)
        return net.o(read.transpose(1, 2).flatten(2)[:, -1])

    return Net(forward, q=nn.Linear(6, 18, bias=False), o=nn.Linear(6, 3))


@_of("series")
def encoder_layer():
    layer = nn.TransformerEncoderLayer(6, 2, 12, dropout=0.0, batch_first=True, bias=False)
    return Net(lambda net, x: net.o(net.a(x).mean(1)), a=layer, o=nn.Linear(6, 3))


@_of("series")
def lstm():
    return Net(
        lambda net, x: net.o(net.r(x)[0][:, -1]),
        r=nn.LSTM(6, 5, batch_first=True), o=nn.Linear(5, 3),
    )  # fmt: skip


@_of("series")
def gru():
    return Net(
        lambda net, x: net.o(net.r(x)[0][:, -1]),
        r=nn.GRU(6, 5, batch_first=True), o=nn.Linear(5, 3),
    )  # fmt: skip


@_of("series")
def lstm_cell():
    def forward(net, x):
        hidden = cell = x.new_zeros(len(x), 5)
        for inputs in x.unbind(1):
            hidden, cell = net.r(inputs, (hidden, cell))
        return net.o(hidden)

    return Net(forward, r=nn.LSTMCell(6, 5), o=nn.Linear(5, 3))


# Control flow, and what is done in place.


@_of("vectors")
def loop():
    def forward(net, x):
        hidden = torch.tanh(net.a(x))
        for k in range(4):
            new = torch.tanh(net.c(hidden))
            hidden = hidden + new if k % 2 else new * hidden
        return net.b(hidden)

    return _perceptron(forward, c=nn.Linear(8, 8))


@_of("vectors")
def branch_on_the_shape():
    def forward(net, x):
        hidden = net.a(x)
        return net.b(torch.relu(hidden) if len(x) == 8 else torch.tanh(hidden))

    return _perceptron(forward)


@_of("vectors")
def where():
    def forward(net, x):
        hidden = net.a(x)
        return net.b(torch.where(hidden > 0, hidden, hidden.exp() - 1))

    return _perceptron(forward)


@_of("vectors")
def largest():
    def forward(net, x):
        hidden = net.a(x)
        return net.b(hidden.masked_fill(hidden < hidden.topk(3).values[:, -1:], 0))

    return _perceptron(forward)


@_of("vectors")
def written_in_place():
    def forward(net, x):
        hidden = net.a(x)
        new = torch.zeros_like(hidden)
        new[:, ::2] = hidden[:, 1::2]
        new[:, 1] = hidden.sum(1)
        return net.b(torch.relu_(new))

    return _perceptron(forward)


@_of("vectors")
def other_in_evaluation():
    return Net(lambda net, x: net.a(x) * (2 if net.training else 1), a=nn.Linear(6, 3))


@_of("vectors", "go by a tensor's values")
def branch_on_a_value():
    def forward(net, x):
        hidden = net.a(x)
        return net.b(torch.relu(hidden) if hidden.mean() > 0 else hidden)

    return _perceptron(forward)


@_of("vectors", "go by a tensor's values")
def loop_until():
    def forward(net, x):
        hidden = net.a(x)
        while hidden.norm() > 2:
            hidden = hidden / 2
        return net.b(hidden)

    return _perceptron(forward)


@_of("vectors", "change calls as they compute")
def counting():
    def forward(net, x):
        net.calls += 1
        return net.b(torch.relu(net.a(x)) if net.calls > 2 else net.a(x))

    return _perceptron(forward, calls=0)


# Randomness.


@_of("vectors", "draw random numbers")
def dropout():
    return nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 3))


@_of("vectors", "draw random numbers")
def noise():
    return _perceptron(lambda net, x: net.b(torch.relu(net.a(x + 0.1 * torch.randn_like(x)))))


@_of("vectors", "draw random numbers")
def chance_of_python():
    def forward(net, x):
        skip = net.training and random.random() < 0.5
        return net.b(net.a(x) if skip else torch.relu(net.a(x)))

    return _perceptron(forward)


@_of("vectors", "draw random numbers")
def chance_of_numpy():
    def forward(net, x):
        scale = 1 + net.training * float(np.random.rand())  # noqa: NPY002  # as people do
        return net.b(torch.relu(scale * net.a(x)))

    return _perceptron(forward)


# Drawn in a precision of its own, so that the plain loop is in float32.
RANDOM_ALONE = ("dropout", "noise", "chance_of_python", "chance_of_numpy")
