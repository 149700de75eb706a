"""Networks trained one by one: batch norm, shared images, precision."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tests.support.twin import begin, plain_loop, train_epochs
from training_maps.runs.checkpoints import read_manifest
from training_maps.training.alone import Alone
from training_maps.training.loop import Recording, train
from training_maps.training.networks import measured
from training_maps.training.random_streams import Streams
from training_maps.training.recipe import Recipe
from training_maps.training.side_by_side import SideBySide
from training_maps.utils.errors import InputError

RECIPE = Recipe("adamw", learning_rate=0.002, weight_decay=0.1, batch_size=16, length=3)


def test_it_equals_a_plain_loop_running_statistics_too(lenet):
    # By SGD: batch norm leaves the convolutions' biases a gradient of rounding errors alone, and
    # Adam would blow these up to whole steps.
    recipe = Recipe("sgd", learning_rate=0.05, weight_decay=0.01, batch_size=16)
    (tensors,) = train_epochs(lenet, recipe, [3], 2).values()
    twin = plain_loop(lenet, 3, recipe, 2, torch.nn.CrossEntropyLoss())
    assert tensors.keys() == twin.keys()
    assert {int(twin[name]) for name in twin if name.endswith("num_batches_tracked")} == {8}
    for name, value in twin.items():
        np.testing.assert_allclose(tensors[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


def test_perceptrons_with_shared_data_side_by_side_equal_a_plain_loop(perceptron):
    for seed, tensors in train_epochs(perceptron, RECIPE, [0, 2], 2).items():
        twin = plain_loop(perceptron, seed, RECIPE, 2, torch.nn.CrossEntropyLoss())
        for name, value in twin.items():
            np.testing.assert_allclose(tensors[name], value, rtol=1e-3, atol=1e-5, err_msg=name)


def test_evaluation_uses_running_statistics_and_changes_nothing(lenet):
    examples, networks = begin(lenet, RECIPE, [0])
    batches = examples.batches()
    for _ in range(4):
        networks.step(*next(batches))
    before = {name: value.clone() for name, value in networks.tensors().items()}
    pieces = measured(networks, examples.part("eval", 7))
    whole = measured(networks, examples.part("eval", 30))
    np.testing.assert_allclose(pieces, whole, rtol=1e-5)  # batch statistics would differ
    for name, value in networks.tensors().items():
        assert torch.equal(value, before[name]), name


def test_a_job_of_several_seeds_trains_one_after_another(lenet, tmp_path):
    train(lenet, "mnist", RECIPE, [0, 4], Recording(tmp_path), device="cpu")
    for seed in (0, 4):
        run = read_manifest(tmp_path / f"seed-{seed}" / "checkpoints.json")
        assert [checkpoint.step for checkpoint in run.checkpoints] == [0, 12]
        saved = load_file(run.checkpoints[-1].path)
        twin = train_epochs(lenet, RECIPE, [seed], 3)[seed]
        for name, value in twin.items():
            assert saved[name].shape == value.shape  # a number stays a number
            np.testing.assert_array_equal(saved[name], value, err_msg=name)


def test_bfloat16_is_float32_but_for_rounding(lenet):
    losses = {}
    for precision in ("float32", "bfloat16"):
        recipe = Recipe("adamw", learning_rate=0.002, batch_size=16, precision=precision)
        examples, networks = begin(lenet, recipe, [1])
        batches = examples.batches()
        for _ in range(10):
            networks.step(*next(batches))
        losses[precision] = measured(networks, examples.part("train", 50))[0][0]
        assert networks.tensors()["conv1.weight"].dtype == torch.float32
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.1)


def test_compile_compiles_the_network_for_steps_alone(lenet, monkeypatch):
    calls = []

    def compiled(module):
        def forward(inputs):
            calls.append(len(inputs))
            return module(inputs)

        return forward

    monkeypatch.setattr(torch, "compile", compiled)
    recipe = Recipe("adamw", learning_rate=0.002, batch_size=16, compile=True)
    examples, networks = begin(lenet, recipe, [0])
    networks.step(*next(examples.batches()))
    measured(networks, examples.part("eval", 7))  # every size would be compiled anew
    assert calls == [16]


def test_networks_with_buffers_are_not_stacked(lenet):
    network = Streams(0).initialise(lenet)
    with pytest.raises(InputError, match=r"has buffers .*side_by_side be False"):
        SideBySide(lenet, [network], RECIPE, "cpu")


def test_bfloat16_is_for_networks_alone(perceptron):
    with pytest.raises(InputError, match=r"bfloat16.*training.precision"):
        begin(perceptron, Recipe(precision="bfloat16"), [0])


def test_convolutions_are_laid_out_for_speed(lenet):
    network = Alone(lenet, Streams(0).initialise(lenet), RECIPE, "cpu")._network
    weight = network.state_dict()["conv2.weight"]
    assert weight.is_contiguous(memory_format=torch.channels_last)


@pytest.fixture
def _restored():
    """The process's own precision, afterwards."""
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = True


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize(("precision", "allowed"), [("float32", False), ("tf32", True)])
def test_float32_is_not_rounded_on_a_gpu_unless_it_may_be(precision, allowed, perceptron, tmp_path):
    recipe = Recipe(batch_size=16, length=1, precision=precision)
    train(perceptron, "mnist", recipe, [0], Recording(tmp_path), device="cpu")
    assert torch.backends.cudnn.allow_tf32 is allowed
    assert (torch.get_float32_matmul_precision() == "high") is allowed
