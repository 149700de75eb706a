"""Training logs that there may be or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from training_maps.runs.training_logs import (
    check_log,
    find_training_logs,
    nearest_steps,
    usual_column,
    usual_direction,
    usual_threshold,
)
from training_maps.utils.errors import InputError


def write_log(runs: Path, seed: int, log: pd.DataFrame) -> None:
    folder = runs / f"seed-{seed}"
    folder.mkdir(parents=True)
    log.to_parquet(folder / "training_log.parquet")


def test_those_that_are_there_are_found_and_sorted_by_step(tmp_path: Path) -> None:
    write_log(tmp_path, 2, pd.DataFrame({"step": [20, 0, 10], "loss": [1.0, 3.0, np.nan]}))
    write_log(tmp_path, 5, pd.DataFrame({"step": [0], "loss": [1.0]}))
    found = find_training_logs(tmp_path, [1, 2])
    assert list(found) == [2]
    assert found[2]["step"].tolist() == [0, 10, 20]
    np.testing.assert_array_equal(found[2]["loss"], [3, np.nan, 1])
    assert found[2].index.tolist() == [0, 1, 2]
    assert set(find_training_logs(tmp_path, [2, 5], ["loss"])) == {2, 5}


def test_without_runs_there_are_none(tmp_path: Path) -> None:
    assert find_training_logs(None, [0, 1]) == {}
    assert find_training_logs(tmp_path / "nowhere", [0, 1]) == {}
    assert find_training_logs(tmp_path, []) == {}


def test_columns_that_are_needed_and_files_that_are_none_are_named(tmp_path: Path) -> None:
    write_log(tmp_path, 0, pd.DataFrame({"step": [0], "loss": [1.0]}))
    with pytest.raises(InputError, match=r"seed-0/training_log\.parquet.*no column eval_accuracy"):
        find_training_logs(tmp_path, [0], ["eval_accuracy"])
    (tmp_path / "seed-1").mkdir()
    (tmp_path / "seed-1/training_log.parquet").write_text("no table")
    with pytest.raises(InputError, match=r"seed-1/training_log\.parquet"):
        find_training_logs(tmp_path, [1])


@pytest.mark.parametrize(
    ("log", "problem"),
    [
        ({"step": []}, "has no rows"),
        ({"step": [0, 1], "loss": ["low", 1.0]}, "has a text in column loss"),
        ({"step": [0, -1]}, "no whole number"),
        ({"step": [0.0, 0.5]}, "no whole number"),
        ({"step": [0.0, np.nan]}, "no whole number"),
        ({"step": [0.0, np.inf]}, "no whole number"),
        ({"step": [0.0, 2.0**54]}, "no whole number"),
        ({"step": pd.array([0, None], "Int64")}, "no whole number"),
    ],
)
def test_what_cannot_be_a_log_is_refused(log: dict, problem: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(InputError, match=f"^the log .*{problem}"):
        check_log(pd.DataFrame(log), "the log")


def test_what_can_be_one_passes() -> None:
    empty = pd.Series([None, None], dtype=object)
    check_log(pd.DataFrame({"step": [0, 2**53], "loss": [np.nan, np.inf], "x": empty}), "it")
    check_log(pd.DataFrame({"step": [0.0, 5.0]}), "it")


def test_the_nearest_steps_of_a_log() -> None:
    steps = np.array([0, 50, 100, 150])
    rows, offset = nearest_steps(steps, np.array([49, 99, 149]))  # type: ignore[misc]
    assert (rows.tolist(), offset) == ([-1, 0, 1, 2], -1)
    rows, offset = nearest_steps(steps, np.array([2, 40, 52, 103, 600]))  # type: ignore[misc]
    assert (rows.tolist(), offset) == ([0, 2, 3, -1], 2)
    assert nearest_steps(steps, np.array([25, 75, 125])) is None  # as near to one as to the other
    assert nearest_steps(steps, np.array([49, 100])) is None  # a step of a checkpoint
    assert nearest_steps(steps, np.array([], dtype=int)) is None
    assert nearest_steps(steps[:1], np.array([1])) is None


@pytest.mark.parametrize(
    ("column", "direction", "threshold"),
    [
        ("eval_loss", "below", None),
        ("train_error", "below", None),
        ("perplexity", "below", None),
        ("eval/ppl", "below", None),
        ("WER", "below", None),
        ("eval_accuracy", "above", 0.9),
        ("val/acc", "above", 0.9),
        ("bleu", "above", None),
        ("return", "above", None),
        ("rollout/ep_rew_mean", "above", None),
        ("replacement", "above", None),  # has the letters of an accuracy, and is none
    ],
)
def test_what_a_column_is_by_its_name(column: str, direction: str, threshold: float | None) -> None:
    assert usual_direction(column) == direction
    assert usual_threshold(column) == threshold


@pytest.mark.parametrize(
    ("columns", "column"),
    [
        (["step", "epoch", "train_loss", "eval_accuracy", "lr"], "eval_accuracy"),
        (["step", "epoch", "return"], "return"),
        (["step", "epoch", "train_loss", "eval_loss"], "eval_loss"),
        (["step", "epoch", "loss", "return"], None),
        (["step", "epoch"], None),
        ([], None),
    ],
)
def test_the_outcome_is_guessed_only_where_one_column_can_be_meant(
    columns: list[str], column: str | None
) -> None:
    assert usual_column(columns) == column
