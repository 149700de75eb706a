"""ResNet-8: an independent forward pass, the published layers, and which of its tensors count."""

import numpy as np
import pytest
import torch

from tests.support.numpy_layers import (
    assert_all_is_trained,
    compare,
    randomise,
    residual_network,
)
from training_maps.metrics.parameters import select_parameters
from training_maps.training.models.resnet8 import ResNet8

all_four = pytest.mark.parametrize(
    ("batch_norm", "residual"), [(True, True), (True, False), (False, True), (False, False)]
)
STAGES = [("layer1", 1), ("layer2", 2), ("layer3", 2)]


def random_images(side=16):
    return np.random.default_rng(0).normal(size=(2, 3, side, side))


@all_four
@pytest.mark.usefixtures("double")
def test_the_forward_pass_in_training_and_in_evaluation(batch_norm, residual):
    torch.manual_seed(0)
    network = ResNet8(7, batch_norm=batch_norm, residual=residual, width=4)
    randomise(network)
    outputs = compare(network, residual_network(STAGES, batch_norm, residual), random_images())
    assert outputs.shape == (2, 7)
    assert_all_is_trained(network, random_images())


@all_four
def test_which_tensors_there_are_and_which_count(batch_norm, residual):
    state = ResNet8(10, batch_norm=batch_norm, residual=residual).state_dict()
    described = [
        (name, "F32" if value.is_floating_point() else "I64", value.shape)
        for name, value in state.items()
    ]
    selection = select_parameters(described)
    # Seven convolutions and the last layer; two shortcuts change the number of channels.
    assert len(selection.matrices) == 8 + 2 * residual
    assert selection.biases == ["fc.bias"]
    norms = {name.rpartition(".")[0] for name in selection.left_out}
    assert len(norms) == (7 + 2 * residual if batch_norm else 0)
    shapes = {m.tensor: (m.rows, m.cols) for m in selection.matrices}
    assert shapes["conv1.weight"] == (16, 27)
    assert shapes["layer3.conv2.weight"] == (64, 64 * 9)
    assert shapes["fc.weight"] == (10, 64)


def test_the_published_number_of_parameters():
    """0.078 million without shortcuts' convolutions: 6n + 2 layers, n = 1, of 16, 32, 64."""
    convolutions = 9 * (3 * 16 + 2 * 16 * 16 + 16 * 32 + 32 * 32 + 32 * 64 + 64 * 64)
    network = ResNet8(10, residual=False)
    norms = 2 * (3 * 16 + 2 * 32 + 2 * 64)
    expected = convolutions + norms + 64 * 10 + 10
    assert sum(value.numel() for value in network.parameters()) == expected


def test_the_initial_values():
    torch.manual_seed(0)
    state = ResNet8(10).state_dict()
    for name in ("conv1.weight", "layer3.conv2.weight"):
        deviation = np.sqrt(2 / (state[name].shape[0] * 9))
        error = deviation / np.sqrt(state[name].numel())
        assert abs(state[name].std().item() - deviation) < 5 * error / np.sqrt(2), name
    assert (state["bn1.weight"] == 1).all()
