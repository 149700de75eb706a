"""Types of the Rust extension; rust_metrics/python/src is its source."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

_Doubles = NDArray[np.floating[Any]]
_FloatArray = NDArray[np.float32] | NDArray[np.float64]
# What errors call a checkpoint, and its safetensors files, or its tensors by name: each one's type
# (F64, F32, F16, BF16) and values in C order, those of half precision as their bits in uint16.
_Source = tuple[str | None, Sequence[str] | Mapping[str, tuple[str, NDArray[Any]]]]
_Matrix = tuple[str, int, int, int]

class CheckpointFailure:
    """Why one checkpoint of a run has no metrics."""

    @property
    def kind(self) -> Literal["non_finite", "unreadable", "invalid"]: ...
    @property
    def tensor(self) -> str | None: ...
    @property
    def message(self) -> str: ...

def run_metrics(
    sources: Sequence[_Source],
    matrices: Sequence[_Matrix],
    biases: Sequence[str],
    threads: int,
    tails: bool = True,
) -> list[list[tuple[str, float]] | CheckpointFailure]:
    """Metrics of each checkpoint: (column, value) pairs, or why there are none.

    `tails` asks for `tail_exponent`, which takes a while on small matrices.
    """

# The columns of what `layer_metrics` gives of each matrix.
MATRIX_COLUMNS: tuple[str, ...]

def layer_metrics(
    sources: Sequence[_Source],
    matrices: Sequence[_Matrix],
    biases: Sequence[str],
    threads: int,
    tails: bool = True,
) -> list[tuple[list[tuple[str, float]], NDArray[np.float64]] | CheckpointFailure]:
    """What `run_metrics` gives, each with the metrics of every matrix.

    Those are (n_matrices, n_columns): a row for each block of the first tensor, then of the next; a
    tail's exponent that there is not is NaN.
    """

def distances(
    sources: Sequence[_Source],
    pairs: Sequence[tuple[int, int]],
    matrices: Sequence[_Matrix],
    threads: int,
) -> list[float | CheckpointFailure]:
    """Euclidean distance between the weights of each pair of checkpoints, or why there is none."""

def array_metrics(
    weights: Sequence[NDArray[Any] | _FloatArray],
    biases: Sequence[NDArray[Any]],
    threads: int,
    tails: bool = True,
) -> list[tuple[str, float]]:
    """Metrics of arrays in memory, as (column, value) pairs; `tails` as for `run_metrics`."""

def tensors(files: Sequence[str]) -> list[tuple[str, str, list[int]]]:
    """(name, dtype, shape) of each tensor of safetensors files, sorted by name."""

def blas_flavour() -> Literal["serial", "pthread", "openmp"]:
    """How the OpenBLAS in use runs in parallel."""

def log_densities(
    rows: _Doubles,
    centres: _Doubles,
    maps: _Doubles,
    offsets: _Doubles,
    coefficients: _Doubles | None = None,
) -> NDArray[np.float64]:
    """(n, K): offsets[k] - |maps[k] @ (row - centres[k])|^2 / 2 for rows (n, p).

    With coefficients (K, p, q), a row is the last p of (n, q + p) entries less coefficients[k]
    times the first q.
    """

def forward_backward(
    log_density: _Doubles, lengths: Sequence[int], startprob: _Doubles, transmat: _Doubles
) -> tuple[NDArray[np.float64], NDArray[np.float64], float, list[int]]:
    """Posteriors (n, K), expected transitions (K, K), log-likelihood, sequences redone."""

def log_likelihood(
    log_density: _Doubles, lengths: Sequence[int], startprob: _Doubles, transmat: _Doubles
) -> float:
    """Log-likelihood of all sequences together."""

def viterbi(
    log_density: _Doubles, lengths: Sequence[int], startprob: _Doubles, transmat: _Doubles
) -> tuple[float, NDArray[np.int64]]:
    """Log joint density of the most likely paths, and their (n,) states."""

def moments(
    rows: _Doubles, weights: _Doubles, pairs: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Sums by state of weights (K,), weighted rows (K, p), and products (K, p p) or (K, p)."""
