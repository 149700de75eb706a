"""What a run leaves behind: checkpoints or metrics as training goes, log and manifest at the end.

Everything is first made in a working folder, `RUNS/.unfinished-SEEDS/`, and moved to its place when
the run is complete, so that a run that is there is whole.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from training_maps.metrics import plugins
from training_maps.metrics.compute import metrics_table, tensor_distances, tensor_metrics
from training_maps.metrics.definitions import (
    DISTANCES,
    LANDSCAPE,
    TAIL_EXPONENT,
    metric_columns,
    plugin_columns,
)
from training_maps.metrics.layers import layer_columns, layers_of
from training_maps.metrics.measurement import NonFinitePolicy
from training_maps.metrics.parameters import (
    NO_OVERRIDES,
    Overrides,
    ParameterSelection,
    select_parameters,
)
from training_maps.runs.checkpoints import (
    FOLDER,
    MANIFEST,
    Checkpoint,
    Run,
    run_folder,
    step_file,
    write_checkpoint,
    write_manifest,
)
from training_maps.settings.sections import MetricsSettings
from training_maps.training.record_log import Record, RecordLog
from training_maps.utils.errors import InputError
from training_maps.utils.files import made_by, write_table

logger = logging.getLogger("training_maps")

TRAINING_LOG = "training_log.parquet"
METRICS = "metrics.parquet"
LAYERS = "layers.parquet"
RECORDS = "records.jsonl"
What = Literal["checkpoints", "metrics"]


@dataclass(frozen=True)
class Recording:
    """What is recorded of runs, and where.

    Attributes:
        runs: the folder below which run `seed` is written to `seed-{seed}`.
        what: "checkpoints", or "metrics": those of each checkpoint's tensors, which are then not
            written to disk.
        non_finite: with "metrics": what to do about NaN or infinity, as in `run_metrics`.
        columns: with "metrics": those to compute, as in `run_metrics`.
        overrides: with "metrics": patterns that say which tensors count.
        layers: with "metrics": whether those of each weight matrix are kept too.
    """

    runs: Path
    what: What = "checkpoints"
    non_finite: NonFinitePolicy = MetricsSettings.non_finite
    columns: tuple[str, ...] = ()
    overrides: Overrides = NO_OVERRIDES
    layers: bool = False


class Recorder:
    """Records the runs of one seed or more in a working folder, and moves them to their places."""

    def __init__(
        self,
        seeds: list[int],
        task_name: str,
        recording: Recording,
        folder: Path,
        last_step: int,
        threads: int | None = None,
    ) -> None:
        """Begin records of `seeds` in the working folder `folder`; metrics take `threads`."""
        self._threads = threads
        self._task_name, self._recording, self._folder = task_name, recording, folder
        self._last_step = last_step
        self.records = [Record(seed) for seed in seeds]
        self._logs = self._new_logs()
        self._selection: ParameterSelection | None = None
        self._columns = metric_columns(recording.columns, data=recording.what == "metrics")
        # All runs' tensors at their first checkpoint and at the one before, for distances.
        self._start: Mapping[str, Any] | None = None
        self._previous: Mapping[str, Any] | None = None

    @property
    def measures_distances(self) -> bool:
        """Whether distances from other checkpoints are among the metrics that are recorded."""
        return self._recording.what == "metrics" and not set(DISTANCES).isdisjoint(self._columns)

    @property
    def _measures_tails(self) -> bool:
        return TAIL_EXPONENT in self._columns

    def saved(self) -> str:
        """What has been recorded so far, put on disk: what `restore` needs to find it again."""
        pairs = zip(self._logs, self.records, strict=True)
        return json.dumps([log.add(record) for log, record in pairs])

    def restore(self, saved: str) -> Path | None:
        """Take up the records that `saved` returned; or return a file of them that is gone."""
        fresh = self.records
        self.records = []
        for log, of_run in zip(self._logs, json.loads(saved), strict=True):
            record = log.read(of_run)
            if record is None:
                gone: Path | None = log.path
                break
            self.records.append(record)
        else:
            gone = self._missing()
        if gone is not None:
            self.records = fresh
            self._logs = self._new_logs()
        return gone

    def _new_logs(self) -> list[RecordLog]:
        """For each run, the file of its record, to be begun."""
        folders = [run_folder(self._folder, record.seed) for record in self.records]
        return [RecordLog(folder / RECORDS) for folder in folders]

    def go_on(self, start: Mapping[str, Any], previous: Mapping[str, Any]) -> None:
        """Take up metrics where they were: from the tensors at the start and at the last one."""
        if self._recording.what == "metrics":
            self._select(_of_run(previous, 0))
        if self.measures_distances:
            self._start, self._previous = start, previous

    @property
    def measures_landscape(self) -> bool:
        """Whether metrics of the loss are among those that are recorded."""
        return not set(LANDSCAPE).isdisjoint(self._columns)

    def record(
        self,
        rows: list[int],
        measurements: list[dict[str, float]],
        tensors: Mapping[str, Any],
        landscape: Sequence[Mapping[str, float]] | None = None,
    ) -> None:
        """Record a checkpoint of the runs in `rows`.

        Args:
            rows: which of the runs, by their places in `records`.
            measurements: a line of the training log for each of them.
            tensors: arrays (n_runs, *shape) by name, of all runs, recorded or not.
            landscape: metrics of the loss of each of all runs, if they are recorded.

        Raises:
            InputError: if metrics are recorded, a weight is not finite, and that is to stop.
        """
        own = [_of_run(tensors, row) for row in rows]
        if self._recording.what == "metrics":
            self._record_metrics(rows, measurements, own, landscape or [{} for _ in self.records])
        for row, line, of_run in zip(rows, measurements, own, strict=True):
            record = self.records[row]
            if self._recording.what == "checkpoints":
                step = int(line["step"])
                self._warn_if_diverged(record, step, of_run)
                digest = write_checkpoint(
                    self._checkpoints(record.seed) / step_file(step, self._last_step), of_run,
                    task=self._task_name, seed=record.seed, step=step, epoch=line["epoch"],
                )  # fmt: skip
                record.digests.append(digest)
            record.log.append(line)
        if self.measures_distances:
            self._start, self._previous = self._start or tensors, tensors

    def _record_metrics(
        self,
        rows: list[int],
        measurements: list[dict[str, float]],
        tensors: list[dict[str, np.ndarray]],
        landscape: Sequence[Mapping[str, float]],
    ) -> None:
        """A row of metrics of each run whose table has not ended at a value that is not finite."""
        taken = [
            (row, int(line["step"]), of_run)
            for row, line, of_run in zip(rows, measurements, tensors, strict=True)
            if self.records[row].non_finite is None
        ]
        if not taken:
            return
        selection = self._select(taken[0][2])
        own = [of_run for _, _, of_run in taken]
        found = tensor_metrics(
            own, selection, tails=self._measures_tails, matrices=self._recording.layers,
            threads=self._threads,
        )  # fmt: skip
        finite = []
        for (row, step, of_run), one in zip(taken, found, strict=True):
            if one.metrics is None:
                self._note_non_finite(self.records[row], step, one.culprit)
                continue
            finite.append((row, step, of_run, one.metrics))
            if one.matrices is not None:
                self.records[row].layers.append(one.matrices)
        distances = self._distances([(row, of_run) for row, _, of_run, _ in finite])
        for (row, step, of_run, values), apart in zip(finite, distances, strict=True):
            record = self.records[row]
            plugged = self._plugin_metrics(of_run, f"seed {record.seed}, step {step}")
            record.metrics.append({"step": step, **values, **apart, **landscape[row], **plugged})

    def _distances(
        self, runs: list[tuple[int, dict[str, np.ndarray]]]
    ) -> Sequence[Mapping[str, float]]:
        """Of some runs, the distances from earlier tensors, if they are asked for."""
        if not self.measures_distances:
            return [{} for _ in runs]
        start, previous = (
            [of_run if them is None else _of_run(them, row) for row, of_run in runs]
            for them in (self._start, self._previous)
        )
        assert self._selection is not None
        own = [of_run for _, of_run in runs]
        return tensor_distances(own, start, previous, self._selection, threads=self._threads)

    def _note_non_finite(self, record: Record, step: int, culprit: str | None) -> None:
        """End a run's table of metrics here, or training as a whole."""
        record.non_finite = {"step": step, "tensor": culprit}
        message = f"seed {record.seed}, step {step}: {culprit or 'a metric'} is not finite"
        if self._recording.non_finite == "stop":
            raise InputError(
                f"{message}; training diverged. Set metrics.non_finite to 'drop' to leave such "
                "runs out, or to 'cut' to use their checkpoints up to there: training then goes "
                "on from where it was"
            )
        logger.warning("%s; its table of metrics ends before that", message)

    def _select(self, tensors: Mapping[str, np.ndarray]) -> ParameterSelection:
        """What counts of the networks, by one run's tensors; all have the same ones."""
        if self._selection is None:
            described = (
                (name, _TYPES[array.dtype.str], array.shape) for name, array in tensors.items()
            )
            self._selection = select_parameters(described, overrides=self._recording.overrides)
        return self._selection

    def _plugin_metrics(self, tensors: Mapping[str, np.ndarray], where: str) -> dict[str, float]:
        """The users' metrics of one checkpoint."""
        names = plugin_columns(self._columns)
        if not names:
            return {}
        assert self._selection is not None
        typed = {name: (_TYPES[array.dtype.str], array) for name, array in tensors.items()}
        weights, biases = plugins.arrays_of((None, typed), self._selection)
        return plugins.compute(names, weights, biases, where)

    def _warn_if_diverged(self, record: Record, step: int, tensors: dict[str, np.ndarray]) -> None:
        """Say once of a seed that its parameters are no longer finite; the others go on."""
        if record.non_finite is not None:
            return
        for name, tensor in tensors.items():
            if np.issubdtype(tensor.dtype, np.floating) and not np.isfinite(tensor).all():
                record.non_finite = {"step": step, "tensor": name}
                logger.warning(
                    "seed %d has diverged: %s is not finite at step %d", record.seed, name, step
                )
                return

    def finish(self, settings: Mapping[str, Any]) -> None:
        """Put every run in its place, its manifest or metrics last: then it is finished."""
        for record in self.records:
            target = run_folder(self._recording.runs, record.seed)
            provenance = made_by(task=self._task_name, seed=record.seed, **settings)
            if self._recording.what == "checkpoints":
                self._move_checkpoints(record.seed, target)
            write_table(pd.DataFrame(record.log), target / TRAINING_LOG, provenance)
            if self._recording.what == "checkpoints":
                listed = self._listed(record, target / FOLDER)
                run = Run(record.seed, listed, self._task_name, dict(settings))
                write_manifest(run, target / MANIFEST)
            else:
                assert self._selection is not None
                table = metrics_table(record.metrics, self._selection, self._columns)
                made = made_by(seed=record.seed, non_finite=record.non_finite)
                if self._recording.layers:
                    write_table(self._layers(record), target / LAYERS, made_by(seed=record.seed))
                write_table(table, target / METRICS, made)

    def _layers(self, record: Record) -> dict[str, np.ndarray]:
        """The table of a run's layers, by its columns."""
        assert self._selection is not None
        steps = [int(row["step"]) for row in record.metrics]
        layers = layers_of(self._selection)
        return layer_columns(steps, record.layers, layers, tails=self._measures_tails)

    def _move_checkpoints(self, seed: int, target: Path) -> None:
        """Move a run's checkpoints to its folder, unless a job that was killed then did so."""
        source = self._checkpoints(seed)
        if source.is_dir():
            (target / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(target / FOLDER, ignore_errors=True)
            target.mkdir(parents=True, exist_ok=True)
            source.rename(target / FOLDER)

    def _listed(self, record: Record, folder: Path) -> tuple[Checkpoint, ...]:
        return tuple(
            Checkpoint(
                int(line["step"]),
                line["epoch"],
                folder / step_file(int(line["step"]), self._last_step),
                digest,
            )
            for line, digest in zip(record.log, record.digests, strict=True)
        )

    def _missing(self) -> Path | None:
        """The first checkpoint that was recorded and is not there any more, if any."""
        for record in self.records:
            folder = self._checkpoints(record.seed)
            if not folder.is_dir():  # moved, if training was killed while it finished
                folder = run_folder(self._recording.runs, record.seed) / FOLDER
            if self._recording.what == "checkpoints":
                for checkpoint in self._listed(record, folder):
                    if not checkpoint.path.is_file():
                        return checkpoint.path
        return None

    def _checkpoints(self, seed: int) -> Path:
        return run_folder(self._folder, seed) / FOLDER


def _of_run(tensors: Mapping[str, Any], row: int) -> dict[str, Any]:
    """One run's tensors, of arrays (n_runs, *shape) of all runs."""
    return {name: array[row, ...] for name, array in tensors.items()}


# safetensors' names of the types that networks are made of
_TYPES = {"<f4": "F32", "<f8": "F64", "<f2": "F16", "<i8": "I64", "<i4": "I32", "|b1": "BOOL"}
