"""The independent second opinion on image networks: their layers in NumPy."""

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view


def relu(x):
    return np.maximum(x, 0)


def convolution(x, weight, stride=1, padding=0):
    """x (n, c, h, w), weight (out, c, k, k): the sum over windows, as its definition has it."""
    x = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    windows = sliding_window_view(x, weight.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
    return np.moveaxis(np.tensordot(windows, weight, axes=([1, 4, 5], [1, 2, 3])), -1, 1)


def max_pool(x):
    """The largest of each 2x2 window."""
    corners = [x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    return np.maximum.reduce(corners)


class BatchNorms:
    """Batch norm of any layer of a state dict; in training it notes the running statistics."""

    def __init__(self, state, training):
        self.state, self.training, self.running = state, training, {}

    def __call__(self, x, name):
        mean, variance = self.state[f"{name}.running_mean"], self.state[f"{name}.running_var"]
        if self.training:
            values = np.moveaxis(x, 1, 0).reshape(x.shape[1], -1)
            self.running[f"{name}.running_mean"] = 0.9 * mean + 0.1 * values.mean(1)
            self.running[f"{name}.running_var"] = 0.9 * variance + 0.1 * values.var(1, ddof=1)
            mean, variance = values.mean(1), values.var(1)
        scale = self.state[f"{name}.weight"] / np.sqrt(variance + 1e-5)
        shift = self.state[f"{name}.bias"] - mean * scale
        return x * scale[:, None, None] + shift[:, None, None]


def arrays(network):
    """Copies of a network's parameters and buffers, by name."""
    return {name: value.numpy().copy() for name, value in network.state_dict().items()}


def randomise(network):
    """Give values of their own to biases, norms and running statistics, which start trivial."""
    for name, value in network.state_dict().items():
        if name.endswith("running_var") or (name.endswith("weight") and value.dim() == 1):
            torch.nn.init.uniform_(value, 0.5, 1.5)
        elif name.endswith(("bias", "running_mean")):
            torch.nn.init.normal_(value)


def compare(network, twin, images):
    """A network and `twin(state, images, norms)` agree in training and in evaluation mode."""
    for training in (True, False):
        before = arrays(network)
        norms = BatchNorms(before, training)
        with torch.no_grad():
            outputs = network.train(training)(torch.from_numpy(images)).numpy()
        np.testing.assert_allclose(outputs, twin(before, images, norms), rtol=1e-9, atol=1e-9)
        after = arrays(network)
        names = {name for name in before if not np.array_equal(before[name], after[name])}
        assert names == set(norms.running) | {
            name.replace("running_mean", "num_batches_tracked") for name in norms.running
            if name.endswith("running_mean")
        }  # fmt: skip
        for name, value in norms.running.items():
            np.testing.assert_allclose(after[name], value, rtol=1e-10, atol=1e-12, err_msg=name)
    return outputs


def assert_all_is_trained(network, images):
    """Every parameter has a gradient: none is dead weight."""
    network.train()(torch.from_numpy(images)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def residual_network(blocks, batch_norm, residual):
    """The forward pass of a network of basic blocks, as He et al. 2016 draw it.

    Args:
        blocks: of each block, what its tensors are called and its first stride.
        batch_norm: whether each convolution is normalised.
        residual: whether there are shortcuts.
    """

    def forward(p, x, norms):
        def normalised(x, name):
            return norms(x, name) if batch_norm else x

        x = relu(normalised(convolution(x, p["conv1.weight"], 1, 1), "bn1"))
        for at, stride in blocks:
            y = convolution(x, p[f"{at}.conv1.weight"], stride, 1)
            y = relu(normalised(y, f"{at}.bn1"))
            y = normalised(convolution(y, p[f"{at}.conv2.weight"], 1, 1), f"{at}.bn2")
            if residual and stride == 2:
                x = convolution(x, p[f"{at}.downsample.0.weight"], 2)
                x = normalised(x, f"{at}.downsample.1")
            x = relu(x + y) if residual else relu(y)
        return x.mean((2, 3)) @ p["fc.weight"].T + p["fc.bias"]

    return forward
