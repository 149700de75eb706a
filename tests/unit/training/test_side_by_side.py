"""Training side by side is training: the twin is a plain PyTorch loop over one network."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file
from torch.fx.experimental.proxy_tensor import make_fx

from tests.support.twin import begin, plain_loop, train_epochs
from training_maps.runs.checkpoints import read_manifest
from training_maps.training.loop import Recording, choose_device, train
from training_maps.training.networks import SideBySide, measured
from training_maps.training.random_streams import Streams
from training_maps.training.recipe import Recipe, checkpoint_steps
from training_maps.training.tasks import make_task
from training_maps.training.tasks.mnist import Mnist
from training_maps.utils.errors import InputError

TASK = make_task("sparse_parities", {"n_bits": 10, "n_train": 45, "n_eval": 20, "hidden_size": 16})
RECIPE = Recipe(learning_rate=0.1, weight_decay=0.01, batch_size=20, length=6, checkpoint_every=4)


def hinge(outputs, targets):
    return torch.relu(1 - outputs.squeeze(-1) * targets).mean()


def train_tiny(runs, seeds, recipe=RECIPE):
    train(TASK, "sparse_parities", recipe, seeds, Recording(runs), device="cpu")
    return {seed: read_manifest(runs / f"seed-{seed}" / "checkpoints.json") for seed in seeds}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_side_by_side_equals_one_after_another(optimizer):
    recipe = Recipe(optimizer, learning_rate=0.02, weight_decay=0.1, batch_size=20)
    assert begin(TASK, recipe, [3])[0].steps_per_epoch == 3  # two batches of 20 and one of 5
    for seed, tensors in train_epochs(TASK, recipe, [3, 5, 8], 4).items():
        for name, twin in plain_loop(TASK, seed, recipe, 4, hinge).items():
            np.testing.assert_allclose(tensors[name], twin, rtol=1e-4, atol=1e-6, err_msg=name)


class TransposedProducts(torch.nn.Module):
    """A perceptron whose products leave gradients with other strides than their parameters."""

    def __init__(self, n_bits, hidden_size):
        super().__init__()
        self.hidden = torch.nn.Parameter(torch.randn(hidden_size, n_bits) / n_bits**0.5)
        self.output = torch.nn.Parameter(torch.randn(hidden_size, 1) / hidden_size**0.5)

    def forward(self, inputs):
        return torch.relu(torch.einsum("hd,bd->bh", self.hidden, inputs)) @ self.output


class Transposed(type(TASK)):
    """The task with such a network."""

    def network(self):
        return TransposedProducts(self.n_bits, self.hidden_size)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_gradients_of_any_strides_train_the_same_network(optimizer):
    task = Transposed(n_bits=10, n_train=45, n_eval=20, hidden_size=16)
    recipe = Recipe(optimizer, learning_rate=0.02, weight_decay=0.1, batch_size=20)
    for seed, tensors in train_epochs(task, recipe, [3, 5], 4).items():
        for name, twin in plain_loop(task, seed, recipe, 4, hinge).items():
            np.testing.assert_allclose(tensors[name], twin, rtol=1e-4, atol=1e-6, err_msg=name)


def test_seeds_differ_in_data_initialisation_and_batches():
    examples, networks = begin(TASK, RECIPE, [0, 1])
    first, second = networks.tensors()["hidden.weight"]
    assert not torch.allclose(first, second)
    inputs, _ = next(examples.part("train", 45))
    assert not torch.equal(inputs[0], inputs[1])
    orders = [Streams(seed).batches.permutation(45) for seed in (0, 1)]
    assert not np.array_equal(*orders)
    batch, _ = next(examples.batches())
    for row, order in enumerate(orders):
        assert torch.equal(batch[row], inputs[row][order[:20]])


def test_a_run_does_not_depend_on_its_block(tmp_path):
    alone = train_tiny(tmp_path / "alone", [4])[4]
    among = train_tiny(tmp_path / "among", [2, 4, 9])[4]
    assert alone.checkpoints[0].sha256 == among.checkpoints[0].sha256  # the same network
    for one, other in zip(alone.checkpoints, among.checkpoints, strict=True):
        tensors, twin = load_file(one.path), load_file(other.path)
        for name in twin:
            np.testing.assert_allclose(tensors[name], twin[name], rtol=1e-4, atol=1e-6)


def test_one_seed_again_is_the_same_to_the_bit(tmp_path):
    first = train_tiny(tmp_path / "first", [7])[7]
    torch.manual_seed(123)  # whatever state the process's own generators are in
    np.random.seed(5)  # noqa: NPY002
    again = train_tiny(tmp_path / "again", [7])[7]
    assert [c.sha256 for c in first.checkpoints] == [c.sha256 for c in again.checkpoints]
    logs = [
        pd.read_parquet(tmp_path / x / "seed-7/training_log.parquet") for x in ("first", "again")
    ]
    pd.testing.assert_frame_equal(*logs, check_exact=True)


def test_the_log_is_what_the_checkpoints_do(tmp_path):
    run = train_tiny(tmp_path, [1, 2])[2]
    data = TASK.data(Streams(2).data)
    log = pd.read_parquet(tmp_path / "seed-2/training_log.parquet")
    assert list(log.columns) == [
        "step", "epoch", "train_loss", "eval_loss", "train_accuracy", "eval_accuracy",
        "gradient_norm",
    ]  # fmt: skip
    assert (
        log["step"].tolist() == [checkpoint.step for checkpoint in run.checkpoints] == [0, 12, 18]
    )
    assert log["epoch"].tolist() == [0, 4, 6]
    for row, checkpoint in zip(log.itertuples(), run.checkpoints, strict=True):
        p = load_file(checkpoint.path)
        for part in ("train", "eval"):
            inputs, targets = getattr(data, f"{part}_inputs"), getattr(data, f"{part}_targets")
            hidden = np.maximum(inputs @ p["hidden.weight"].T + p["hidden.bias"], 0)
            outputs = (hidden @ p["output.weight"].T + p["output.bias"])[:, 0]
            loss = np.maximum(1 - outputs * targets, 0).mean()
            assert getattr(row, f"{part}_loss") == pytest.approx(loss, rel=1e-5)
            accuracy = (np.sign(outputs) == targets).mean()
            assert getattr(row, f"{part}_accuracy") == pytest.approx(accuracy)


def test_evaluation_in_pieces_is_the_same():
    examples, networks = begin(TASK, RECIPE, [0, 1])
    whole = measured(networks, examples.part("train", 45))
    pieces = measured(networks, examples.part("train", 7))
    np.testing.assert_allclose(pieces, whole, rtol=1e-6)


def test_it_learns():
    task = make_task("sparse_parities", {"n_bits": 8, "n_relevant_bits": 2, "n_train": 200})
    examples, networks = begin(task, Recipe(learning_rate=0.1, weight_decay=0.001), [0, 1])
    batches = examples.batches()
    for _ in range(60 * examples.steps_per_epoch):
        networks.step(*next(batches))
    assert (measured(networks, examples.part("eval", 100))[1] > 0.95).all()


@pytest.mark.parametrize(
    ("unit", "length", "every", "expected"),
    [
        ("epoch", 10, 5, [0, 160, 320]),
        ("epoch", 11, 5, [0, 160, 320, 352]),
        ("step", 50, 20, [0, 20, 40, 50]),
        ("step", 3, 20, [0, 3]),
    ],
)
def test_checkpoints_are_taken_at_the_start_every_so_often_and_at_the_end(
    unit, length, every, expected
):
    recipe = Recipe(length=length, checkpoint_every=every, unit=unit)
    assert checkpoint_steps(recipe, steps_per_epoch=32) == expected


def test_lengths_in_steps(tmp_path):
    recipe = Recipe(batch_size=20, length=7, checkpoint_every=5, unit="step")
    run = train_tiny(tmp_path, [0], recipe)[0]
    assert [checkpoint.step for checkpoint in run.checkpoints] == [0, 5, 7]
    assert run.checkpoints[1].epoch == pytest.approx(5 / 3)


def test_what_an_older_training_left_is_replaced(tmp_path):
    stale = tmp_path / "seed-0" / "checkpoints" / "step-000001.safetensors"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"half a checkp")
    run = train_tiny(tmp_path, [0])[0]
    assert not stale.exists()
    assert sorted(stale.parent.iterdir()) == [checkpoint.path for checkpoint in run.checkpoints]
    assert [path.name for path in tmp_path.iterdir()] == ["seed-0"]  # no working folder is left


def test_a_diverged_seed_is_named_once_and_the_others_go_on(tmp_path, caplog):
    original = SideBySide.step

    def poison(self, *batch):
        original(self, *batch)
        self.parameters["hidden.weight"][0] = float("nan")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SideBySide, "step", poison)
        runs = train_tiny(tmp_path, [5, 6])
    named = [record.getMessage() for record in caplog.records if "diverged" in record.getMessage()]
    assert named == ["seed 5 has diverged: hidden.weight is not finite at step 12"]
    healthy = load_file(runs[6].checkpoints[-1].path)
    assert all(np.isfinite(value).all() for value in healthy.values())


def test_a_missing_gpu_is_said():
    assert choose_device("cpu") == "cpu"
    if not torch.cuda.is_available():
        assert choose_device("auto") == "cpu"
        with pytest.raises(InputError, match="finds no CUDA GPU"):
            choose_device("cuda")


def test_tracing_changes_no_bit(monkeypatch):
    with_tracing = train_epochs(TASK, RECIPE, [0, 1, 2], 2)
    monkeypatch.setattr(
        "training_maps.training.networks.traced", lambda function, *_, **__: function
    )
    for seed, tensors in train_epochs(TASK, RECIPE, [0, 1, 2], 2).items():
        for name, value in tensors.items():
            np.testing.assert_array_equal(value, with_tracing[seed][name])


def test_the_graph_that_a_gpu_runs_changes_no_bit(monkeypatch):
    with_tracing = train_epochs(TASK, RECIPE, [0, 1, 2], 2)
    monkeypatch.setattr(
        "training_maps.training.networks.traced",
        lambda function, arguments, **_: make_fx(function)(*arguments),
    )
    for seed, tensors in train_epochs(TASK, RECIPE, [0, 1, 2], 2).items():
        for name, value in tensors.items():
            np.testing.assert_array_equal(value, with_tracing[seed][name])


@dataclasses.dataclass(frozen=True)
class Convolving(Mnist):
    """Networks of convolutions, stacked all the same."""

    side_by_side = True


def test_stacked_convolutions_train_too(digits):
    task = Convolving(dataset=digits, model="lenet5")
    recipe = Recipe("sgd", learning_rate=0.05, batch_size=16)
    for seed, tensors in train_epochs(task, recipe, [0, 3], 1).items():
        twin = plain_loop(task, seed, recipe, 1, torch.nn.CrossEntropyLoss())
        for name, value in twin.items():
            np.testing.assert_allclose(tensors[name], value, rtol=1e-3, atol=1e-5, err_msg=name)


class Dropping(type(TASK)):
    """Networks that draw random numbers of their own."""

    def network(self):
        return torch.nn.Sequential(super().network(), torch.nn.Dropout())


class Odd(type(TASK)):
    """A loss an example, where one for the batch is expected."""

    def loss(self, outputs, targets):
        return (1 - outputs.squeeze(-1) * targets).clamp(min=0)


def test_what_cannot_be_stacked_is_said():
    with pytest.raises(InputError, match=r"Dropping.*cannot be trained side by side.*be False"):
        train_epochs(Dropping(n_bits=10, n_train=45), RECIPE, [0, 1], 1)


def test_a_loss_is_one_number(tmp_path):
    task = Odd(n_bits=10, n_train=45, n_eval=20)
    with pytest.raises(InputError, match=r"Odd: expected the loss of a batch as one number"):
        train(task, "odd", RECIPE, [0, 1], Recording(tmp_path), device="cpu")
