"""The tables of metrics, and the calls into Rust that compute them.

Hu et al. 2023, Appendix B: a checkpoint has K weight matrices W_1..W_K; w are all weights together,
b all biases, and lambda the singular values of a W_k. `METRICS` needs no extension to be read.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training_maps.checkpoints import Checkpoint, Run, find_run
from training_maps.errors import InputError
from training_maps.parameters import ParameterSelection, select_parameters

if TYPE_CHECKING:
    import pandas as pd

    from training_maps._rust_metrics import CheckpointFailure

NonFinitePolicy = Literal["stop", "drop", "cut"]


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
# Metrics that tables have only where they are asked for.
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
)
METRIC_COLUMNS: tuple[str, ...] = tuple(metric.column for metric in METRICS)
BIAS_COLUMNS: tuple[str, ...] = ("mean_b", "median_b", "var_b")


def checkpoint_metrics(
    weights: Iterable[ArrayLike],
    biases: Iterable[ArrayLike] = (),
    *,
    columns: Sequence[str] = METRIC_COLUMNS,
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
            and `tail_exponent`.
        threads: number of threads; None for as many as the process may use.

    Returns:
        Value by column, in the order of `columns`. Those that are undefined are absent: the bias
        columns without biases, `tail_exponent` where no matrix has one.

    Raises:
        InputError: if a column is unknown, there is no weight matrix, or an array is empty, is not
            of floats, has no such shape, or holds a value that is not finite.
    """
    from training_maps import _rust_metrics

    known = (*METRIC_COLUMNS, *(metric.column for metric in EXTRA_METRICS))
    for column in columns:
        if column not in known:
            raise InputError(f"columns: {column!r} is none of {', '.join(known)}")
    try:
        pairs = _rust_metrics.array_metrics(
            [_as_matrices(_as_floats(f"weights[{i}]", a)) for i, a in enumerate(weights)],
            [_as_floats(f"biases[{i}]", a) for i, a in enumerate(biases)],
            _threads(threads),
        )
    except ValueError as error:
        raise InputError(str(error)) from error
    values = dict(pairs)
    return {column: values[column] for column in columns if column in values}


def run_metrics(
    source: str | os.PathLike[str],
    *,
    threads: int | None = None,
    non_finite: NonFinitePolicy = "stop",
    verify: bool = True,
) -> pd.DataFrame:
    """Metrics of every checkpoint of one run.

    Args:
        source: a folder with step-*.safetensors, the run's folder, or its manifest
            (checkpoints.json); where there is a manifest, what it lists is the run.
        threads: number of threads; None for as many as the process may use. The result is the
            same, bit for bit, for any number.
        non_finite: what to do about NaN or infinity in a weight or bias: "stop" with an error, or
            end the table before the first such checkpoint ("drop" and "cut"; a later stage leaves
            the run out, or uses what there is). Then `attrs["non_finite"]` of the result is
            `{"step": ..., "tensor": ...}`.
        verify: whether to compare each file with the SHA-256 that the manifest gives.

    Returns:
        One row a checkpoint, by ascending step: `step` and the columns of `METRICS`. The bias
        columns are absent for a network without biases.

    Raises:
        InputError: if a checkpoint is missing, broken, not what the manifest says, or has other
            tensors than the first one; or, by policy, is not finite.
    """
    from training_maps import _rust_metrics

    if non_finite not in get_args(NonFinitePolicy):
        choices = ", ".join(get_args(NonFinitePolicy))
        raise InputError(f"non_finite: {non_finite!r} is none of {choices}")
    n_threads = _threads(threads)
    run = find_run(source)
    _check_files(run, n_threads if verify else None)
    selection = _select(run)
    outcomes = _rust_metrics.run_metrics(
        [os.fspath(checkpoint.path) for checkpoint in run.checkpoints],
        selection.matrices,
        selection.biases,
        n_threads,
    )
    return _table(run, selection, outcomes, non_finite)


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

    for name in (*(matrix.tensor for matrix in selection.matrices), *selection.biases):
        if not np.isfinite(tensors[name]).all():
            return None, name
    pairs = _rust_metrics.array_metrics(
        [
            _as_floats(m.tensor, tensors[m.tensor]).reshape(m.n_blocks, m.rows, m.cols)
            for m in selection.matrices
        ],
        [_as_floats(name, tensors[name]) for name in selection.biases],
        _threads(threads),
    )
    values = {column: value for column, value in pairs if column in METRIC_COLUMNS}
    return (values, None) if all(map(math.isfinite, values.values())) else (None, None)


