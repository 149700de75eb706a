"""Types of the Rust extension; rust_metrics/python/src/lib.rs is its source."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

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
