"""Training side by side is training: the twin is a plain PyTorch loop over one network."""

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

from tests.training_twin import plain_loop
from training_maps.checkpoints import read_manifest
from training_maps.errors import InputError
from training_maps.tasks import make_task
from training_maps.training import Block, Recipe, Streams, checkpoint_steps, choose_device, train

TASK = make_task("sparse_parities", {"n_bits": 10, "n_train": 45, "n_eval": 20, "hidden_size": 16})
RECIPE = Recipe(learning_rate=0.1, weight_decay=0.01, batch_size=20, length=6, checkpoint_every=4)


def hinge(outputs, targets):
    return torch.relu(1 - outputs.squeeze(-1) * targets).mean()


def train_tiny(runs, seeds, recipe=RECIPE):
    train(TASK, "sparse_parities", recipe, seeds, runs, device="cpu")
    return {seed: read_manifest(runs / f"seed-{seed}" / "checkpoints.json") for seed in seeds}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_side_by_side_equals_one_after_another(optimizer):
    recipe = Recipe(optimizer, learning_rate=0.02, weight_decay=0.1, batch_size=20)
    block = Block(TASK, recipe, [3, 5, 8], "cpu")
    assert block.steps_per_epoch == 3  # two batches of 20 and one of 5
    batches = block.batches()
    for _ in range(4 * block.steps_per_epoch):
        block.step(next(batches))
    for seed, tensors in zip(block.seeds, block.tensors(), strict=True):
        for name, twin in plain_loop(TASK, seed, recipe, 4, hinge).items():
            np.testing.assert_allclose(tensors[name], twin, rtol=1e-4, atol=1e-6, err_msg=name)


def test_seeds_differ_in_data_initialisation_and_batches():
    block = Block(TASK, RECIPE, [0, 1], "cpu")
    first, second = block.tensors()
    assert not np.allclose(first["hidden.weight"], second["hidden.weight"])
    batch = next(block.batches())
    assert not torch.equal(batch[0], batch[1])
    data = block._data["train_inputs"]
    assert not torch.equal(data[0], data[1])


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


def test_evaluation_in_pieces_is_the_same(monkeypatch):
    block = Block(TASK, RECIPE, [0, 1], "cpu")
    whole = block.evaluate("train")
    monkeypatch.setattr("training_maps.training._EVALUATION_BATCH", 7)
    pieces = block.evaluate("train")
    np.testing.assert_allclose(pieces, whole, rtol=1e-6)


def test_it_learns():
    task = make_task("sparse_parities", {"n_bits": 8, "n_relevant_bits": 2, "n_train": 200})
    block = Block(task, Recipe(learning_rate=0.1, weight_decay=0.001), [0, 1], "cpu")
    batches = block.batches()
    for _ in range(60 * block.steps_per_epoch):
        block.step(next(batches))
    assert (block.evaluate("eval")[1] > 0.95).all()


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


def test_what_an_unfinished_training_left_is_cleared(tmp_path):
    stale = tmp_path / "seed-0" / "checkpoints" / "step-000001.safetensors"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"half a checkp")
    run = train_tiny(tmp_path, [0])[0]
    assert not stale.exists()
    assert sorted(stale.parent.iterdir()) == [checkpoint.path for checkpoint in run.checkpoints]


def test_a_killed_training_has_no_manifest(tmp_path, monkeypatch):
    train_tiny(tmp_path, [0])
    calls = []

    def killed(self, batch):
        calls.append(batch)
        if len(calls) == 15:
            raise KeyboardInterrupt

    monkeypatch.setattr(Block, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        train_tiny(tmp_path, [0])
    assert not (tmp_path / "seed-0" / "checkpoints.json").exists()


def test_a_diverged_seed_is_named_once_and_the_others_go_on(tmp_path, caplog):
    original = Block.step

    def poison(self, batch):
        original(self, batch)
        self.parameters["hidden.weight"][0] = float("nan")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Block, "step", poison)
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
    def some_steps():
        block = Block(TASK, RECIPE, [0, 1, 2], "cpu")
        batches = block.batches()
        for _ in range(2 * block.steps_per_epoch):
            block.step(next(batches))
        return block.parameters

    with_tracing = some_steps()
    monkeypatch.setattr("training_maps.training.traced", lambda function, arguments: function)
    for name, value in some_steps().items():
        assert torch.equal(value, with_tracing[name]), name
