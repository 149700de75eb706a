"""LeNet-5: an independent forward pass, its sizes, and which of its tensors count."""

import numpy as np
import pytest
import torch

from tests.support.numpy_layers import (
    assert_all_is_trained,
    compare,
    convolution,
    max_pool,
    randomise,
    relu,
)
from training_maps.metrics.parameters import MatrixSpec, select_parameters
from training_maps.training.models.lenet import LeNet5

both = pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "batch_norm"])


def twin(batch_norm):
    """LeCun et al. 1998, Figure 2, with ReLUs and max pools: images of 32x32 with a black edge."""

    def forward(p, images, norms):
        x = np.zeros((len(images), 1, 32, 32))
        x[:, :, 2:30, 2:30] = images
        for layer in ("1", "2"):
            x = convolution(x, p[f"conv{layer}.weight"])
            x = x + p[f"conv{layer}.bias"][:, None, None]
            x = max_pool(relu(norms(x, f"bn{layer}") if batch_norm else x))
        assert x.shape[1:] == (16, 5, 5)
        x = x.reshape(len(x), 400)
        for layer in ("fc1", "fc2"):
            x = relu(x @ p[f"{layer}.weight"].T + p[f"{layer}.bias"])
        return x @ p["fc3.weight"].T + p["fc3.bias"]

    return forward


@both
@pytest.mark.usefixtures("double")
def test_the_forward_pass_in_training_and_in_evaluation(batch_norm):
    torch.manual_seed(0)
    network = LeNet5(7, batch_norm=batch_norm)
    randomise(network)
    images = np.random.default_rng(0).normal(size=(20, 1, 28, 28))
    assert compare(network, twin(batch_norm), images).shape == (20, 7)
    if not batch_norm:  # with it, the biases before it have no effect
        assert_all_is_trained(network, images)


@both
def test_which_tensors_count(batch_norm):
    state = LeNet5(batch_norm=batch_norm).state_dict()
    selection = select_parameters(
        (name, "F32" if value.is_floating_point() else "I64", value.shape)
        for name, value in state.items()
    )
    assert selection.matrices == [
        MatrixSpec("conv1.weight", 1, 6, 25),
        MatrixSpec("conv2.weight", 1, 16, 150),
        MatrixSpec("fc1.weight", 1, 120, 400),
        MatrixSpec("fc2.weight", 1, 84, 120),
        MatrixSpec("fc3.weight", 1, 10, 84),
    ]
    assert selection.biases == [
        "conv1.bias", "conv2.bias", "fc1.bias", "fc2.bias", "fc3.bias"
    ]  # fmt: skip
    norm_tensors = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    norms = {f"{norm}.{tensor}" for norm in ("bn1", "bn2") for tensor in norm_tensors}
    assert set(selection.left_out) == (norms if batch_norm else set())
    counted = sum(state[name].numel() for name in state if name not in norms)
    assert counted == 61_706  # the usual count of this network with full connections
