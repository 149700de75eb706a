"""A run's metrics from checkpoints on the Hugging Face hub, with the disk of two checkpoints.

While one checkpoint is measured the next one arrives; each is deleted once its row of metrics is
kept. The rows so far are in a table beside the one to be written, and a job that was killed is
resumed after them; what it had downloaded is used, whole or not.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training_maps.hub.plan import HubRun
from training_maps.hub.prefetch import Downloads
from training_maps.metrics.compute import measured_tables
from training_maps.metrics.definitions import DISTANCES, FROM_PREVIOUS, FROM_START
from training_maps.metrics.layers import LAYER_COLUMNS
from training_maps.metrics.parameters import NO_OVERRIDES, Overrides, select_parameters
from training_maps.runs.checkpoints import MANIFEST, Checkpoint, Run, find_run, write_manifest
from training_maps.runs.formats import describe
from training_maps.settings.sections import MetricsSettings
from training_maps.utils.code_digest import stage_digest
from training_maps.utils.errors import InputError, UnreadableCheckpoint
from training_maps.utils.files import made_by, read_table, table_metadata, write_table
from training_maps.utils.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

    from training_maps.metrics.measurement import NonFinitePolicy, UnreadablePolicy

logger = logging.getLogger("training_maps")


@dataclass(frozen=True)
class MetricSettings:
    """How checkpoints are measured: what `metrics.run_metrics` takes, under its names."""

    columns: tuple[str, ...] = ()
    overrides: Overrides = NO_OVERRIDES
    non_finite: NonFinitePolicy = MetricsSettings.non_finite
    unreadable: UnreadablePolicy = MetricsSettings.unreadable
    state_dict_key: str | None = None


@dataclass
class _Finished:
    """What is known of a run.

    Attributes:
        rows: values by column, by step.
        commits: of which commit of its repository each row is, by step.
        unreadable: step and reason of each checkpoint that was left out.
        selection: a digest of which tensors count, the same in all checkpoints.
        columns: of the table, if a checkpoint has been measured.
        layers: the columns of its table of layers, by step, where those are kept.
        non_finite: the first checkpoint that is not finite, which ends the table.
    """

    rows: dict[int, dict[str, float]] = field(default_factory=dict)
    commits: dict[int, str] = field(default_factory=dict)
    unreadable: list[dict[str, Any]] = field(default_factory=list)
    selection: str | None = None
    columns: list[str] = field(default_factory=list)
    layers: dict[int, dict[str, NDArray[Any]]] = field(default_factory=dict)
    non_finite: dict[str, Any] | None = None


def measure_hub_run(
    run: HubRun,
    output: str | os.PathLike[str],
    scratch: str | os.PathLike[str],
    settings: MetricSettings = MetricSettings(),
    *,
    layers: str | os.PathLike[str] | None = None,
    threads: int | None = None,
) -> pd.DataFrame:
    """Metrics of every checkpoint of a run on the hub.

    Args:
        run: where its checkpoints are.
        output: the Parquet file that the table is meant for; the rows so far are kept beside it,
            and removed by `forget` once the table is written.
        scratch: the folder for downloads. It never holds more than two checkpoints (four, if
            distances between checkpoints are among the columns), and nothing of them in the end.
        settings: as of `metrics.run_metrics`. A checkpoint that the hub does not have counts as
            unreadable.
        layers: the Parquet file that the metrics of each matrix are written to, if wanted; what
            there is of them so far is kept beside `output`.
        threads: as of `metrics.run_metrics`.

    Returns:
        The table that `metrics.run_metrics` would give of the same files on disk. `attrs` has
        `commits`, the commit of the repository by step, besides what is there of files on disk.

    Raises:
        InputError: naming repository, revision, seed and step, if a checkpoint cannot be had after
            several tries, cannot be read, or has other tensors than the first.
    """
    partial = _Partial(run, Path(output), settings, layers is not None)
    finished = partial.read()
    left = [step for step in run.steps if step not in finished.rows]
    if len(left) < len(run.steps):
        logger.info("seed %d: %d checkpoints are done already", run.seed, len(finished.rows))
    progress = Progress(len(run.steps), "checkpoint", f"seed {run.seed}", len(finished.rows))
    with Downloads(run, Path(scratch) / f"hub-seed-{run.seed}", left) as downloads:
        for done, step in enumerate(left, start=len(run.steps) - len(left) + 1):
            try:
                _measure(run, step, downloads, finished, settings, layers is not None, threads)
            except UnreadableCheckpoint as error:
                if settings.unreadable == "stop":
                    raise
                logger.warning("%s; left out of the table", error)
                finished.unreadable.append({"step": step, "reason": str(error)})
            if finished.non_finite:
                break
            partial.write(finished)
            progress.update(done, f"step {step}")
    if not finished.rows and finished.unreadable:
        raise InputError(f"none of the run's checkpoints; {finished.unreadable[0]['reason']}")
    if layers is not None:
        steps = [step for step in run.steps if step in finished.layers]
        columns = _joined([finished.layers[step] for step in steps])
        write_table(columns, layers, made_by(seed=run.seed))
    return _table(run, finished)


def forget(output: str | os.PathLike[str]) -> None:
    """Remove the rows kept beside `output`, which has them all."""
    for path in (_partial_path(Path(output)), _partial_path(Path(output), "-layers")):
        path.unlink(missing_ok=True)


def _table(run: HubRun, finished: _Finished) -> pd.DataFrame:
    """What is finished of the run's steps, as `metrics.run_metrics` would give it."""
    import pandas as pd

    steps = [step for step in run.steps if step in finished.rows]
    columns = finished.columns or ["step", *finished.rows[steps[0]]]
    table = pd.DataFrame([{"step": step, **finished.rows[step]} for step in steps], columns=columns)
    table = table.astype(dict.fromkeys(columns, float) | {"step": "int64"})
    table.attrs["commits"] = {str(step): finished.commits[step] for step in steps}
    for key in ("non_finite", "unreadable"):
        if found := getattr(finished, key):
            table.attrs[key] = found
    return table


