"""A run's metrics recorded while it trains, in the workflow's format, and placed on a map.

    recorder = Recorder("runs/seed-7", map="results/mine")
    for step in range(n_steps):
        ...
        if step % 100 == 0:
            recorder.record(model, step, eval_accuracy=accuracy)
    recorder.close()

The folder gets `recorded.jsonl`, a line a checkpoint as it happens, and `metrics.parquet` and
`training_log.parquet` of it when the recorder is closed. A run that is resumed goes on there; from
an earlier step, later lines are taken back.

The model's tensors go to the metric extension without files: where they lie on the CPU, and after
one copy to pinned memory from a GPU; then a thread computes while training goes on.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import NDArray

from training_maps.metrics.compute import tensor_metrics
from training_maps.metrics.definitions import BIAS_COLUMNS, DISTANCES, metric_columns
from training_maps.metrics.parameters import NO_OVERRIDES, Overrides, ParameterSelection
from training_maps.recording.tensors import (
    Chosen,
    Snapshot,
    as_number,
    gathered,
    is_first_rank,
    is_sharded,
    named_tensors,
    select,
    snapshot,
)
from training_maps.runs.journal import Journal, Line, tables_of
from training_maps.utils.errors import InputError
from training_maps.utils.files import made_by, write_table

if TYPE_CHECKING:
    from training_maps.placing.place import Placement
    from training_maps.placing.reference import Reference

logger = logging.getLogger("training_maps")


class Recorder:
    """Records one run. Of several processes that train it, rank 0 alone writes.

    Attributes:
        folder: the run's folder.
        placed: the run on the map so far; None without a map, and before two checkpoints of its.
        selection: which tensors count; None before the first checkpoint.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        map: str | os.PathLike[str] | None = None,
        seed: int | None = None,
        columns: Sequence[str] = (),
        overrides: Overrides = NO_OVERRIDES,
        threads: int | None = None,
        background: bool | None = None,
        on_warning: Callable[[Placement], object] | None = None,
    ) -> None:
        """Begin to record, or go on where an earlier process ended.

        Args:
            folder: the run's folder, its own.
            map: the folder of a map's results, or its placing.npz, to place the run on.
            seed: the run's seed, for the files' metadata.
            columns: metrics to compute, as `run_metrics` takes them; the map's, or the paper's if
                none. Distances from other checkpoints are not among them.
            overrides: patterns that say which tensors count, where docs/parameters.md does not.
            threads: number of threads that compute; as many as the process may use if None.
            background: whether a thread computes while training goes on, which takes a copy of the
                tensors; None: of those on a GPU, which are copied anyway.
            on_warning: called once, with the placed run, when it first leaves what the map's runs
                did.

        Raises:
            InputError: if the map cannot place runs, a column is unknown or cannot be recorded, or
                another process records to the folder.
        """
        self.folder = Path(folder)
        self.placed: Placement | None = None
        self.selection: ParameterSelection | None = None
        self._seed, self._overrides, self._threads = seed, overrides, threads
        self._background, self._on_warning = background, on_warning
        self._reference = _reference(map)
        self._columns = self._choose(columns)
        self._writes = is_first_rank()
        self._journal: Journal | None = Journal(self.folder) if self._writes else None
        self._worker: ThreadPoolExecutor | None = None
        self._pending: Future[None] | None = None
        self._warned = self._told = False
        self._chosen: Chosen | None = None
        if self._journal is not None and self._journal.lines:
            logger.info("%s: goes on after step %d", self.folder, self._journal.lines[-1].step)

    def record(
        self, model: Any, step: int, *, epoch: float | None = None, **logged: object
    ) -> Placement | None:
        """Record a checkpoint.

        Args:
            model: a torch.nn.Module, wrapped by DDP, `torch.compile` or `fully_shard` or not; or a
                state dict. Ranks that hold parts must all call this.
            step: optimiser updates so far.
            epoch: passes over the training set so far.
            logged: what else to keep, numbers by name: eval_accuracy, eval_loss, gradient_norm, ...

        Returns:
            The run on the map so far, if it is placed and nothing is computed in the background.

        Raises:
            InputError: if nothing of the model counts, a logged value is no number, or an earlier
                checkpoint could not be recorded in the background.
        """
        tensors = named_tensors(model)
        sharded = is_sharded(tensors)
        if not self._writes and not sharded:
            return None
        numbers = {name: as_number(name, value) for name, value in logged.items()}
        self.flush()
        if self.selection is None:
            self._chosen = select(model, tensors, self._overrides)
            self.selection = self._chosen.selection
        assert self._chosen is not None
        if not self._writes:
            for name in self._chosen.parts:
                gathered(tensors[name].detach())
            return None
        on_gpu = any(tensor.device.type != "cpu" for tensor in tensors.values())
        aside = on_gpu if self._background is None else self._background
        taken = snapshot(tensors, self._chosen, copy=aside)
        line = Line(int(step), None if epoch is None else float(epoch), {}, numbers)
        if not aside:
            self._finish(taken, line)
            return self.placed
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, "training-maps-recorder")
        self._pending = self._worker.submit(self._finish, taken, line)
        return None

    def line(self, step: int) -> Line | None:
        """What is recorded of `step`; None if it is not, or not by this rank."""
        lines = [] if self._journal is None else self._journal.lines
        return next((line for line in lines if line.step == step), None)

    def flush(self) -> None:
        """Wait for what is computed in the background.

        Raises:
            Exception: whatever went wrong there.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def values(self) -> dict[str, float]:
        """Where the run is on the map, as numbers for a trainer's logger; empty if not placed."""
        if self.placed is None:
            return {}
        now = self.placed.table.iloc[-1]
        told = {
            "state": float(now["state"]),
            "percentile": float(now["percentile"]),
            "unusual": float(now["unusual"]),
            "warning": float(now["warning"]),
            "predicted": float(now["predicted"]),
        }
        return {f"training_map/{k}": value for k, value in told.items() if value == value}

    def close(self) -> None:
        """Finish what is computed, and write the tables. The run may be gone on with later."""
        try:
            self.flush()
        finally:
            if self._worker is not None:
                self._worker.shutdown()
            if self._journal is not None:
                self._write_tables(self._journal)
                self._journal.close()
                self._journal = None

    def __enter__(self) -> Self:
        """The recorder, closed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def _choose(self, columns: Sequence[str]) -> tuple[str, ...]:
        """The metrics to compute: those asked for, the map's, or the paper's."""
        if not columns and self._reference is not None:
            from training_maps.placing.new_runs import measurable

            columns = measurable(self._reference.metrics)
            if not columns:
                raise InputError(
                    f"the metrics of {self._reference.name} "
                    f"({', '.join(self._reference.metrics)}) are none that a model's tensors have; "
                    "its runs can be placed by what they log ('training-maps watch')"
                )
        names = metric_columns(tuple(columns))
        apart = [name for name in names if name in DISTANCES]
        if apart:
            raise InputError(
                f"columns: {', '.join(apart)} takes other checkpoints of the run, which a recorder "
                "does not keep"
            )
        return names

    def _finish(self, taken: Snapshot, line: Line) -> None:
        """Compute a checkpoint's metrics, write its line, and place the run."""
        assert self._chosen is not None
        assert self._journal is not None
        arrays, selection = taken.arrays(self._chosen), self._chosen.selection
        tails = "tail_exponent" in self._columns
        [found] = tensor_metrics([arrays], selection, tails=tails, threads=self._threads)
        values, culprit = found.metrics, found.culprit
        metrics = {} if values is None else self._wanted(arrays, selection, values)
        non_finite = (culprit or "") if values is None else None
        if non_finite is not None:
            logger.warning("%s: %s is not finite at step %d", self.folder, culprit, line.step)
        self._journal.append(Line(line.step, line.epoch, metrics, line.logged, non_finite))
        if self._reference is not None:
            self._place(self._reference, self._journal.lines)

    def _wanted(
        self,
        arrays: Mapping[str, NDArray[Any]],
        selection: ParameterSelection,
        values: dict[str, float],
    ) -> dict[str, float]:
        """Of a checkpoint's metrics those asked for, and users' own."""
        from training_maps.metrics import plugins
        from training_maps.metrics.definitions import plugin_columns

        own = plugin_columns(self._columns)
        if own:
            typed = {
                name: ("F64" if array.dtype.itemsize == 8 else "F32", array)
                for name, array in arrays.items()
            }
            weights, biases = plugins.arrays_of((None, typed), selection)
            values = values | plugins.compute(own, weights, biases, str(self.folder))
        given = [c for c in self._columns if selection.biases or c not in BIAS_COLUMNS]
        return {column: values[column] for column in given if column in values}

    def _place(self, reference: Reference, lines: list[Line]) -> None:
        """Place the run so far. What cannot be placed is said once, and training goes on."""
        from training_maps.placing.place import NewRun, place_run
        from training_maps.placing.sentences import warning_sentence

        metrics, log, where = tables_of(lines)
        step = None if where is None else int(where["step"])
        if int(metrics["step"].isin(reference.steps).sum()) < 2:
            return
        try:
            self.placed = place_run(reference, NewRun(self.folder.name, metrics, log, step))
        except InputError as error:
            if not self._told:
                self._told = True
                logger.warning("%s is recorded and not placed: %s", self.folder, error)
            return
        if self.placed.first_warning is not None and not self._warned:
            self._warned = True
            logger.warning("%s: %s", self.folder, warning_sentence(reference, self.placed))
            if self._on_warning is not None:
                self._on_warning(self.placed)

    def _write_tables(self, journal: Journal) -> None:
        """The tables that other stages read, if anything is recorded."""
        if not journal.lines:
            return
        metrics, log, where = tables_of(journal.lines)
        made = made_by(seed=self._seed, recorded=True)
        write_table(metrics, self.folder / "metrics.parquet", {**made, "non_finite": where})
        write_table(log, self.folder / "training_log.parquet", made)


def _reference(map: str | os.PathLike[str] | None) -> Reference | None:
    if map is None:
        return None
    from training_maps.placing.reference import Reference

    return Reference.load(map)
