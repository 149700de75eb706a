"""The runs to place: checkpoints, tables, event files or a run's folder, by path or pattern.

| path | what it is |
|---|---|
| a pattern with {step}, with {seed} or without | checkpoints of each seed, or of one run |
| a pattern with {seed} alone | a table or a folder of event files a seed |
| a folder with metrics.parquet | a run of this workflow |
| a folder with recorded.jsonl | a run that a recorder writes, up to now |
| a folder of event files | what a run logged |
| a folder of checkpoints, or its manifest | step-*.safetensors, or checkpoints.json |
| a table (CSV, JSON lines, Parquet) | a run, or one a seed where it has a column of seeds |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training_maps.placing.place import NewRun
from training_maps.runs.checkpoints import MANIFEST, Checkpoint, Run, find_run, write_manifest
from training_maps.runs.discovery import Pattern, find_runs
from training_maps.runs.journal import FILE as JOURNAL
from training_maps.runs.journal import read_journal, tables_of
from training_maps.runs.tables.event_files import event_files, read_events
from training_maps.runs.tables.runs import (
    SEED_NAME,
    STEP_NAMES,
    LoggedRun,
    find_table_seeds,
    read_runs,
)
from training_maps.runs.tables.sheets import Sheet, read_sheet
from training_maps.settings.sections import Unreadable
from training_maps.utils.errors import InputError
from training_maps.utils.files import read_table, table_metadata

if TYPE_CHECKING:
    import pandas as pd

    from training_maps.metrics.parameters import Overrides

_TABLES = (".csv", ".tsv", ".gz", ".jsonl", ".ndjson", ".json", ".parquet", ".pq")


@dataclass(frozen=True)
class Reading:
    """How runs are read.

    Attributes:
        metrics: the columns that are metrics of the map.
        step: the column of steps in tables; one of the usual names if None.
        columns: which columns of tables hold what the map's logs call otherwise.
        state_dict_key: where torch's checkpoints have the network.
        overrides: which tensors count.
        unreadable: what to do about a checkpoint that cannot be read.
        base: of adapters, the checkpoint that they act beside.
    """

    metrics: tuple[str, ...]
    step: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    state_dict_key: str | None = None
    overrides: Overrides | None = None
    unreadable: Unreadable = "stop"
    base: str | None = None


def find_new_runs(path: str, reading: Reading) -> Iterator[NewRun]:
    """The runs that a path or pattern stands for.

    Raises:
        InputError: if there is nothing, or it cannot be read.
    """
    if "{step}" in path:
        yield from _of_checkpoints(path, reading)
        return
    if "{seed}" in path:
        seeds = find_table_seeds(path)
        if not seeds:
            advice = Pattern.read(path, (SEED_NAME,)).explain_missing()
            raise InputError(f"{path}: there is no table; {advice}")
        for run in read_runs(path, seeds, step=reading.step, repeated_steps="last"):
            yield _of_rows(f"seed {run.seed}", run, reading)
        return
    place = Path(path).expanduser()
    if not place.exists():
        raise InputError(f"{place}: does not exist")
    if (place / JOURNAL).is_file():
        metrics, log, where = tables_of(read_journal(place))
        yield NewRun(place.name, metrics, log, None if where is None else int(where["step"]))
    elif (place / "metrics.parquet").is_file():
        yield _of_folder(place)
    elif event_files(place):
        yield from _of_sheet(place.name, read_events(place), reading)
    elif place.is_dir() or place.name == MANIFEST:
        name = place.parent.name if place.name == MANIFEST else place.name
        yield measured(name, find_run(place), place, reading)
    elif place.suffix in _TABLES:
        yield from _of_sheet(place.stem, read_sheet(place), reading)
    else:
        raise InputError(
            f"{place}: is neither a table nor a folder; name checkpoints by a pattern such as "
            "runs/ckpt_{step}.pt"
        )


def _of_folder(folder: Path) -> NewRun:
    """A run's folder with its metrics, and its log where there is one."""
    metrics, log = folder / "metrics.parquet", folder / "training_log.parquet"
    where = table_metadata(metrics).get("non_finite")
    return NewRun(
        folder.name,
        read_table(metrics, ("step",)),
        read_table(log, ("step",)) if log.is_file() else None,
        None if where is None else int(where["step"]),
    )


def _of_checkpoints(path: str, reading: Reading) -> Iterator[NewRun]:
    """Checkpoints by a pattern, of one run or of each seed's."""
    for name, files in checkpoints_of(path).items():
        yield measured(name, listed_run(files), Path(path), reading)


def checkpoints_of(path: str) -> dict[str, dict[int, Path]]:
    """The checkpoints that a pattern with {step} finds, by run and step, both ascending.

    Raises:
        InputError: if there is none, or a run has a step twice.
    """
    if "{seed}" in path:
        found = find_runs(Pattern.read(path))
        if not found:
            raise InputError(f"there are no checkpoints; {Pattern.read(path).explain_missing()}")
        return {f"seed {seed}": steps for seed, steps in sorted(found.items())}
    pattern = Pattern.read(path, ("step",))
    files: dict[int, Path] = {}
    for _, step, file in sorted(pattern.find(0)):
        if step in files:
            raise InputError(f"{path}: step {step} is there twice: {files[step]} and {file}")
        files[step] = file
    if not files:
        raise InputError(f"there are no checkpoints; {pattern.explain_missing()}")
    return {_common_folder(files).name: files}