def _measure(
    run: HubRun,
    step: int,
    downloads: Downloads,
    finished: _Finished,
    settings: MetricSettings,
    layers: bool,
    threads: int | None,
) -> None:
    """Add the row of one checkpoint to what is finished."""
    downloaded = downloads.get(step)
    where = f"seed {run.seed}, step {step}: {downloaded.name}"
    tensors = describe(downloaded.path, settings.state_dict_key)
    selection = select_parameters(tensors, where, settings.overrides)
    parts = json.dumps([selection.matrices, selection.biases])
    digest = hashlib.sha256(parts.encode()).hexdigest()
    if finished.selection not in (None, digest):
        raise InputError(
            f"{where}: has other tensors than the checkpoints before it, or of other shapes; a run "
            "is one network, so check repository, revision and steps"
        )
    finished.selection = digest
    found = measured_tables(
        find_run(_manifest(run, [*_compared(step, finished, settings), step], downloads)),
        columns=settings.columns,
        layers=layers,
        overrides=settings.overrides,
        threads=threads,
        non_finite=settings.non_finite,
        unreadable="stop",
        verify=False,
        state_dict_key=settings.state_dict_key,
    )
    finished.columns = list(found.metrics)
    if cut := found.attrs.get("non_finite"):
        finished.non_finite = dict(cut)
        return
    finished.rows[step] = {
        column: float(values[-1]) for column, values in found.metrics.items() if column != "step"
    }
    if found.layers is not None:
        own = found.layers["step"] == step
        finished.layers[step] = {name: values[own] for name, values in found.layers.items()}
    finished.commits[step] = downloaded.commit
    downloads.keep([*_compared(step + 1, finished, settings)])


def _compared(step: int, finished: _Finished, settings: MetricSettings) -> list[int]:
    """The checkpoints that the one of `step` is compared with, where distances are asked for."""
    before = [other for other in sorted(finished.rows) if other < step]
    steps = {before[0]} if before and FROM_START in settings.columns else set()
    if before and FROM_PREVIOUS in settings.columns:
        steps.add(before[-1])
    return sorted(steps)


