"""What training writes: metrics from memory, runs that end early, values that are not finite."""

import numpy as np
import pandas as pd
import pytest

from training_maps.metrics.compute import layer_metrics, run_metrics
from training_maps.metrics.parameters import Overrides
from training_maps.runs.checkpoints import read_manifest
from training_maps.training.loop import Recording, train
from training_maps.training.recipe import Recipe
from training_maps.training.records import Recorder
from training_maps.training.side_by_side import SideBySide
from training_maps.training.tasks import make_task
from training_maps.utils.errors import InputError
from training_maps.utils.files import table_metadata

PARITIES = make_task("sparse_parities", {"n_bits": 10, "n_train": 45, "hidden_size": 16})
SUMS = make_task(
    "modular_addition",
    {"modulus": 7, "d_model": 12, "n_heads": 2, "d_head": 5, "d_mlp": 9, "layer_norm": True},
)
RECIPE = Recipe(batch_size=20, length=25, checkpoint_every=4, unit="step")


@pytest.mark.parametrize("which", ["parities", "sums", "lenet"])
def test_metrics_from_memory_equal_those_of_the_checkpoints(which, lenet, tmp_path):
    task = {"parities": PARITIES, "sums": SUMS, "lenet": lenet}[which]
    train(task, "mnist", RECIPE, [1, 2], Recording(tmp_path / "two"), device="cpu")
    columns = ("paper", "distance_from_start", "distance_from_previous")
    recording = Recording(tmp_path / "one", "metrics", columns=columns, layers=which != "lenet")
    train(task, "mnist", RECIPE, [1, 2], recording, device="cpu")
    for seed in (1, 2):
        run = tmp_path / "one" / f"seed-{seed}"
        table = pd.read_parquet(run / "metrics.parquet")
        expected = run_metrics(tmp_path / "two" / f"seed-{seed}", columns=columns)
        assert list(table.columns[-2:]) == list(columns[-2:])
        pd.testing.assert_frame_equal(table, expected, check_exact=True)
        logs = [
            pd.read_parquet(tmp_path / way / f"seed-{seed}/training_log.parquet")
            for way in ("one", "two")
        ]
        pd.testing.assert_frame_equal(*logs, check_exact=True)
        if recording.layers:
            layers = layer_metrics(tmp_path / "two" / f"seed-{seed}").drop(columns="tail_exponent")
            found = pd.read_parquet(run / "layers.parquet")
            pd.testing.assert_frame_equal(found, layers, check_exact=True, check_dtype=False)
        assert sorted(path.name for path in run.iterdir()) == [
            *(["layers.parquet"] if recording.layers else []),
            "metrics.parquet",
            "training_log.parquet",
        ]


def test_columns_and_patterns_choose_what_is_recorded(tmp_path):
    overrides = Overrides(left_out=("output.*",))
    recording = Recording(tmp_path, "metrics", columns=("l2", "mean_b"), overrides=overrides)
    train(PARITIES, "parities", RECIPE, [1], recording, device="cpu")
    train(PARITIES, "parities", RECIPE, [1], Recording(tmp_path / "kept"), device="cpu")
    table = pd.read_parquet(tmp_path / "seed-1/metrics.parquet")
    kept = tmp_path / "kept" / "seed-1"
    expected = run_metrics(kept, columns=["l2", "mean_b"], overrides=overrides)
    pd.testing.assert_frame_equal(table, expected, check_exact=True)
    assert not np.array_equal(table["l2"], run_metrics(kept)["l2"])


@pytest.fixture
def _poisoned(monkeypatch):
    """Seed 6, the second of its block, diverges in step 10."""
    original = SideBySide.step
    calls = []

    def poison(self, inputs, targets):
        original(self, inputs, targets)
        calls.append(1)
        if len(calls) == 10:
            self.parameters["hidden.weight"][1, 0, 0] = float("inf")

    monkeypatch.setattr(SideBySide, "step", poison)


