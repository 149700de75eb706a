"""What a run leaves behind: checkpoints or metrics as training goes, log and manifest at the end.

Everything is first made in a working folder, `RUNS/.unfinished-SEEDS/`, and moved to its place when
the run is complete, so that a run that is there is whole.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from training_maps.metrics import plugins
from training_maps.metrics.compute import metrics_table, tensor_distances, tensor_metrics
from training_maps.metrics.definitions import DISTANCES, metric_columns, plugin_columns
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
from training_maps.utils.errors import InputError
from training_maps.utils.files import made_by, write_table

logger = logging.getLogger("training_maps")

TRAINING_LOG = "training_log.parquet"
METRICS = "metrics.parquet"
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
    """

    runs: Path
    what: What = "checkpoints"
    non_finite: NonFinitePolicy = MetricsSettings.non_finite
    columns: tuple[str, ...] = ()
    overrides: Overrides = NO_OVERRIDES


@dataclass
class Record:
    """What has been recorded of one seed's run so far."""

    seed: int
    log: list[dict[str, float]] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    metrics: list[dict[str, float]] = field(default_factory=list)
    non_finite: dict[str, Any] | None = None
    further: int | None = None
    """Checkpoints still to come before the run ends early; None until it is sure to."""


class Recorder:
    """Records the runs of one seed or more in a working folder, and moves them to their places."""

    def __init__(
        self, seeds: list[int], task_name: str, recording: Recording, folder: Path, last_step: int
    ) -> None:
        """Begin records of `seeds` in the working folder `folder`."""
        self._task_name, self._recording, self._folder = task_name, recording, folder
        self._last_step = last_step
        self.records = [Record(seed) for seed in seeds]
        self._selection: ParameterSelection | None = None
        self._columns = metric_columns(recording.columns)
        # All runs' tensors at their first checkpoint and at the one before, for distances.
        self._start: Mapping[str, Any] | None = None
        self._previous: Mapping[str, Any] | None = None

    @property
    def measures_distances(self) -> bool:
        """Whether distances from other checkpoints are among the metrics that are recorded."""
        return self._recording.what == "metrics" and not set(DISTANCES).isdisjoint(self._columns)

    def go_on(self, start: Mapping[str, Any], previous: Mapping[str, Any]) -> None:
        """Take up metrics where they were: from the tensors at the start and at the last one."""
        if self._recording.what == "metrics":
            self._select(_of_run(previous, 0))
        if self.measures_distances:
            self._start, self._previous = start, previous

    def record(
        self, rows: list[int], measurements: list[dict[str, float]], tensors: Mapping[str, Any]
    ) -> None:
        """Record a checkpoint of the runs in `rows`.

        Args:
            rows: which of the runs, by their places in `records`.
            measurements: a line of the training log for each of them.
            tensors: arrays (n_runs, *shape) by name, of all runs, recorded or not.

        Raises:
            InputError: if metrics are recorded, a weight is not finite, and that is to stop.
        """
        for row, line in zip(rows, measurements, strict=True):
            record = self.records[row]
            own = _of_run(tensors, row)
            step, epoch = int(line["step"]), line["epoch"]
            if self._recording.what == "metrics":
                self._record_metrics(record, row, step, own)
            else:
                self._warn_if_diverged(record, step, own)
                digest = write_checkpoint(
                    self._checkpoints(record.seed) / step_file(step, self._last_step),
                    own, task=self._task_name, seed=record.seed, step=step, epoch=epoch,
                )  # fmt: skip
                record.digests.append(digest)
            record.log.append(line)
        if self.measures_distances:
            self._start, self._previous = self._start or tensors, tensors

    def _record_metrics(
        self, record: Record, row: int, step: int, tensors: dict[str, np.ndarray]
    ) -> None:
        """A row of metrics, unless the run's table has ended at a value that is not finite."""
        if record.non_finite is not None:
            return
        selection = self._select(tensors)
        values, culprit = tensor_metrics(tensors, selection)
        if values is not None:
            if self.measures_distances:
                start, previous = (
                    tensors if them is None else _of_run(them, row)
                    for them in (self._start, self._previous)
                )
                values |= tensor_distances(tensors, start, previous, selection)
            values |= self._plugin_metrics(tensors, f"seed {record.seed}, step {step}")
            record.metrics.append({"step": step, **values})
            return
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
                write_table(table, target / METRICS, made)

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

    def missing(self) -> Path | None:
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