def _manifest(run: HubRun, steps: list[int], downloads: Downloads) -> Path:
    """Write the manifest of those checkpoints, as if they were all of the run."""
    checkpoints = tuple(Checkpoint(step, None, downloads.get(step).path) for step in steps)
    path = downloads.folder / MANIFEST
    write_manifest(Run(run.seed, checkpoints), path)
    return path


class _Partial:
    """The rows of a run that is not finished, in a table beside the one that is to be written.

    They are used only where the same code measures the same tensors of the same checkpoints.
    """

    def __init__(self, run: HubRun, output: Path, settings: MetricSettings, layers: bool) -> None:
        self.path = _partial_path(output)
        self._layers = _partial_path(output, "-layers") if layers else None
        # With distances, a row depends on the rows before it.
        self._in_order = run.steps if set(DISTANCES) & set(settings.columns) else None
        what = {**asdict(run), **asdict(settings), "steps": self._in_order}
        for choice in ("endpoint", "non_finite", "unreadable"):
            del what[choice]  # no row depends on it
        self._identity = json.loads(json.dumps({**what, "layers": layers, "code": _code()}))

    def read(self) -> _Finished:
        """What is finished; nothing if there is no table, or one of something else."""
        if not self.path.is_file():
            return _Finished()
        try:
            metadata = table_metadata(self.path)
            table = read_table(self.path, ["step"])
            layers = _by_step(self._layers) if self._layers else {}
        except (InputError, OSError, ValueError) as error:
            logger.warning("%s; the run is measured again", error)
            return _Finished()
        if metadata.get("identity") != self._identity:
            logger.info("%s is of other settings or code: the run is measured again", self.path)
            return _Finished()
        rows = {int(row.pop("step")): row for row in table.to_dict("records")}
        if self._layers:
            rows = {step: row for step, row in rows.items() if step in layers}
        if self._in_order is not None:
            rows = {step: rows[step] for step in takewhile(rows.__contains__, self._in_order)}
        commits = {int(step): commit for step, commit in metadata["commits"].items()}
        return _Finished(_plain(rows), commits, selection=metadata["selection"], layers=layers)

    def write(self, finished: _Finished) -> None:
        """Keep what is finished; whole or not at all."""
        import pandas as pd

        rows = [{"step": step, **row} for step, row in sorted(finished.rows.items())]
        metadata = {
            "identity": self._identity,
            "commits": finished.commits,
            "selection": finished.selection,
        }
        if self._layers:  # first: a row counts as finished only if its layers are there
            write_table(_joined(list(finished.layers.values())), self._layers)
        write_table(pd.DataFrame(rows), self.path, metadata)


def _partial_path(output: Path, of: str = "") -> Path:
    return output.with_name(f".unfinished-{output.stem}{of}.parquet")


def _by_step(path: Path) -> dict[int, dict[str, NDArray[Any]]]:
    """A table of layers by its columns, for each step."""
    groups = read_table(path, LAYER_COLUMNS).groupby("step", sort=False)
    return {
        int(str(step)): {
            str(column): rows[column].to_numpy(dtype=str if column in ("tensor", "kind") else None)
            for column in rows
        }
        for step, rows in groups
    }


def _joined(tables: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Tables of the same columns, one behind the other."""
    return {column: np.concatenate([table[column] for table in tables]) for column in tables[0]}


def _plain(rows: Mapping[int, Mapping[Any, Any]]) -> dict[int, dict[str, float]]:
    return {step: {str(k): float(v) for k, v in row.items()} for step, row in rows.items()}


def _code() -> str:
    """A digest of the code that measures, the compiled extension's too."""
    extension = importlib.import_module("training_maps._rust_metrics")
    digest = hashlib.sha256(Path(str(extension.__file__)).read_bytes()).hexdigest()[:16]
    return f"{stage_digest('hub')} {stage_digest('metrics')} {digest}"
