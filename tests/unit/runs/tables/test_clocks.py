"""Clocks and counters are told by their names from what says something of a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from training_maps.runs.tables import read_metrics
from training_maps.runs.tables.clocks import is_time_column


@pytest.mark.parametrize(
    "name",
    [
        # TensorBoard's export, W&B, pandas
        "Wall time", "Step", "_runtime", "_timestamp", "Relative Time (Process)", "", "Unnamed: 0",
        "system.gpu.0.memory", "system/cpu",
        # transformers' Trainer
        "train_runtime", "eval_runtime", "eval_samples_per_second", "train_steps_per_second",
        "eval_tokens_per_second", "total_flos", "num_input_tokens_seen", "epoch", "train/epoch",
        "train/global_step", "trainer/global_step",
        # SB3, RLlib
        "time/fps", "time/time_elapsed", "time/iterations", "time/total_timesteps",
        "train/n_updates", "time_this_iter_s", "time_total_s", "timesteps_total",
        # fairseq, MMEngine, detectron2, others
        "wps", "ups", "train_wall", "data_time", "eta_seconds", "iter", "tokens/s", "it/s", "mfu",
        "samples_per_sec", "iter_time", "throughput",
    ],
)  # fmt: skip
def test_a_clock_is_known(name: str) -> None:
    assert is_time_column(name)


@pytest.mark.parametrize(
    "name",
    [
        "loss", "Value", "eval_accuracy", "rollout/ep_len_mean", "grad_norm", "learning_rate",
        "train/entropy_loss", "w_norm", "my_step", "steps", "perplexity", "update_norm", "r", "l",
        "Unnamed: x", "sentiment", "weights/l2", "wallace_rule",
    ],
)  # fmt: skip
def test_a_quantity_is_no_clock(name: str) -> None:
    assert not is_time_column(name)


def test_tensorboards_csv_has_one_metric(tmp_path: Path) -> None:
    (tmp_path / "run0.csv").write_text(
        "Wall time,Step,Value\n1700000000.5,0,1.0\n1700000003.6,100,0.5\n"
    )
    ((_, table),) = read_metrics(str(tmp_path / "run{seed}.csv"), [0])
    assert table.to_dict("list") == {"step": [0, 100], "Value": [1.0, 0.5]}
