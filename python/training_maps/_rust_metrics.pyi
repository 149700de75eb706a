"""Types of the Rust extension; rust_metrics/python/src is its source."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

_Doubles = NDArray[np.floating[Any]]
_FloatArray = NDArray[np.float32] | NDArray[np.float64]

class CheckpointFailure:
    """Why one checkpoint of a run has no metrics."""

    @property
    def kind(self) -> Literal["non_finite", "invalid"]: ...
    @property
    def tensor(self) -> str | None: ...
    @property
    def message(self) -> str: ...

def run_metrics(
    paths: Sequence[str],
    matrices: Sequence[tuple[str, int, int, int]],
    biases: Sequence[str],
    threads: int,
) -> list[list[tuple[str, float]] | CheckpointFailure]:
    """Metrics of each checkpoint: (column, value) pairs, or why there are none."""

def array_metrics(
    weights: Sequence[NDArray[Any] | _FloatArray], biases: Sequence[NDArray[Any]], threads: int
) -> list[tuple[str, float]]:
    """Metrics of arrays in memory, as (column, value) pairs."""

def tensors(path: str) -> list[tuple[str, str, list[int]]]:
    """(name, dtype, shape) of each tensor of a safetensors file, sorted by name."""

def blas_flavour() -> Literal["serial", "pthread", "openmp"]:
    """How the OpenBLAS in use runs in parallel."""

def log_densities(
    rows: _Doubles, centres: _Doubles, maps: _Doubles, offsets: _Doubles
) -> NDArray[np.float64]:
    """(n, K): offsets[k] - |maps[k] @ (row - centres[k])|^2 / 2 for rows (n, p)."""

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
