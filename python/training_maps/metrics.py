"""The tables of metrics, and the calls into Rust that compute them.

Hu et al. 2023, Appendix B: a checkpoint has K weight matrices W_1..W_K; w are all weights together,
b all biases, and lambda the singular values of a W_k. `METRICS` needs no extension to be read.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training_maps import own_metrics
from training_maps.checkpoints import find_run
from training_maps.errors import InputError
from training_maps.measuring import (
    DISTANCES,
    FROM_PREVIOUS,
    FROM_START,
    NonFinitePolicy,
    UnreadablePolicy,
    measure_run,
)
from training_maps.parameters import NO_OVERRIDES, Overrides, ParameterSelection

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Metric:
    """One metric: its column in tables, its symbol in text and in figures, and what it is."""

    column: str
    symbol: str
    mathtext: str
    formula: str
    meaning: str


METRICS: tuple[Metric, ...] = (
    Metric(
        "l1", "L1", r"$L_1$", "mean over k of the sum of |entries| of W_k", "size of the weights"
    ),
    Metric(
        "l2",
        "L2",
        r"$L_2$",
        "mean over k of the Frobenius norm of W_k",
        "size of the weights, dominated by the large ones",
    ),
    Metric(
        "l1_over_l2",
        "L1/L2",
        r"$L_1/L_2$",
        "mean over k of L1 / L2 of W_k (0 if W_k = 0)",
        "evenness: low for sparse weights",
    ),
    Metric("mean_w", "μ(w)", r"$\mu(w)$", "mean of all weights", "mean weight"),
    Metric("median_w", "median(w)", r"median$(w)$", "median of all weights", "median weight"),
    Metric("var_w", "σ(w)", r"$\sigma(w)$", "variance of all weights", "variance of the weights"),
    Metric("mean_b", "μ(b)", r"$\mu(b)$", "mean of all biases", "mean bias"),
    Metric("median_b", "median(b)", r"median$(b)$", "median of all biases", "median bias"),
    Metric("var_b", "σ(b)", r"$\sigma(b)$", "variance of all biases", "variance of the biases"),
    Metric(
        "trace",
        "trace",
        "trace",
        "mean over k of the sum of the main diagonal of W_k",
        "how far the matrices repeat their input",
    ),
    Metric(
        "lambda_max",
        "λ_max",
        r"$\lambda_{\max}$",
        "mean over k of the largest singular value of W_k",
        "the most that a matrix stretches a vector",
    ),
    Metric(
        "trace_over_lambda_max",
        "trace/λ_max",
        r"trace$/\lambda_{\max}$",
        "mean over k of trace / lambda_max of W_k (0 if W_k = 0)",
        "the trace, whatever the size of the weights",
    ),
    Metric(
        "mean_lambda",
        "μ(λ)",
        r"$\mu(\lambda)$",
        "mean over k of the mean singular value of W_k",
        "how much a matrix stretches vectors on average",
    ),
    Metric(
        "var_lambda",
        "σ(λ)",
        r"$\sigma(\lambda)$",
        "mean over k of the variance of the singular values of W_k",
        "how unevenly a matrix stretches vectors",
    ),
)
# Metrics that are computed where they are asked for.
EXTRA_METRICS: tuple[Metric, ...] = (
    Metric(
        "stable_rank",
        "stable rank",
        "stable rank",
        "mean over k of (L2 / lambda_max)² of W_k (0 if W_k = 0)",
        "how many directions a matrix stretches about as much as it does the foremost",
    ),
    Metric(
        "effective_rank",
        "effective rank",
        "effective rank",
        "mean over k of exp of the entropy of the singular values of W_k over their sum "
        "(0 if W_k = 0; Roy and Vetterli 2007)",
        "how many directions a matrix uses, each counted by its share",
    ),
    Metric(
        "tail_exponent",
        "α",
        r"$\alpha$",
        "mean, over the W_k with at least 20 singular values that are not 0, of the exponent alpha "
        "of the power law that fits the largest eigenvalues of W_kᵀ W_k best (Clauset, Shalizi and "
        "Newman 2009)",
        "how heavy the spectrum's tail is: low for few, very large singular values",
    ),
    Metric(
        FROM_START,
        "|w − w₀|",
        r"$|w - w_0|$",
        "Euclidean norm of the difference between all weights and those of the run's first "
        "checkpoint",
        "how far the weights have moved from where they started",
    ),
    Metric(
        FROM_PREVIOUS,
        "|Δw|",
        r"$|\Delta w|$",
        "Euclidean norm of the difference between all weights and those of the checkpoint before "
        "(0 at the first)",
        "how far the weights have moved since the checkpoint before",
    ),
)
ALL_METRICS: tuple[Metric, ...] = (*METRICS, *EXTRA_METRICS)
METRIC_COLUMNS: tuple[str, ...] = tuple(metric.column for metric in METRICS)
_COLUMNS = tuple(metric.column for metric in ALL_METRICS)
# Stands for all of `METRICS` where columns are named.
PAPER = "paper"
BIAS_COLUMNS: tuple[str, ...] = ("mean_b", "median_b", "var_b")


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
    from training_maps import _rust_metrics

    names = metric_columns(columns)
    for column in names:
        if column in DISTANCES or column not in _COLUMNS:
            raise InputError(
                f"columns: {column} is no metric of arrays in memory; it takes a run's checkpoints"
            )
    try:
        pairs = _rust_metrics.array_metrics(
            [_as_matrices(_as_floats(f"weights[{i}]", a)) for i, a in enumerate(weights)],
            [_as_floats(f"biases[{i}]", a) for i, a in enumerate(biases)],
            _threads(threads),
            "tail_exponent" in names,
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
    non_finite: NonFinitePolicy = "stop",
    unreadable: UnreadablePolicy = "stop",
    verify: bool = True,
    state_dict_key: str | None = None,
    overrides: Overrides = NO_OVERRIDES,
) -> pd.DataFrame:
    """Metrics of every checkpoint of one run.

    Args:
        source: a folder with step-*.safetensors, the run's folder, or its manifest
            (checkpoints.json); where there is a manifest, what it lists is the run, and its
            checkpoints may be in any form of `training_maps.checkpoint_files`, each in its own.
        columns: names of `METRICS`, `EXTRA_METRICS` and `own_metrics.installed()`; "paper" stands
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
        overrides: patterns that say which tensors count, where the rules of
            `training_maps.parameters` do not.

    Returns:
        One row a checkpoint, by ascending step: `step` and the columns. The bias columns are absent
        for a network without biases.

    Raises:
        InputError: if a checkpoint is missing, broken, not what the manifest says, or has other
            tensors than the first one that can be read; or, by policy, is not finite.
    """
    for name, policy, known in (
        ("non_finite", non_finite, get_args(NonFinitePolicy)),
        ("unreadable", unreadable, get_args(UnreadablePolicy)),
    ):
        if policy not in known:
            raise InputError(f"{name}: {policy!r} is none of {', '.join(known)}")
    names = metric_columns(columns)
    found = measure_run(
        find_run(source),
        [column for column in names if column in DISTANCES],
        own_columns(names),
        tails="tail_exponent" in names,
        threads=_threads(threads),
        non_finite=non_finite,
        unreadable=unreadable,
        verify=verify,
        state_dict_key=state_dict_key,
        overrides=overrides,
    )
    table = metrics_table(found.rows, found.selection, names)
    if found.non_finite:
        table.attrs["non_finite"] = found.non_finite
    if found.unreadable:
        table.attrs["unreadable"] = found.unreadable
    return table


def _source(
    tensors: Mapping[str, NDArray[Any]], selection: ParameterSelection
) -> tuple[None, dict[str, tuple[str, NDArray[Any]]]]:
    """A checkpoint whose tensors are in memory, as the extension takes it: those that count."""
    names = (*(matrix.tensor for matrix in selection.matrices), *selection.biases)
    return None, {name: _typed(name, tensors[name]) for name in names}


def tensor_metrics(
    tensors: Mapping[str, NDArray[Any]],
    selection: ParameterSelection,
    *,
    threads: int | None = None,
) -> tuple[dict[str, float] | None, str | None]:
    """Metrics of one checkpoint whose tensors are in memory: those that its file would give.

    Args:
        tensors: every tensor by name.
        selection: which of them count, and as what.
        threads: number of threads; None for as many as the process may use.

    Returns:
        Value by column, and None; or, if a value is not finite, None and the name of the tensor
        (None if it is a metric that overflows).
    """
    from training_maps import _rust_metrics

    (outcome,) = _rust_metrics.run_metrics(
        [_source(tensors, selection)],
        selection.matrices,
        selection.biases,
        _threads(threads),
    )
    if isinstance(outcome, list):
        return dict(outcome), None
    if outcome.kind != "non_finite":
        raise InputError(outcome.message)
    return None, outcome.tensor


def tensor_distances(
    tensors: Mapping[str, NDArray[Any]],
    start: Mapping[str, NDArray[Any]],
    previous: Mapping[str, NDArray[Any]],
    selection: ParameterSelection,
    *,
    threads: int | None = None,
) -> dict[str, float]:
    """Distances of one checkpoint whose tensors are in memory: those that its file would give.

    Args:
        tensors: every tensor by name.
        start: the same of the run's first checkpoint.
        previous: the same of the checkpoint before.
        selection: which of them are weights.
        threads: number of threads; None for as many as the process may use.

    Returns:
        Value by column.
    """
    from training_maps import _rust_metrics

    found = _rust_metrics.distances(
        [_source(of_one, selection) for of_one in (start, previous, tensors)],
        [(0, 2), (1, 2)],
        selection.matrices,
        _threads(threads),
    )
    values = {}
    for column, distance in zip((FROM_START, FROM_PREVIOUS), found, strict=True):
        if not isinstance(distance, float):
            raise InputError(distance.message)
        values[column] = distance
    return values


def metric_columns(names: Sequence[str]) -> tuple[str, ...]:
    """The columns that a list of names stands for, in the order of the list.

    Args:
        names: of `METRICS`, `EXTRA_METRICS` and `own_metrics.installed()`; "paper" for all of
            `METRICS`, as does no name.

    Raises:
        InputError: if a name is unknown, with the nearest that is known, or is there twice.
    """
    known = (*_COLUMNS, *_own_names(names))
    columns: list[str] = []
    for name in names or (PAPER,):
        if name != PAPER and name not in known:
            near = difflib.get_close_matches(name, (*known, PAPER), n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise InputError(
                f"metrics.columns: there is no metric {name}{hint}; the metrics are "
                f"{', '.join(known)}, and {PAPER} stands for the first {len(METRICS)}"
            )
        columns += METRIC_COLUMNS if name == PAPER else (name,)
    twice = {column for column in columns if columns.count(column) > 1}
    if twice:
        raise InputError(f"metrics.columns: {min(twice)} is there twice")
    return tuple(columns)


def _own_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names of users' metrics, which are looked for only if a name is none of this project's."""
    if set(names) <= {*_COLUMNS, PAPER}:
        return ()
    for name, metric in own_metrics.installed().items():
        if name in _COLUMNS:
            raise InputError(
                f"{metric}: {name} is a metric of this project; rename the entry point"
            )
    return tuple(own_metrics.installed())


def own_columns(columns: Sequence[str]) -> list[str]:
    """Those of `columns` that are users' metrics."""
    return [column for column in columns if column not in _COLUMNS]


def metrics_table(
    rows: Sequence[Mapping[str, float]],
    selection: ParameterSelection,
    columns: Sequence[str] = METRIC_COLUMNS,
) -> pd.DataFrame:
    """The table of a run's metrics: `step` and those of the columns that the selection gives."""
    import pandas as pd

    given = [c for c in columns if selection.biases or c not in BIAS_COLUMNS]
    table = pd.DataFrame(list(rows), columns=["step", *given])
    return table.astype({"step": np.int64, **dict.fromkeys(given, np.float64)})


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