def listed_run(files: Mapping[int, Path]) -> Run:
    """The run of checkpoints by step."""
    return Run(None, tuple(Checkpoint(step, None, path.absolute()) for step, path in files.items()))


def _common_folder(steps: Mapping[int, Path]) -> Path:
    """The folder that all checkpoints are below."""
    parents = [set(path.absolute().parents) for path in steps.values()]
    return max(set.intersection(*parents), key=lambda parent: len(parent.parts))


def measured(name: str, run: Run, where: Path, reading: Reading) -> NewRun:
    """A run of checkpoints, measured as the map's were."""
    from tempfile import TemporaryDirectory

    from training_maps.metrics.compute import run_metrics
    from training_maps.metrics.parameters import NO_OVERRIDES

    columns = measurable(reading.metrics)
    if not columns:
        raise InputError(
            f"{where}: the map's metrics ({', '.join(reading.metrics)}) are none that checkpoints "
            "have; give a table of them"
        )
    with TemporaryDirectory() as aside:
        manifest = Path(aside) / MANIFEST
        write_manifest(run, manifest)
        table = run_metrics(
            manifest,
            columns=columns,
            non_finite="cut",
            unreadable=reading.unreadable,
            verify=False,
            state_dict_key=reading.state_dict_key,
            base=reading.base,
            overrides=reading.overrides or NO_OVERRIDES,
        )
    return NewRun(name, table, None, _diverged(table))


def measurable(metrics: Sequence[str]) -> list[str]:
    """Those of the metrics that a checkpoint has: this project's and installed packages'."""
    from training_maps.metrics import plugins
    from training_maps.metrics.definitions import ALL_METRICS, LANDSCAPE

    known = {metric.column for metric in ALL_METRICS} - set(LANDSCAPE)
    return [name for name in metrics if name in known or name in plugins.installed()]


def _diverged(table: pd.DataFrame) -> int | None:
    found: dict[str, Any] | None = table.attrs.get("non_finite")
    return None if found is None else int(found["step"])


def _of_sheet(name: str, sheet: Sheet, reading: Reading) -> Iterator[NewRun]:
    """The run of a table, or each seed's where it has a column of them."""
    rows = np.arange(sheet.n_rows)
    step = reading.step or sheet.step
    if step is None:
        named = [one for one in STEP_NAMES if one in sheet.columns]
        if len(named) != 1:
            raise InputError(
                f"{sheet.path}: which column is the step? It has "
                f"{', '.join(sheet.columns)}; name it with --step"
            )
        step = named[0]
    elif step not in sheet.columns:
        raise InputError(f"{sheet.path}: has no column '{step}' (--step)")
    if SEED_NAME not in sheet.columns:
        yield _of_rows(name, LoggedRun(0, sheet, rows, step, "last"), reading)
        return
    for run in read_runs(
        str(sheet.path), find_table_seeds(str(sheet.path)), step=step, repeated_steps="last"
    ):
        yield _of_rows(f"seed {run.seed}", run, reading)


def _of_rows(name: str, run: LoggedRun, reading: Reading) -> NewRun:
    """A run of logged rows: the map's metrics, and what else was logged."""
    import pandas as pd

    for new, column in reading.columns.items():
        if column not in run.sheet.columns:
            raise InputError(f"{run.sheet.path}: has no column '{column}' ({new}={column})")
    named = {column: column for column in run.sheet.columns} | dict(reading.columns)
    wanted = [metric for metric in reading.metrics if metric in named]
    if not wanted:
        raise InputError(
            f"{run.sheet.path}: has none of the map's metrics ({', '.join(reading.metrics)}); it "
            f"has {', '.join(run.sheet.columns)}"
        )
    read = {metric: run.column(named[metric]) for metric in wanted}
    values = np.column_stack([column for column, _ in read.values()])
    logged = np.column_stack([there for _, there in read.values()])
    bad = np.atleast_1d((logged & ~np.isfinite(values)).any(axis=1))
    end = int(bad.argmax()) if bad.any() else len(bad)
    kept = logged.any(axis=1) & (np.arange(len(bad)) < end)
    metrics = pd.DataFrame({"step": run.steps, **dict(zip(read, values.T, strict=True))})
    log = {
        new: run.column(column)[0]
        for new, column in named.items()
        if new not in wanted
        and column != run.step_column
        and column != SEED_NAME
        and run.sheet.columns[column].n_texts == 0
    }
    return NewRun(
        name,
        metrics[kept].reset_index(drop=True),
        pd.DataFrame({"step": run.steps, **log}) if log else None,
        int(run.steps[end]) if bad.any() else None,
    )
