"""Logs that are one JSON document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from training_maps.runs.tables import read_logs, read_metrics
from training_maps.runs.tables.json_documents import rows_of
from training_maps.utils.errors import InputError

TRAINER_STATE = {
    "epoch": 1.0,
    "global_step": 8,
    "log_history": [
        {"epoch": 0.5, "grad_norm": 0.29, "learning_rate": 0.003, "loss": 0.693, "step": 4},
        {"epoch": 1.0, "grad_norm": 0.27, "learning_rate": 0.002, "loss": 0.685, "step": 8},
        {"epoch": 1.0, "eval_accuracy": 0.6, "eval_loss": 0.66, "eval_runtime": 0.08,
         "eval_samples_per_second": 746.4, "eval_steps_per_second": 93.3, "step": 8},
        {"epoch": 1.0, "step": 8, "total_flos": 1e9, "train_loss": 0.689, "train_runtime": 3.0},
    ],
    "callbacks": {}, "trial_name": None,
}  # fmt: skip


def write(folder: Path, document: Any, indent: int | None = 2) -> str:
    (folder / "0.json").write_text(json.dumps(document, indent=indent))
    return str(folder / "{seed}.json")


@pytest.mark.parametrize("indent", [None, 2])
def test_trainers_state(indent: int | None, tmp_path: Path) -> None:
    path = write(tmp_path, TRAINER_STATE, indent)
    ((_, log),) = read_logs(path, [0], columns={"train_loss": "loss"})
    assert log["step"].tolist() == [4, 8]
    assert log["epoch"].tolist() == [0.5, 1.0]
    assert log["train_loss"].tolist() == [0.693, 0.685]
    assert log["eval_accuracy"].tolist()[1] == 0.6
    assert set(log.columns) == {
        "step", "epoch", "train_loss", "eval_loss", "eval_accuracy", "grad_norm", "learning_rate",
    }  # fmt: skip
    ((_, log),) = read_logs(path, [0])
    assert "train_loss" not in log.columns  # the mean of all of training, at its last step


def test_a_list_of_rows_and_what_holds_one(tmp_path: Path) -> None:
    rows = [{"step": 0, "a": 1}, {"step": 5, "a": 2}]
    for document in (rows, {"name": "x", "history": rows}):
        ((_, table),) = read_metrics(write(tmp_path, document), [0])
        assert table.to_dict("list") == {"step": [0, 5], "a": [1, 2]}
    rows[1]["a"] = "many"
    with pytest.raises(InputError, match=r"0.json, entry 2: column 'a' is 'many'"):
        list(read_metrics(write(tmp_path, rows), [0], metrics=["a"]))


def test_keras_history_counts_epochs_from_one(tmp_path: Path) -> None:
    history = {"loss": [2.0, 1.0], "val_accuracy": [0.3, 0.5]}
    columns = {"eval_accuracy": "val_accuracy"}
    ((_, log),) = read_logs(write(tmp_path, history), [0], columns=columns)
    assert log["step"].tolist() == [1, 2]
    assert log["eval_accuracy"].tolist() == [0.3, 0.5]
    with pytest.raises(InputError, match="'loss' has 1 entries and 'val_accuracy' has 2"):
        list(read_logs(write(tmp_path, {**history, "loss": [1.0]}), [0]))


def test_one_line_of_json_lines_is_a_row(tmp_path: Path) -> None:
    ((_, table),) = read_metrics(write(tmp_path, {"step": 3, "a": 1}, None), [0])
    assert table.to_dict("list") == {"step": [3], "a": [1]}


def test_what_has_no_rows_is_said() -> None:
    path = Path("x.json")
    with pytest.raises(InputError, match=r"x\.json: entry 2 of its list is no object"):
        rows_of([{"step": 1}, 3], path)
    with pytest.raises(InputError, match="holds rows under a, b"):
        rows_of({"a": [{"s": 1}], "b": [{"s": 1}]}, path)
    with pytest.raises(InputError, match="holds int; expected rows"):
        rows_of(3, path)
