"""The metrics of a run's checkpoints: what is measured, what is left out, and why."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training_maps.metrics import plugins
from training_maps.metrics.definitions import FROM_PREVIOUS, FROM_START
from training_maps.metrics.low_rank import factored_metrics
from training_maps.metrics.module_types import TensorOfModule, modules_beside
from training_maps.metrics.parameters import (
    NO_OVERRIDES,
    Overrides,
    ParameterSelection,
    decide,
    select_parameters,
)
from training_maps.runs.checkpoints import Checkpoint, Run
from training_maps.runs.formats import CheckpointReader, OpenCheckpoint, Source, check_files
from training_maps.settings.sections import NonFinite, Unreadable
from training_maps.utils.errors import InputError, UnreadableCheckpoint
from training_maps.utils.progress import Progress

if TYPE_CHECKING:
    from training_maps._rust_metrics import CheckpointFailure

    # A checkpoint's metrics and, if asked for, those of each matrix; or why there are none.
    Outcome = tuple[list[tuple[str, float]], NDArray[np.float64] | None] | CheckpointFailure

logger = logging.getLogger("training_maps")

NonFinitePolicy = NonFinite
UnreadablePolicy = Unreadable

# Files that are measured in one call are as many as take about so long, and no fewer than keep all
# threads busy: one call costs nothing, and progress is logged between calls.
_SECONDS_A_CALL = 2.0


@dataclass
class Measured:
    """What was found of a run.

    Attributes:
        selection: what counts in its checkpoints.
        rows: step, and value by column, of each checkpoint.
        matrices: of each of these rows, if asked for, the metrics of each matrix, (n_matrices,
            n_columns) in the order of the selection and of `MATRIX_COLUMNS`.
        non_finite: step and tensor of the first value that is not finite, where the rows end.
        unreadable: step and reason of each checkpoint that was left out.
    """

    selection: ParameterSelection
    rows: list[dict[str, float]] = field(default_factory=list)
    matrices: list[NDArray[np.float64]] = field(default_factory=list)
    non_finite: dict[str, Any] | None = None
    unreadable: list[dict[str, Any]] = field(default_factory=list)


def measure_run(
    run: Run,
    distances: Sequence[str],
    own: Sequence[str] = (),
    *,
    tails: bool,
    matrices: bool = False,
    threads: int,
    non_finite: NonFinitePolicy,
    unreadable: UnreadablePolicy,
    verify: bool,
    state_dict_key: str | None,
    base: str | None = None,
    overrides: Overrides = NO_OVERRIDES,
) -> Measured:
    """Measure every checkpoint of `run`; see `metrics.run_metrics`.

    Args:
        run: the run.
        distances: those of `DISTANCES` to compute.
        own: names of users' metrics to compute.
        tails: whether to compute `tail_exponent`.
        matrices: whether to keep the metrics of each matrix.
        threads: number of threads.
        non_finite: what to do about a value that is not finite.
        unreadable: what to do about a checkpoint that cannot be read.
        verify: whether to compare files with the manifest.
        state_dict_key: where torch files have the network's state dict.
        base: of adapters, the checkpoint that they act beside (`runs.lora_base`).
        overrides: patterns that say which tensors count.

    Raises:
        InputError: by policy; and if no checkpoint can be read, or one has other tensors.
    """
    wrong = check_files(run, threads if verify else None)
    measurement = _Measurement(
        run,
        tuple(distances),
        tuple(own),
        tails,
        matrices,
        threads,
        non_finite,
        unreadable,
        CheckpointReader(state_dict_key, base),
        overrides,
    )
    progress = None
    for done, checkpoint in enumerate(run.checkpoints, start=1):
        measurement.take(checkpoint, wrong.get(checkpoint.step))
        if measurement.ended:
            break
        if progress is None:  # the clock begins when torch, if it is needed, is imported
            what = f"metrics of {_of(run)}"
            progress = Progress(len(run.checkpoints), "checkpoint", what, done)
        if not measurement.waiting and done < len(run.checkpoints):
            progress.update(done)
    return measurement.finish()


def measure_sources(
    sources: Sequence[Source],
    selection: ParameterSelection,
    threads: int,
    tails: bool,
    matrices: bool,
) -> list[Outcome]:
    """The metrics of checkpoints; with `matrices`, those of each matrix too."""
    from training_maps._rust_metrics import layer_metrics, run_metrics

    given = (sources, selection.matrices, selection.biases, threads, tails)
    if matrices:
        return list(layer_metrics(*given))
    return [(one, None) if isinstance(one, list) else one for one in run_metrics(*given)]


@dataclass(frozen=True)
class _Waiting:
    """A checkpoint to be measured, or why it cannot be."""

    checkpoint: Checkpoint
    opened: OpenCheckpoint | str


@dataclass
class _Measurement:
    """The state of measuring one run."""

    run: Run
    distances: tuple[str, ...]
    own: tuple[str, ...]
    tails: bool
    matrices: bool
    threads: int
    non_finite: NonFinitePolicy
    unreadable: UnreadablePolicy
    reader: CheckpointReader
    overrides: Overrides
    waiting: list[_Waiting] = field(default_factory=list)
    _found: Measured | None = None
    _known: frozenset[str] = frozenset()
    _left_out: list[dict[str, Any]] = field(default_factory=list)
    _batch: int = 0
    _modules: Mapping[str, TensorOfModule] = field(default_factory=dict)
    # The first checkpoint of the table, and the last one so far.
    _start: Source | None = None
    _previous: Source | None = None

    def __post_init__(self) -> None:
        self._batch = 2 * self.threads

    @property
    def ended(self) -> bool:
        """Whether the table has ended at a value that is not finite."""
        return self._found is not None and self._found.non_finite is not None

    def take(self, checkpoint: Checkpoint, wrong: str | None) -> None:
        """Measure a checkpoint, or keep it until there are enough to measure at a time."""
        try:
            if wrong is not None:
                raise UnreadableCheckpoint(wrong)
            opened: OpenCheckpoint | str = self.reader.open(checkpoint.path)
        except UnreadableCheckpoint as error:
            opened = str(error)
        except InputError as error:
            raise InputError(f"{_name(self.run, checkpoint)}: {error}") from error
        self.waiting.append(_Waiting(checkpoint, opened))
        # Torch's tensors may be in memory: one checkpoint at a time, with all threads on it.
        in_memory = isinstance(opened, OpenCheckpoint) and opened.takes_memory
        if in_memory or len(self.waiting) >= self._batch:
            self._measure_waiting()

    def finish(self) -> Measured:
        """What was found."""
        self._measure_waiting()
        if self._found is None or len(self._left_out) == len(self.run.checkpoints):
            first = self._left_out[0]
            raise InputError(
                f"{_of(self.run)}: none of its {len(self._left_out)} checkpoints can be read; step "
                f"{first['step']}: {first['reason']}"
            )
        self._found.unreadable = self._left_out
        return self._found

    def _measure_waiting(self) -> None:
        waiting, self.waiting = self.waiting, []
        began = time.monotonic()
        sources: dict[int, Source] = {}
        outcomes: dict[int, Outcome] = {}
        for checkpoint, opened in ((i.checkpoint, i.opened) for i in waiting):
            if isinstance(opened, str):
                continue
            wanted = self._wanted(checkpoint, opened)
            by_factors = factored_metrics(
                opened, self._selection, self.threads, tails=self.tails, matrices=self.matrices
            )
            if by_factors is not None:
                outcomes[checkpoint.step] = by_factors
            if by_factors is None or self.distances or self.own:
                sources[checkpoint.step] = self._source(checkpoint, opened, wanted)
        whole = {step: source for step, source in sources.items() if step not in outcomes}
        if whole:
            found = measure_sources(
                list(whole.values()), self._selection, self.threads, self.tails, self.matrices
            )
            outcomes |= dict(zip(whole, found, strict=True))
        good = []
        for item in waiting:
            if self.ended:
                break
            outcome = (
                item.opened if isinstance(item.opened, str) else outcomes[item.checkpoint.step]
            )
            if self._settle(item.checkpoint, outcome):
                good.append(item.checkpoint)
        self._add_distances(good, sources)
        self._add_own(good, sources)
        # Twice as many at a time, until that takes long enough.
        if time.monotonic() - began < _SECONDS_A_CALL / 2 and len(waiting) == self._batch:
            self._batch *= 2

    @property
    def _selection(self) -> ParameterSelection:
        assert self._found is not None, "the first checkpoint that is opened says what counts"
        return self._found.selection

    def _source(self, checkpoint: Checkpoint, opened: OpenCheckpoint, wanted: list[str]) -> Source:
        """An opened checkpoint for the extension."""
        try:
            return opened.source(wanted)
        except InputError as error:
            raise InputError(f"{_name(self.run, checkpoint)}: {error}") from error

    def _wanted(self, checkpoint: Checkpoint, opened: OpenCheckpoint) -> list[str]:
        """The tensors that count in an opened checkpoint, if no others do than in the first.

        What counts is decided on the run's first checkpoint, and has to be in all others.
        """
        try:
            if self._found is None:
                self._modules = modules_beside(opened.path)
                self._found = Measured(
                    select_parameters(
                        opened.description, opened.path, self.overrides, self._modules
                    )
                )
                self._known = opened.names
            selection = self._selection
            wanted = [*(matrix.tensor for matrix in selection.matrices), *selection.biases]
            if not opened.names <= self._known:
                new = decide(opened.description, opened.path, self.overrides, self._modules)
                for name in (*(matrix.tensor for matrix in new.matrices), *new.biases):
                    if name not in wanted:
                        raise InputError(
                            f"{opened.path}: tensor '{name}' counts, and the run's first "
                            "checkpoint has none of this name; all checkpoints of a run are of one "
                            "network"
                        )
            return wanted
        except InputError as error:
            raise InputError(f"{_name(self.run, checkpoint)}: {error}") from error

    def _settle(self, checkpoint: Checkpoint, outcome: str | Outcome) -> bool:
        """Make a row of an outcome, or do as the policies say; returns whether there is a row."""
        if isinstance(outcome, tuple):
            assert self._found is not None
            values, matrices = outcome
            self._found.rows.append({"step": checkpoint.step, **dict(values)})
            if matrices is not None:
                self._found.matrices.append(matrices)
            return True
        name = _name(self.run, checkpoint)
        if isinstance(outcome, str) or outcome.kind == "unreadable":
            reason = outcome if isinstance(outcome, str) else outcome.message
            if self.unreadable == "stop":
                raise UnreadableCheckpoint(f"{name}: {reason}")
            logger.warning("%s: %s; left out of the table", name, reason)
            self._left_out.append({"step": checkpoint.step, "reason": reason})
            return False
        if outcome.kind != "non_finite":
            raise InputError(f"{name}: {outcome.message}")
        if self.non_finite == "stop":
            raise InputError(
                f"{name}: {outcome.message}; training diverged. Set non_finite "
                "to 'drop' to leave such runs out, or to 'cut' to use their checkpoints up to there"
            )
        assert self._found is not None
        self._found.non_finite = {"step": checkpoint.step, "tensor": outcome.tensor}
        return False

    def _add_distances(self, good: Sequence[Checkpoint], sources: dict[int, Source]) -> None:
        """Complete the rows of checkpoints that were measured just now."""
        from training_maps._rust_metrics import distances

        if not self.distances or not good:
            return
        assert self._found is not None
        own = [sources[checkpoint.step] for checkpoint in good]
        self._start = self._start or own[0]
        self._previous = self._previous or own[0]
        # Place 0 is the run's first checkpoint, 1 the one before these, which follow.
        places = range(2, len(own) + 2)
        pairs = {
            FROM_START: [(0, place) for place in places],
            FROM_PREVIOUS: [(place - 1, place) for place in places],
        }
        found = distances(
            [self._start, self._previous, *own],
            [pair for column in self.distances for pair in pairs[column]],
            self._selection.matrices,
            self.threads,
        )
        rows = self._found.rows[-len(own) :]
        for i, (row, checkpoint) in enumerate(zip(rows, good, strict=True)):
            for k, column in enumerate(self.distances):
                distance = found[k * len(own) + i]
                if not isinstance(distance, float):
                    raise InputError(f"{_name(self.run, checkpoint)}: {distance.message}")
                row[column] = distance
        self._previous = own[-1]

    def _add_own(self, good: Sequence[Checkpoint], sources: dict[int, Source]) -> None:
        """Complete the rows of checkpoints that were measured just now by users' metrics."""
        if not self.own or not good:
            return
        assert self._found is not None
        rows = self._found.rows[-len(good) :]
        for row, checkpoint in zip(rows, good, strict=True):
            weights, biases = plugins.arrays_of(sources[checkpoint.step], self._selection)
            where = _name(self.run, checkpoint)
            row |= plugins.compute(self.own, weights, biases, where)


def _name(run: Run, checkpoint: Checkpoint) -> str:
    seed = "" if run.seed is None else f"seed {run.seed}, "
    return f"{seed}step {checkpoint.step}"


def _of(run: Run) -> str:
    return "the run" if run.seed is None else f"seed {run.seed}"
