"""Runs that were killed and resumed: what was given up then does not count."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from training_maps.runs.tables import read_logs, read_metrics
from training_maps.runs.tables.resumption import goes_back, superseded
from training_maps.utils.errors import InputError

FIRST = [(step, 1 + step / 100) for step in range(0, 200, 10)]
OTHER_CADENCE = [(step, 5 + step / 100) for step in range(105, 200, 10)]


def write(folder: Path, rows: list[tuple[int, float]], ending: str = ".csv") -> str:
    table = pd.DataFrame(rows, columns=["step", "w_norm"])
    path = folder / f"0{ending}"
    if ending == ".csv":
        table.to_csv(path, index=False)
    elif ending == ".jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_json(path, orient="records")
    return str(folder / f"{{seed}}{ending}")


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".json"])
def test_a_run_resumed_at_another_cadence_is_not_mixed(ending: str, tmp_path: Path) -> None:
    path = write(tmp_path, FIRST + OTHER_CADENCE, ending)
    with pytest.raises(
        InputError, match=r"go back from 190 to 105, as those.*'resumed'.*leaves out the 9 before"
    ):
        list(read_metrics(path, [0]))
    ((_, table),) = read_metrics(path, [0], repeated_steps="resumed")
    kept = [row for row in FIRST if row[0] < 105] + OTHER_CADENCE
    assert list(zip(table["step"], table["w_norm"], strict=True)) == kept


def test_last_keeps_all_and_says_what_is_stale(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, FIRST + OTHER_CADENCE)
    with caplog.at_level(logging.WARNING):
        ((_, table),) = read_metrics(path, [0], repeated_steps="last")
    assert len(table) == 30
    assert "9 values from step 105 on are stale" in caplog.text


def test_a_repeated_step_is_answered_with_what_loses_no_value(tmp_path: Path) -> None:
    path = write(tmp_path, FIRST + [(step, 5.0) for step in range(100, 180, 20)])
    with pytest.raises(InputError, match="resumed from an earlier step, set repeated_steps to 're"):
        list(read_metrics(path, [0]))
    ((_, table),) = read_metrics(path, [0], repeated_steps="resumed")
    assert table["step"].tolist() == [*range(0, 100, 10), 100, 120, 140, 160]


def test_what_a_seldom_logged_column_had_is_given_up_with_the_rest(tmp_path: Path) -> None:
    """The accuracy of the first branch at step 30 is stale, though none is logged after it."""
    (tmp_path / "0.csv").write_text(
        "step,loss,acc\n10,1,\n20,1,.2\n30,1,\n30,,.3\n40,1,\n50,1,\n25,2,\n35,2,\n45,2,\n45,,.9\n"
    )
    ((_, log),) = read_logs(
        str(tmp_path / "{seed}.csv"), [0], columns={"eval_accuracy": "acc", "train_loss": "loss"},
        repeated_steps="resumed",
    )  # fmt: skip
    assert log["step"].tolist() == [10, 20, 25, 35, 45]
    np.testing.assert_array_equal(log["eval_accuracy"], [np.nan, 0.2, np.nan, np.nan, 0.9])
    assert log["train_loss"].tolist() == [1, 1, 2, 2, 2]


@pytest.mark.parametrize(
    "steps",
    [
        list(range(50)),
        list(range(50))[::-1],
        np.random.default_rng(0).permutation(200).tolist(),
        [*range(100, 200), *range(100)],  # parts of a table, joined in another order
        [3],
    ],
)
def test_rows_in_another_order_are_no_resumption(steps: list[int]) -> None:
    assert goes_back(np.array(steps)) is None


def test_where_steps_go_back_is_told() -> None:
    assert goes_back(np.array([0, 10, 20, 30, 15, 25])) == (3, 4)
    assert goes_back(np.array([0, 10, 20, 30, 40, 0, 5, 10, 15])) == (4, 5)


def twin(rows: list[tuple[int, str]]) -> list[bool]:
    """What is void, by going through the rows: each says one column's value."""
    void = [False] * len(rows)
    last: dict[str, int] = {}
    for i, (step, column) in enumerate(rows):
        if step < last.get(column, -1):
            start = i
            while start and rows[start - 1][0] == step:
                start -= 1
            for j in range(start):
                void[j] |= rows[j][0] >= step
            # All columns go on from here; those of this moment are logged already.
            last = {name: min(at, step) for name, at in last.items()}
        last[column] = step
    return void


@example([(1, "a"), (1, "b"), (0, "a"), (2, "a"), (1, "a"), (0, "b")])  # b notices the first late
@given(st.lists(st.tuples(st.integers(0, 6), st.sampled_from("ab")), min_size=1, max_size=14))
def test_what_is_void_is_what_going_through_the_rows_gives(rows: list[tuple[int, str]]) -> None:
    steps = np.array([step for step, _ in rows])
    present = [np.array([column == name for _, column in rows]) for name in "ab"]
    assert superseded(steps, present).tolist() == twin(rows)
