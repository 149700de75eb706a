"""The tables of metrics, and the calls into Rust that compute them (`metrics.definitions`)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training_maps.metrics.definitions import (
    _COLUMNS,
    BIAS_COLUMNS,
    DISTANCES,
    FROM_PREVIOUS,
    FROM_START,
    MATRIX_COLUMNS,
    METRIC_COLUMNS,
    TAIL_EXPONENT,
    metric_columns,
    plugin_columns,
)
from training_maps.metrics.layers import LAYER_COLUMNS, layer_columns, layers_of
from training_maps.metrics.measurement import (
    NonFinitePolicy,
    UnreadablePolicy,
    measure_run,
    measure_sources,
)
from training_maps.metrics.parameters import NO_OVERRIDES, Overrides, ParameterSelection
from training_maps.runs.checkpoints import Run, find_run
from training_maps.runs.formats import find_checkpoints
from training_maps.settings.sections import MetricsSettings
from training_maps.utils.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


def checkpoint_metrics(
    weights: Iterable[ArrayLike],
    biases: Iterable[ArrayLike] = (),
    *,
    columns: Sequence[str] = (),
    threads: int | None = None,
) -> dict[str, float]:
    """Metrics of one network, from arrays already in memory.

    Float32 and float64 arrays in C order are read where they lie; others are copied first. They
    must not change meanwhile: the interpreter is free to run other threads.

    Args:
        weights: matrices (rows, cols); an array (n, rows, cols) is n matrices, and a kernel
            (out, in, height, width) counts as the matrix (out, in * height * width).
        biases: arrays of any shape; none for a network without biases.
        columns: names of `METRICS` and of those of `EXTRA_METRICS` that one network has: its ranks
            and `tail_exponent`. "paper" stands for all of `METRICS`, and so does naming none.
        threads: number of threads; None for as many as the process may use.

    Returns:
        Value by column, in the order of `columns`. Those that are undefined are absent: the bias
        columns without biases, `tail_exponent` where no matrix has one.

    Raises:
        InputError: if a column is unknown, there is no weight matrix, or an array is empty, is not
            of floats, has no such shape, or holds a value that is not finite.
    """
    from training_maps._rust_metrics import array_metrics

    if isinstance(weights, str | os.PathLike | Mapping):
        raise InputError(
            f"weights: is {'a mapping' if isinstance(weights, Mapping) else 'a path'}; expected "
            "arrays, each a weight matrix. Of a file, training-maps inspect tells which tensors "
            "are, and run_metrics measures a folder of checkpoints, or what a manifest lists"
        )
    names = metric_columns(columns)
    for column in names:
        if column in DISTANCES or column not in _COLUMNS:
            raise InputError(
                f"columns: {column} is no metric of arrays in memory; it takes a run's checkpoints"
            )
    try:
        pairs = array_metrics(
            [_as_matrices(_as_floats(f"weights[{i}]", a)) for i, a in enumerate(weights)],
            [_as_floats(f"biases[{i}]", a) for i, a in enumerate(biases)],
            _threads(threads),
            TAIL_EXPONENT in names,
        )
    except ValueError as error:
        raise InputError(str(error)) from error
    values = dict(pairs)
    return {column: values[column] for column in names if column in values}


def run_metrics(
    source: str | os.PathLike[str],
    *,
    columns: Sequence[str] = (),
    threads: int | None = None,
    non_finite: NonFinitePolicy = MetricsSettings.non_finite,
    unreadable: UnreadablePolicy = MetricsSettings.unreadable,
    verify: bool = True,
    state_dict_key: str | None = None,
    base: str | None = None,
    overrides: Overrides = NO_OVERRIDES,
) -> pd.DataFrame:
    """Metrics of every checkpoint of one run.

    Args:
        source: a folder with step-*.safetensors, the run's folder, or its manifest
            (checkpoints.json); where there is a manifest, what it lists is the run, and its
            checkpoints may be in any form of `training_maps.runs.formats`, each in its own.
        columns: names of `METRICS`, `EXTRA_METRICS` and `plugins.installed()`; "paper" stands
            for all of `METRICS`, and so does naming none.
        threads: number of threads; None for as many as the process may use. The result is the
            same, bit for bit, for any number.
        non_finite: what to do about NaN or infinity in a weight or bias: "stop" with an error, or
            end the table before the first such checkpoint ("drop" and "cut"; a later stage leaves
            the run out, or uses what there is). Then `attrs["non_finite"]` of the result is
            `{"step": ..., "tensor": ...}`.
        unreadable: what to do about a checkpoint that is missing, truncated, corrupt or changed:
            "stop" with an error, or "skip": leave its row out. Then `attrs["unreadable"]` of the
            result has `{"step": ..., "reason": ...}` for each.
        verify: whether to compare each file with what the manifest says of it: its SHA-256, or its
            size and time of last change. A checkpoint of which the manifest says neither is taken
            as it is.
        state_dict_key: the key that torch files have the network's state dict under ("a.b" is b in
            a), where it is none of the usual ones.
        base: of adapters of LoRA, the checkpoint that they act beside, so that metrics are of both;
            "auto" for the one that `adapter_config.json` names. None for the adapter alone.
        overrides: patterns that say which tensors count, where the rules of
            `training_maps.metrics.parameters` do not.

    Returns:
        One row a checkpoint, by ascending step: `step` and the columns. The bias columns are absent
        for a network without biases.

    Raises:
        InputError: if a checkpoint is missing, broken, not what the manifest says, or has other
            tensors than the first one that can be read; or, by policy, is not finite.
    """
    import pandas as pd

    found = measured_tables(
        find_run(source),
        columns=columns,
        threads=threads,
        non_finite=non_finite,
        unreadable=unreadable,
        verify=verify,
        state_dict_key=state_dict_key,
        base=base,
        overrides=overrides,
    )
    table = pd.DataFrame(found.metrics)
    table.attrs.update(found.attrs)
    return table


def layer_metrics(
    source: str | os.PathLike[str],
    *,
    columns: Sequence[str] = (),
    threads: int | None = None,
    non_finite: NonFinitePolicy = MetricsSettings.non_finite,
    unreadable: UnreadablePolicy = MetricsSettings.unreadable,
    verify: bool = True,
    state_dict_key: str | None = None,
    base: str | None = None,
    overrides: Overrides = NO_OVERRIDES,
) -> pd.DataFrame:
    """Metrics of every weight matrix by itself, of one checkpoint or of every one of a run.

    Args:
        source: a run, as `run_metrics` takes it; or one checkpoint in any form of
            `training_maps.runs.formats`, whose step is the last number in its name, else 0.
        columns: names of `definitions.MATRIX_COLUMNS`; naming none stands for all of them. Without
            `tail_exponent` small matrices take less time.
        threads: as of `run_metrics`, and so the others.
        non_finite: as of `run_metrics`.
        unreadable: as of `run_metrics`.
        verify: as of `run_metrics`.
        state_dict_key: as of `run_metrics`.
        base: as of `run_metrics`.
        overrides: as of `run_metrics`.

    Returns:
        One row for each checkpoint and matrix, by ascending step: `step`, the `tensor` it is in,
        its place there (`block`: a head, say), the `kind` of layer (a key of `layers.KINDS`), its
        `rows` and `cols`, and the columns. Each is what its formula says of this one W_k; the mean
        over a checkpoint's rows is the checkpoint's metric, but of `median_w`, `var_w` and, where
        matrices differ in size, `mean_w`, which are of all weights as one set. NaN stands for a
        tail exponent that a matrix has not.

    Raises:
        InputError: if a column is unknown; and as `run_metrics`.
    """
    import pandas as pd

    unknown = [column for column in columns if column not in MATRIX_COLUMNS]
    if unknown:
        raise InputError(
            f"columns: {unknown[0]} is no metric of one matrix; those are "
            f"{', '.join(MATRIX_COLUMNS)}"
        )
    chosen = tuple(columns) or MATRIX_COLUMNS
    found = measured_tables(
        find_checkpoints(source),
        columns=[column for column in chosen if column == TAIL_EXPONENT],
        layers=True,
        threads=threads,
        non_finite=non_finite,
        unreadable=unreadable,
        verify=verify,
        state_dict_key=state_dict_key,
        base=base,
        overrides=overrides,
    )
    assert found.layers is not None, "they are asked for"
    table = pd.DataFrame({name: found.layers[name] for name in (*LAYER_COLUMNS, *chosen)})
    table.attrs.update(found.attrs)
    return table


@dataclass(frozen=True)
class MeasuredTables:
    """What was measured of a run, as tables by their columns.

    Attributes:
        metrics: `step` and the metrics, (n_checkpoints,) each.
        layers: the columns of `layers.layer_columns`; None unless they were asked for.
        attrs: as of the table that `run_metrics` returns.
    """

    metrics: dict[str, NDArray[Any]]
    layers: dict[str, NDArray[Any]] | None
    attrs: dict[str, Any]


def measured_tables(
    run: Run,
    *,
    columns: Sequence[str],
    layers: bool = False,
    threads: int | None,
    non_finite: NonFinitePolicy,
    unreadable: UnreadablePolicy,
    verify: bool,
    state_dict_key: str | None,
    base: str | None = None,
    overrides: Overrides,
) -> MeasuredTables:
    """What `run_metrics` gives, for a job of a run, to which importing pandas is most of its time.

    Args:
        run: the run.
        layers: whether the table of layers is wanted too.
        columns, threads, non_finite, unreadable, verify, state_dict_key, overrides: as of
            `run_metrics`.

    Raises:
        InputError: as `run_metrics`.
    """
    for name, policy, known in (
        ("non_finite", non_finite, get_args(NonFinitePolicy)),
        ("unreadable", unreadable, get_args(UnreadablePolicy)),
    ):
        if policy not in known:
            raise InputError(f"{name}: {policy!r} is not one of {', '.join(known)}")
    names = metric_columns(columns)
    tails = TAIL_EXPONENT in names
    found = measure_run(
        run,
        [column for column in names if column in DISTANCES],
        plugin_columns(names),
        tails=tails,
        matrices=layers,
        threads=_threads(threads),
        non_finite=non_finite,
        unreadable=unreadable,
        verify=verify,
        state_dict_key=state_dict_key,
        base=base,
        overrides=overrides,
    )
    attrs: dict[str, Any] = {}
    if found.non_finite:
        attrs["non_finite"] = found.non_finite
    if found.unreadable:
        attrs["unreadable"] = found.unreadable
    of_layers = None
    if layers:
        steps = [int(row["step"]) for row in found.rows]
        of_layers = layer_columns(steps, found.matrices, layers_of(found.selection), tails=tails)
    return MeasuredTables(_columns_of(found.rows, found.selection, names), of_layers, attrs)


def _source(
    tensors: Mapping[str, NDArray[Any]], selection: ParameterSelection
) -> tuple[None, dict[str, tuple[str, NDArray[Any]]]]:
    """A checkpoint whose tensors are in memory, as the extension takes it: those that count."""
    names = (*(matrix.tensor for matrix in selection.matrices), *selection.biases)
    return None, {name: _typed(name, tensors[name]) for name in names}


class MeasuredNetwork(NamedTuple):
    """The metrics of a network in memory.

    Attributes:
        metrics: value by column; None if a value is not finite.
        culprit: then the name of the tensor, or None if it is a metric that overflows.
        matrices: those of each matrix, (n_matrices, n_columns), if they were asked for.
    """

    metrics: dict[str, float] | None
    culprit: str | None = None
    matrices: NDArray[np.float64] | None = None


def tensor_metrics(
    networks: Sequence[Mapping[str, NDArray[Any]]],
    selection: ParameterSelection,
    *,
    tails: bool = True,
    matrices: bool = False,
    threads: int | None = None,
) -> list[MeasuredNetwork]:
    """Metrics of networks whose tensors are in memory: those that their files would give.

    Args:
        networks: of each one, every tensor by name.
        selection: which of them count, and as what.
        tails: whether to compute `tail_exponent`.
        matrices: whether the metrics of each matrix are wanted too.
        threads: number of threads, which share the networks; None for as many as the process may
            use.

    Returns:
        What was measured of each network.
    """
    outcomes = measure_sources(
        [_source(tensors, selection) for tensors in networks],
        selection,
        _threads(threads),
        tails,
        matrices,
    )
    found = []
    for outcome in outcomes:
        if isinstance(outcome, tuple):
            found.append(MeasuredNetwork(dict(outcome[0]), None, outcome[1]))
        elif outcome.kind == "non_finite":
            found.append(MeasuredNetwork(None, outcome.tensor))
        else:
            raise InputError(outcome.message)
    return found


def tensor_distances(
    networks: Sequence[Mapping[str, NDArray[Any]]],
    start: Sequence[Mapping[str, NDArray[Any]]],
    previous: Sequence[Mapping[str, NDArray[Any]]],
    selection: ParameterSelection,
    *,
    threads: int | None = None,
) -> list[dict[str, float]]:
    """Distances of networks whose tensors are in memory: those that their files would give.

    Args:
        networks: of each one, every tensor by name.
        start: the same of each run's first checkpoint.
        previous: the same of the checkpoint before.
        selection: which of them are weights.
        threads: number of threads; None for as many as the process may use.

    Returns:
        For each network value by column.
    """
    from training_maps._rust_metrics import distances

    n = len(networks)
    found = distances(
        [_source(of_one, selection) for them in (start, previous, networks) for of_one in them],
        [(earlier + one, 2 * n + one) for one in range(n) for earlier in (0, n)],
        selection.matrices,
        _threads(threads),
    )
    values = []
    for distance in found:
        if not isinstance(distance, float):
            raise InputError(distance.message)
        values.append(distance)
    pairs = zip(values[::2], values[1::2], strict=True)
    return [{FROM_START: first, FROM_PREVIOUS: second} for first, second in pairs]


def metrics_table(
    rows: Sequence[Mapping[str, float]],
    selection: ParameterSelection,
    columns: Sequence[str] = METRIC_COLUMNS,
) -> pd.DataFrame:
    """The table of a run's metrics: `step` and those of the columns that the selection gives."""
    import pandas as pd

    return pd.DataFrame(_columns_of(rows, selection, columns))


