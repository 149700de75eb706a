"""Training from start to end: what is written, again to the bit, and what is said."""

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

from training_maps.runs.checkpoints import read_manifest
from training_maps.training.loop import Recording, train
from training_maps.training.random_streams import Streams
from training_maps.training.recipe import Recipe
from training_maps.training.side_by_side import SideBySide
from training_maps.training.tasks import make_task

TASK = make_task("sparse_parities", {"n_bits": 10, "n_train": 45, "n_eval": 20, "hidden_size": 16})
RECIPE = Recipe(learning_rate=0.1, weight_decay=0.01, batch_size=20, length=6, checkpoint_every=4)


def train_tiny(runs, seeds, recipe=RECIPE):
    train(TASK, "sparse_parities", recipe, seeds, Recording(runs), device="cpu")
    return {seed: read_manifest(runs / f"seed-{seed}" / "checkpoints.json") for seed in seeds}


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