def metrics_table(
    rows: Sequence[Mapping[str, float]], selection: ParameterSelection
) -> pd.DataFrame:
    """The table of a run's metrics: `step` and the columns that the selection gives."""
    import pandas as pd

    columns = [c for c in METRIC_COLUMNS if selection.biases or c not in BIAS_COLUMNS]
    table = pd.DataFrame(list(rows), columns=["step", *columns])
    return table.astype({"step": np.int64, **dict.fromkeys(columns, np.float64)})


def _select(run: Run) -> ParameterSelection:
    """What counts in the run's first checkpoint, and has to be in all others."""
    from training_maps import _rust_metrics

    first = run.checkpoints[0]
    try:
        tensors = _rust_metrics.tensors(os.fspath(first.path))
    except (OSError, ValueError) as error:
        raise InputError(f"{_name(run, first)}: {error}") from error
    return select_parameters(tensors, where=first.path)


def _table(
    run: Run,
    selection: ParameterSelection,
    outcomes: Sequence[list[tuple[str, float]] | CheckpointFailure],
    non_finite: NonFinitePolicy,
) -> pd.DataFrame:
    rows: list[dict[str, float]] = []
    cut: dict[str, int | str | None] | None = None
    for checkpoint, outcome in zip(run.checkpoints, outcomes, strict=True):
        if isinstance(outcome, list):
            if cut is None:
                rows.append({"step": checkpoint.step, **dict(outcome)})
            continue
        if outcome.kind != "non_finite":
            raise InputError(f"{_name(run, checkpoint)}: {outcome.message}")
        if non_finite == "stop":
            raise InputError(
                f"{_name(run, checkpoint)}: {outcome.message}; training diverged. Set non_finite "
                "to 'drop' to leave such runs out, or to 'cut' to use their checkpoints up to there"
            )
        cut = cut or {"step": checkpoint.step, "tensor": outcome.tensor}
    table = metrics_table(rows, selection)
    if cut:
        table.attrs["non_finite"] = cut
    return table


def _check_files(run: Run, threads: int | None) -> None:
    """Refuse missing files and, on that many `threads`, those that the manifest says otherwise of.

    Raises:
        InputError: naming file, seed and step of the first one.
    """
    for checkpoint in run.checkpoints:
        if not checkpoint.path.is_file():
            raise InputError(
                f"{_name(run, checkpoint)}: {checkpoint.path} is missing. Train the run again, or "
                "put the file back"
            )
    if threads is None:
        return
    listed = [checkpoint for checkpoint in run.checkpoints if checkpoint.sha256]
    with ThreadPoolExecutor(threads) as pool:
        for checkpoint, digest in zip(listed, pool.map(_sha256, listed), strict=True):
            if digest != checkpoint.sha256:
                raise InputError(
                    f"{_name(run, checkpoint)}: {checkpoint.path} is truncated or has changed: its "
                    "SHA-256 is not the one that the manifest gives. Train the run again, or put "
                    "the file back"
                )


def _sha256(checkpoint: Checkpoint) -> str:
    with checkpoint.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _name(run: Run, checkpoint: Checkpoint) -> str:
    seed = "" if run.seed is None else f"seed {run.seed}, "
    return f"{seed}step {checkpoint.step}"


def _as_floats(name: str, array: ArrayLike) -> NDArray[np.float32] | NDArray[np.float64]:
    """`array` as the extension takes it: aligned float32 or float64, every value as it was."""
    taken = np.asarray(array)
    if not np.issubdtype(taken.dtype, np.floating) or taken.dtype.itemsize > 8:
        raise InputError(
            f"{name}: has dtype {taken.dtype}; expected float64, float32 or float16 values"
        )
    dtype = np.float64 if taken.dtype.itemsize == 8 else np.float32
    return np.require(taken, dtype, ["ALIGNED"])


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
