"""MLflow's stores, read offline: the metrics of all runs of an experiment, with their seeds.

    mlflow.db                              SQLite, what MLflow 3 writes without a server
    mlruns/EXPERIMENT/RUN/metrics/NAME     a file a metric, a line a value: time, value, step

A run's seed is its parameter `seed` (or `random_seed`, `args/seed`, `args.seed`). Values are taken
in the order of their times. Runs that were deleted are left out.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from training_maps.runs.tables.sheets import RowsOfValues, Sheet
from training_maps.utils.errors import InputError

DATABASES = (".db", ".sqlite", ".sqlite3")
_SEEDS = ("seed", "random_seed", "args/seed", "args.seed")
_DELETED = "lifecycle_stage: deleted"


class _Value(NamedTuple):
    """One logged value: its time, run, step, metric and value."""

    time: int
    run: str
    step: int
    name: str
    value: float


def is_store(path: Path) -> bool:
    """Whether `path` is a store: SQLite's file, or a folder of runs as MLflow lays it out."""
    if path.is_dir():
        return any(path.glob("*/metrics")) and any(path.glob("*/meta.yaml"))
    return path.suffix.lower() in DATABASES


def store_files(path: Path) -> list[Path]:
    """The files that are read of a store."""
    if not path.is_dir():
        return [path]
    folders = [folder for folder in sorted(path.iterdir()) if (folder / "metrics").is_dir()]
    return [
        file
        for folder in folders
        for part in ("meta.yaml", "params", "metrics")
        for file in [folder / part, *sorted((folder / part).rglob("*"))]
        if file.is_file()
    ]


def read_store(path: Path) -> Sheet:
    """All runs of a store: a row a value, with `seed` and `step`.

    Raises:
        InputError: if it cannot be read, has no run with metrics, several experiments, a run
            without a seed, or two of the same one.
    """
    values, seeds = _of_database(path) if path.is_file() else _of_folder(path)
    if not values:
        raise InputError(f"{path}: has no run with metrics")
    _check_seeds(path, {value.run for value in values}, seeds)
    rows = RowsOfValues()
    places = []
    for value in sorted(values):
        rows.add({"seed": seeds[value.run], "step": value.step, value.name: value.value})
        places.append(value)

    def locate(row: int) -> str:
        return f"run {places[row].run}, metric {places[row].name}"

    return Sheet(path, rows.n_rows, rows.columns(), locate, "step")


def _check_seeds(path: Path, runs: set[str], seeds: dict[str, str]) -> None:
    missing = sorted(runs - seeds.keys())
    if missing:
        raise InputError(
            f"{path}: run {missing[0]} has no parameter {', '.join(_SEEDS)}; log it with "
            "mlflow.log_param('seed', ...), or afterwards with MlflowClient().log_param(run, ...)"
        )
    found: dict[str, str] = {}
    for run in sorted(runs):
        other = found.setdefault(seeds[run].strip(), run)
        if other != run:
            raise InputError(
                f"{path}: seed {seeds[run]} has runs {other} and {run}; delete one in MLflow, or "
                "leave one experiment alone in the store"
            )


def _of_database(path: Path) -> tuple[list[_Value], dict[str, str]]:
    marks = ", ".join("?" * len(_SEEDS))
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as store:
            experiments = store.execute(
                "SELECT DISTINCT e.name FROM runs r JOIN experiments e USING (experiment_id) "
                "WHERE r.lifecycle_stage = 'active' "
                "AND EXISTS (SELECT 1 FROM metrics m WHERE m.run_uuid = r.run_uuid)"
            ).fetchall()
            rows = store.execute(
                "SELECT m.timestamp, m.run_uuid, m.step, m.key, "
                "CASE WHEN m.is_nan THEN 'nan' ELSE m.value END "
                "FROM metrics m JOIN runs r USING (run_uuid) WHERE r.lifecycle_stage = 'active'"
            ).fetchall()
            seeds = store.execute(
                f"SELECT run_uuid, value FROM params WHERE key IN ({marks})", _SEEDS
            ).fetchall()
    except sqlite3.Error as error:
        raise InputError(f"{path}: cannot be read as MLflow's store ({error})") from error
    if len(experiments) > 1:
        names = ", ".join(sorted(f"'{name}'" for (name,) in experiments))
        raise InputError(
            f"{path}: has runs of the experiments {names}; leave one alone in the store, or export "
            "its runs: mlflow.search_runs and MlflowClient().get_metric_history"
        )
    values = [_Value(t, run, step, key, float(value)) for t, run, step, key, value in rows]
    return values, {run: str(value) for run, value in seeds}


def _of_folder(path: Path) -> tuple[list[_Value], dict[str, str]]:
    values: list[_Value] = []
    seeds: dict[str, str] = {}
    for folder in sorted(path.iterdir()):
        meta = folder / "meta.yaml"
        if not (folder / "metrics").is_dir() or not meta.is_file():
            continue
        if _DELETED in meta.read_text(encoding="utf-8"):
            continue
        values += _of_run(folder)
        for name in _SEEDS:
            if (folder / "params" / name).is_file():
                seeds[folder.name] = (folder / "params" / name).read_text(encoding="utf-8")
                break
    return values, seeds


def _of_run(folder: Path) -> Iterator[_Value]:
    for file in sorted((folder / "metrics").rglob("*")):
        if not file.is_file():
            continue
        name = file.relative_to(folder / "metrics").as_posix()
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                time, value, step, *_ = [*line.split(), "0"]
                yield _Value(int(time), folder.name, int(step), name, float(value))
            except ValueError as error:
                raise InputError(
                    f"{file}, line {number}: expected time, value and step, as MLflow writes them"
                ) from error
