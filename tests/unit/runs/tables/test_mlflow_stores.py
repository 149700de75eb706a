"""MLflow's stores, as MLflow 3 lays them out; the library itself is not needed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from training_maps.runs.tables import input_files, read_logs, read_metrics
from training_maps.runs.tables.mlflow_stores import is_store, read_store
from training_maps.utils.errors import InputError

# Run, parameters, and metrics with their lines of time, value and step.
RUNS: dict[str, tuple[dict[str, str], dict[str, list[tuple[int, float, int]]]]] = {
    "aa": ({"seed": "3", "lr": "1"}, {"loss": [(1, 2.0, 0), (2, 1.0, 5)], "val/acc": [(2, .5, 5)]}),
    "bb": ({"seed": "1", "lr": "1"}, {"loss": [(1, 4.0, 0), (2, 3.0, 5)], "val/acc": [(2, .7, 5)]}),
}  # fmt: skip


def folder_store(path: Path, runs=RUNS, stage: str = "active") -> Path:  # type: ignore[no-untyped-def]
    for run, (params, metrics) in runs.items():
        for part, entries in (("params", params), ("metrics", metrics)):
            for name, content in entries.items():
                file = path / "exp" / run / part / name
                file.parent.mkdir(parents=True, exist_ok=True)
                lines = [content] if part == "params" else [f"{t} {v} {s}" for t, v, s in content]
                file.write_text("\n".join(lines))
        (path / "exp" / run / "meta.yaml").write_text(f"lifecycle_stage: {stage}\nrun_id: {run}\n")
    return path / "exp"


def database(path: Path, runs=RUNS, stage: str = "active", experiments: int = 1) -> Path:  # type: ignore[no-untyped-def]
    path.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path / "mlflow.db")) as store, store:
        store.execute("CREATE TABLE experiments (experiment_id INTEGER, name TEXT)")
        store.execute(
            "CREATE TABLE runs (run_uuid TEXT, experiment_id INTEGER, lifecycle_stage TEXT)"
        )
        store.execute("CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT)")
        store.execute("CREATE TABLE metrics (key TEXT, value REAL, timestamp INTEGER,"
                      " run_uuid TEXT, step INTEGER, is_nan BOOLEAN)")  # fmt: skip
        for number in range(experiments):
            store.execute("INSERT INTO experiments VALUES (?, ?)", (number, f"exp {number}"))
        for number, (run, (params, metrics)) in enumerate(runs.items()):
            store.execute("INSERT INTO runs VALUES (?, ?, ?)", (run, number % experiments, stage))
            for key, value in params.items():
                store.execute("INSERT INTO params VALUES (?, ?, ?)", (key, value, run))
            for key, values in metrics.items():
                for time, value, step in values:
                    store.execute("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, 0)",
                                  (key, value, time, run, step))  # fmt: skip
    return path / "mlflow.db"


STORES = pytest.mark.parametrize("make", [folder_store, database])


@STORES
def test_each_run_has_its_seed(make: Callable[..., Path], tmp_path: Path) -> None:
    path = make(tmp_path)
    tables = dict(read_metrics(str(path), [1, 3], metrics=["loss"]))
    assert tables[3].to_dict("list") == {"step": [0, 5], "loss": [2, 1]}
    assert tables[1].to_dict("list") == {"step": [0, 5], "loss": [4, 3]}
    ((_, log),) = read_logs(str(path), [1], columns={"eval_accuracy": "val/acc"})
    assert log["eval_accuracy"].tolist()[1] == 0.7
    assert all(file.is_file() for file in input_files(str(path), [1]))


@STORES
def test_what_cannot_be_is_refused(make: Callable[..., Path], tmp_path: Path) -> None:
    params, metrics = RUNS["aa"]
    with pytest.raises(InputError, match="run cc has no parameter seed"):
        read_store(make(tmp_path / "1", {**RUNS, "cc": ({}, metrics)}))
    with pytest.raises(InputError, match="seed 3 has runs aa and cc"):
        read_store(make(tmp_path / "2", {**RUNS, "cc": (params, metrics)}))
    with pytest.raises(InputError, match="has no run with metrics"):
        read_store(make(tmp_path / "3", RUNS, "deleted"))


@STORES
def test_a_resumed_run_is_in_the_order_of_its_times(
    make: Callable[..., Path], tmp_path: Path
) -> None:
    first = [(step, 1.0, step) for step in range(0, 100, 10)]
    resumed = [(1000 + step, 2.0, step) for step in range(55, 100, 10)]
    path = make(tmp_path, {"aa": ({"seed": "0"}, {"loss": first + resumed})})
    ((_, table),) = read_metrics(str(path), [0], repeated_steps="resumed")
    assert table["step"].tolist() == [0, 10, 20, 30, 40, 50, 55, 65, 75, 85, 95]


def test_several_experiments_and_broken_stores(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="runs of the experiments 'exp 0', 'exp 1'"):
        read_store(database(tmp_path / "a", experiments=2))
    (tmp_path / "x.db").write_text("no database, but a text that is long enough to be looked at")
    with pytest.raises(InputError, match="cannot be read as MLflow's store"):
        read_store(tmp_path / "x.db")
    path = folder_store(tmp_path / "b")
    (path / "aa" / "metrics" / "loss").write_text("1 2 3\nmany\n")
    with pytest.raises(InputError, match="loss, line 2: expected time, value and step"):
        read_store(path)
    assert not is_store(tmp_path)