def _columns_of(
    rows: Sequence[Mapping[str, float]], selection: ParameterSelection, columns: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """`metrics_table` by column; a row without a column has NaN there."""
    given = [c for c in columns if selection.biases or c not in BIAS_COLUMNS]
    steps = np.array([row["step"] for row in rows], dtype=np.int64)
    nan = float("nan")
    return {"step": steps} | {
        column: np.array([row.get(column, nan) for row in rows], dtype=np.float64)
        for column in given
    }


def _as_floats(name: str, array: ArrayLike) -> NDArray[np.float32] | NDArray[np.float64]:
    """`array` as the extension takes it: aligned float32 or float64, every value as it was."""
    taken = np.asarray(array)
    if not np.issubdtype(taken.dtype, np.floating) or taken.dtype.itemsize > 8:
        raise InputError(
            f"{name}: has dtype {taken.dtype}; expected float64, float32 or float16 values"
        )
    dtype = np.float64 if taken.dtype.itemsize == 8 else np.float32
    return np.require(taken, dtype, ["ALIGNED"])


def _typed(name: str, array: ArrayLike) -> tuple[str, NDArray[Any]]:
    """`array` as the extension takes named tensors: in C order, with its type."""
    taken = np.require(_as_floats(name, array), requirements=["C"])
    return ("F64" if taken.dtype == np.float64 else "F32"), taken


def _as_matrices(array: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.floating]:
    return array if array.ndim < 4 else array.reshape(len(array), -1)


def _threads(threads: int | None) -> int:
    if threads is None:
        return (
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count() or 1
        )
    if threads < 1:
        raise InputError(f"threads: expected at least 1, not {threads}")
    return threads