@pytest.mark.usefixtures("_poisoned")
@pytest.mark.parametrize("policy", ["cut", "drop"])
def test_a_diverged_run_has_a_table_up_to_there(policy, tmp_path, caplog):
    train(
        PARITIES, "parities", RECIPE, [5, 6], Recording(tmp_path, "metrics", policy), device="cpu"
    )  # fmt: skip
    whole, cut = (pd.read_parquet(tmp_path / f"seed-{seed}/metrics.parquet") for seed in (5, 6))
    assert whole["step"].tolist() == [0, 4, 8, 12, 16, 20, 24, 25]
    assert cut["step"].tolist() == [0, 4, 8]
    metadata = table_metadata(tmp_path / "seed-6/metrics.parquet")
    assert metadata["non_finite"] == {"step": 12, "tensor": "hidden.weight"}
    assert table_metadata(tmp_path / "seed-5/metrics.parquet")["non_finite"] is None
    assert "seed 6, step 12: hidden.weight is not finite" in caplog.text


@pytest.mark.usefixtures("_poisoned")
def test_a_diverged_run_stops_training_if_it_is_to(tmp_path):
    with pytest.raises(InputError, match=r"seed 6, step 12: hidden.weight is not finite.*'cut'"):
        train(PARITIES, "parities", RECIPE, [5, 6], Recording(tmp_path, "metrics"), device="cpu")
    assert not (tmp_path / "seed-5").exists()


def test_runs_end_early_each_at_its_own_time(tmp_path):
    task = make_task("sparse_parities", {"n_bits": 8, "n_relevant_bits": 2, "n_train": 200})
    recipe = Recipe(weight_decay=0.001, length=60, checkpoint_every=1)
    train(task, "sparse_parities", recipe, [0, 1, 2], Recording(tmp_path / "whole"), device="cpu")
    early = Recipe(weight_decay=0.001, length=60, checkpoint_every=1, stop_above=0.95, stop_after=3)
    train(task, "sparse_parities", early, [0, 1, 2], Recording(tmp_path / "early"), device="cpu")
    lengths = []
    for seed in (0, 1, 2):
        whole, log = (
            pd.read_parquet(tmp_path / way / f"seed-{seed}/training_log.parquet")
            for way in ("whole", "early")
        )
        crossed = int(np.argmax(whole["eval_accuracy"] > 0.95))
        assert whole["eval_accuracy"].max() > 0.95
        assert len(log) == crossed + 1 + 3
        pd.testing.assert_frame_equal(log, whole.iloc[: len(log)], check_exact=True)
        run = read_manifest(tmp_path / "early" / f"seed-{seed}" / "checkpoints.json")
        assert [checkpoint.step for checkpoint in run.checkpoints] == log["step"].tolist()
        lengths.append(len(log))
    assert len(set(lengths)) > 1
    assert max(lengths) < 61


def test_a_run_that_never_gets_there_is_trained_to_its_end(tmp_path):
    recipe = Recipe(batch_size=20, length=8, checkpoint_every=4, unit="step", stop_above=1.0)
    train(PARITIES, "sparse_parities", recipe, [0], Recording(tmp_path), device="cpu")
    log = pd.read_parquet(tmp_path / "seed-0/training_log.parquet")
    assert log["step"].tolist() == [0, 4, 8]


@pytest.mark.parametrize("gone", ["one of the logs", "a checkpoint"])
def test_records_that_are_not_there_are_begun_anew(gone, tmp_path):
    def recorder():
        return Recorder([0, 1], "parities", Recording(tmp_path), tmp_path / "working", 25)

    first = recorder()
    tensors = {"w": np.ones((2, 3), np.float32)}
    first.record([0, 1], [{"step": 0, "epoch": 0.0}] * 2, tensors)
    saved = first.saved()
    assert recorder().restore(saved) is None
    folder = tmp_path / "working" / "seed-1"
    lost = folder / "records.jsonl"
    if gone == "a checkpoint":
        (lost,) = (folder / "checkpoints").iterdir()
    lost.unlink()
    again = recorder()
    assert again.restore(saved) == lost
    assert [record.log for record in again.records] == [[], []]
    again.record([0, 1], [{"step": 0, "epoch": 0.0}] * 2, tensors)
    assert recorder().restore(again.saved()) is None


def test_a_failure_in_writing_is_not_passed_over(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("training_maps.training.records.write_checkpoint", full)
    with pytest.raises(OSError, match="No space left"):
        train(PARITIES, "sparse_parities", RECIPE, [0], Recording(tmp_path), device="cpu")
    assert not (tmp_path / "seed-0").exists()
