"""ResNet-18: an independent forward pass, the published sizes, and which of its tensors count."""

import numpy as np
import pytest
import torch

from tests.support.numpy_layers import (
    assert_all_is_trained,
    compare,
    randomise,
    residual_network,
)
from training_maps.metrics.parameters import MatrixSpec, select_parameters
from training_maps.training.models.resnet import ResNet18

on_or_off = [(True, True), (True, False), (False, True), (False, False)]
all_four = pytest.mark.parametrize(("batch_norm", "residual"), on_or_off)
STAGES = [("layer1", 64, 1), ("layer2", 128, 2), ("layer3", 256, 2), ("layer4", 512, 2)]
BLOCKS = [
    block for stage, _, stride in STAGES for block in ((f"{stage}.0", stride), (f"{stage}.1", 1))
]


def random_images(n=2):
    return np.random.default_rng(0).normal(size=(n, 3, 32, 32))


@all_four
@pytest.mark.usefixtures("double")
def test_the_forward_pass_in_training_and_in_evaluation(batch_norm, residual):
    torch.manual_seed(0)
    network = ResNet18(7, batch_norm=batch_norm, residual=residual)
    randomise(network)
    outputs = compare(network, residual_network(BLOCKS, batch_norm, residual), random_images())
    assert outputs.shape == (2, 7)
    assert_all_is_trained(network, random_images())


@pytest.mark.parametrize(("n_classes", "n_parameters"), [(10, 11_173_962), (100, 11_220_132)])
def test_the_published_number_of_parameters(n_classes, n_parameters):
    network = ResNet18(n_classes)
    assert sum(value.numel() for value in network.parameters()) == n_parameters


@all_four
def test_the_shapes_of_the_stages(batch_norm, residual):
    network, shapes = ResNet18(10, batch_norm=batch_norm, residual=residual), {}
    for name, module in network.named_children():
        module.register_forward_hook(
            lambda _module, _inputs, output, name=name: shapes.update({name: output.shape[1:]})
        )
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert shapes == {
        "conv1": (64, 32, 32), "bn1": (64, 32, 32), "layer1": (64, 32, 32),
        "layer2": (128, 16, 16), "layer3": (256, 8, 8), "layer4": (512, 4, 4), "fc": (10,),
    }  # fmt: skip


def expected_tensors(batch_norm, residual):
    """Shapes of convolutions and names of norms, by torchvision's names."""
    convolutions, norms = {"conv1.weight": (64, 3, 3, 3)}, ["bn1"]
    n_inputs = 64
    for stage, n_outputs, first_stride in STAGES:
        for block, stride in (("0", first_stride), ("1", 1)):
            at = f"{stage}.{block}"
            convolutions[f"{at}.conv1.weight"] = (n_outputs, n_inputs, 3, 3)
            convolutions[f"{at}.conv2.weight"] = (n_outputs, n_outputs, 3, 3)
            norms += [f"{at}.bn1", f"{at}.bn2"]
            if residual and stride == 2:
                convolutions[f"{at}.downsample.0.weight"] = (n_outputs, n_inputs, 1, 1)
                norms += [f"{at}.downsample.1"]
            n_inputs = n_outputs
    return convolutions, norms if batch_norm else []


@all_four
def test_which_tensors_there_are_and_which_count(batch_norm, residual):
    convolutions, norms = expected_tensors(batch_norm, residual)
    assert len(convolutions) == (20 if residual else 17)
    norm_tensors = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    left_out = {f"{norm}.{tensor}" for norm in norms for tensor in norm_tensors}

    state = ResNet18(100, batch_norm=batch_norm, residual=residual).state_dict()
    assert set(state) == set(convolutions) | {"fc.weight", "fc.bias"} | left_out
    selection = select_parameters(
        (name, "F32" if value.is_floating_point() else "I64", value.shape)
        for name, value in state.items()
    )
    weights = [MatrixSpec(n, 1, s[0], s[1] * s[2] * s[3]) for n, s in convolutions.items()]
    assert selection.matrices == sorted([*weights, MatrixSpec("fc.weight", 1, 100, 512)])
    assert selection.biases == ["fc.bias"]
    assert set(selection.left_out) == left_out


def test_the_initial_values():
    torch.manual_seed(0)
    state = ResNet18(100).state_dict()
    for name, value in state.items():
        if value.dim() == 4:
            n_outputs, _, height, width = value.shape
            deviation = np.sqrt(2 / (n_outputs * height * width))
            error = deviation / np.sqrt(value.numel())
            assert abs(value.mean().item()) < 5 * error, name
            assert abs(value.std().item() - deviation) < 5 * error / np.sqrt(2), name
        elif name.startswith("fc"):
            assert 0.9 / np.sqrt(512) < value.abs().max() <= 1 / np.sqrt(512), name
        else:
            expected = 1 if name.endswith(("weight", "running_var")) else 0
            assert (value == expected).all(), name


def test_grey_images():
    assert ResNet18(10, n_channels=1)(torch.zeros(2, 1, 32, 32)).shape == (2, 10)


def test_a_narrow_network_has_the_same_layers_with_fewer_channels():
    narrow, wide = ResNet18(10, n_channels=1, width=8), ResNet18(10)
    shapes = {name: value.shape for name, value in wide.named_parameters()}
    for name, value in narrow.named_parameters():
        outputs, *inputs = shapes[name]
        assert value.shape[0] == (outputs if name.startswith("fc") else outputs / 8)
        if inputs:
            assert value.shape[1] == (1 if name == "conv1.weight" else inputs[0] / 8)
            assert value.shape[2:] == tuple(inputs[1:])
    assert narrow(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
