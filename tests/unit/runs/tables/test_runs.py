"""From tables to runs: which rows are a run's, and one value for each step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training_maps.runs.tables.clocks import STEP_NAMES, is_time_column
from training_maps.runs.tables.runs import (
    LoggedRun,
    find_table_seeds,
    input_files,
    known_column,
    listed,
    read_runs,
    table_files,
)
from training_maps.runs.tables.sheets import read_sheet
from training_maps.utils.errors import InputError

LONG = "seed,step,loss,acc\n2,10,0.5,\n1,0,3,0.1\n2,0,2,\n1,5,1,\n,,,\n1,5,,0.6\n"


@pytest.fixture
def table(tmp_path: Path) -> str:
    path = tmp_path / "runs.csv"
    path.write_text(LONG)
    return str(path)


def one_run(path: Path, text: str, **options: str) -> LoggedRun:
    path.write_text(text)
    (run,) = read_runs(str(path), [0], **options)  # type: ignore[arg-type]
    return run


def test_rows_of_one_table_go_to_their_seeds_in_order_of_steps(table: str) -> None:
    assert find_table_seeds(table) == [1, 2]
    first, second = read_runs(table, [2, 1])
    assert (first.seed, first.steps.tolist()) == (2, [0, 10])
    assert (second.seed, second.steps.tolist()) == (1, [0, 5])
    values, logged = first.column("loss")
    assert values.tolist() == [2, 0.5]
    assert logged.tolist() == [True, True]
    # Step 5 of seed 1 is in two rows, each with one of the values.
    values, logged = second.column("acc")
    assert values.tolist() == [0.1, 0.6]
    assert second.column("loss")[0].tolist() == [3, 1]
    assert not first.column("acc")[1].any()
    assert np.isnan(first.column("acc")[0]).all()
    assert second.where("acc", 1) == f"{table}, line 7"
    assert second.where("loss", 1) == f"{table}, line 5"


def test_a_pattern_has_a_file_a_seed(tmp_path: Path) -> None:
    for seed in (3, 12):
        (tmp_path / f"run{seed}.csv").write_text(f"step,loss\n0,{seed}\n")
    pattern = str(tmp_path / "run{seed}.csv")
    assert find_table_seeds(pattern) == [3, 12]
    assert [path.name for path in table_files(pattern, [12, 3])] == ["run12.csv", "run3.csv"]
    assert input_files(pattern, [3]) == [tmp_path / "run3.csv"]
    runs = list(read_runs(pattern, [12, 3]))
    assert [run.column("loss")[0].tolist() for run in runs] == [[12], [3]]
    with pytest.raises(InputError, match="there is no table of seed 4"):
        table_files(pattern, [4])
    (tmp_path / "run03.csv").write_text("step,loss\n0,1\n")
    with pytest.raises(InputError, match=r"seed 3 has .*run03\.csv and .*run3\.csv"):
        table_files(pattern, [3])


def test_a_table_or_a_seed_that_is_not_there(table: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv: does not exist"):
        table_files(str(tmp_path / "none.csv"), [])
    with pytest.raises(InputError, match=r"has no rows of seeds 3,7; .*has 1"):
        list(read_runs(table, [1, 3, 7]))
    with pytest.raises(InputError, match=r"did you mean 'seed'\?"):
        find_table_seeds(table, "sed")


@pytest.mark.parametrize(("which", "value"), [("first", 7.0), ("last", 9.0)], ids=["first", "last"])
def test_of_two_values_the_one_asked_for_counts(tmp_path: Path, which: str, value: float) -> None:
    text = "seed,step,loss\n0,4,7\n0,2,1\n0,4,9\n"
    run = one_run(tmp_path / "a.csv", text, repeated_steps=which)
    assert run.column("loss")[0].tolist() == [1, value]
    assert run.where("loss", 1).endswith("line 2" if which == "first" else "line 4")
    with pytest.raises(InputError, match=r"line 2 and line 4: .*at step 4, 7 and 9"):
        one_run(tmp_path / "a.csv", text).column("loss")


def test_one_value_twice_is_no_contradiction_and_nan_is_a_value(tmp_path: Path) -> None:
    text = "seed,step,loss,acc\n0,4,7,NaN\n0,4,7,NaN\n0,5,,1\n"
    run = one_run(tmp_path / "a.csv", text)
    assert run.column("loss")[0].tolist()[0] == 7
    values, logged = run.column("acc")
    assert np.isnan(values[0])
    assert logged.tolist() == [True, True]
    assert run.column("loss")[1].tolist() == [True, False]
    mixed = text.replace("0,4,7,NaN\n0,5", "0,4,7,2\n0,5")
    with pytest.raises(InputError, match="nan and 2"):
        one_run(tmp_path / "a.csv", mixed).column("acc")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed,step,x\n0,0,many\n", r"line 2: column 'x' is 'many', which is no number"),
        ("seed,step,x\n0,,1\n0,1,2\n", r"line 2: column 'x' has a value and column 'step'.*none"),
        ("seed,step,x\n0,,1\n", r"line 2.*has a value|seed 0: no row has a value in column 'step'"),
        ("seed,step,x\n0,0.5,1\n", r"line 2: column 'step' is 0\.5; expected a whole number"),
        ("seed,step,x\n0,-1,1\n", r"line 2: column 'step' is -1; expected a whole number"),
        ("seed,step,x\n0,1e17,1\n", r"line 2: column 'step' is 1.*; expected a whole number"),
        ("seed,step,x\n0,one,1\n", r"line 2: column 'step' is 'one'; expected a whole number"),
        ("seed,step,x\n0,0,1\n,1,2\n", r"line 3: has values, and no seed in 'seed'"),
        ("seed,time,x\n0,0,1\n", r"which is the step\?"),
        ("seed,step,global_step,x\n0,0,0,1\n", r"which is the step\?"),
        ("run__MIN,step\n0,0\n", "Weights & Biases"),
        ('seed,step,"a - x","a - x__MIN","a - x__MAX"\n0,0,1,1,1\n', "Weights & Biases"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        one_run(tmp_path / "a.csv", text).column("x")


def test_the_step_is_the_column_with_such_a_name_or_the_one_asked_for(tmp_path: Path) -> None:
    for name in STEP_NAMES:
        run = one_run(tmp_path / "a.csv", f"seed,{name},other\n0,3,8\n")
        assert (run.step_column, run.steps.tolist()) == (name, [3])
    asked = one_run(tmp_path / "a.csv", "seed,step,other\n0,3,8\n", step="other")
    assert asked.steps.tolist() == [8]
    with pytest.raises(InputError, match=r"no column 'ohter' \(did you mean 'other'\?\)"):
        one_run(tmp_path / "a.csv", "seed,step,other\n0,3,8\n", step="ohter")


@pytest.mark.parametrize(
    ("name", "clock"),
    [
        ("step", True), ("epoch", True), ("wall_time", True), ("", True), ("Unnamed: 0", True),
        ("_runtime", True), ("loss", False), ("steps", False), ("Unnamed: x", False),
        ("my_step", False),
    ],
)  # fmt: skip
def test_clocks_are_no_quantities(name: str, clock: bool) -> None:
    assert is_time_column(name) is clock


def test_names_in_messages_end_somewhere(table: str) -> None:
    assert listed(["a", "b"]) == "'a', 'b'"
    assert listed(map(str, range(33)), most=30).endswith("'29' and 3 more")
    assert listed([]) == ""
    sheet = read_sheet(Path(table))
    assert known_column(sheet, "loss", "a metric") is sheet.columns["loss"]
    with pytest.raises(InputError, match="asked for as a metric; it has 'seed', 'step'"):
        known_column(sheet, "zzz", "a metric")
