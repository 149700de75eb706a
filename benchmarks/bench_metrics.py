"""The metric engine against PyTorch: one command, a Markdown table of medians.

    python benchmarks/bench_metrics.py

Three ways, with the same number of threads, on the same values:
- ours: `run_metrics` on the files of a run, or `checkpoint_metrics` on arrays;
- "as published": per matrix the spectral norm by one singular value decomposition and all singular
  values by another, then the other metrics, as Hu et al. 2023 computed them in PyTorch;
- svdvals: `torch.linalg.svdvals` of each matrix and nothing else.

Rounds go through all three in turn, so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from training_maps import _rust_metrics
from training_maps.files import package_version
from training_maps.metrics import checkpoint_metrics, run_metrics

SHAPES = ((512, 128), (128, 128), (768, 768), (3072, 768))


def as_published(weights: Sequence[torch.Tensor], biases: Sequence[torch.Tensor]) -> list[float]:
    """The 14 metrics in float32, decomposing each matrix twice."""
    l1 = torch.stack([weight.abs().sum() for weight in weights])
    l2 = torch.stack([torch.linalg.norm(weight) for weight in weights])
    trace = torch.stack([torch.diagonal(weight).sum() for weight in weights])
    largest = torch.stack([torch.linalg.matrix_norm(weight, ord=2) for weight in weights])
    spectra = [torch.linalg.svdvals(weight) for weight in weights]
    values = [l1, l2, l1 / l2, trace, largest, trace / largest]
    values += [torch.stack([spectrum.mean() for spectrum in spectra])]
    values += [torch.stack([spectrum.var(unbiased=False) for spectrum in spectra])]
    metrics = [float(value.mean()) for value in values]
    for tensors in (weights, biases):
        if tensors:
            flat = torch.cat([tensor.flatten() for tensor in tensors])
            metrics += [float(flat.mean()), float(flat.median()), float(flat.var(unbiased=False))]
    return metrics


def svdvals(weights: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Singular values alone."""
    return [torch.linalg.svdvals(weight) for weight in weights]


def medians(ways: Sequence[Callable[[], object]], seconds: float) -> list[float]:
    """Median seconds a call of each way, over rounds through all of them for about `seconds`."""
    for way in ways:
        way()
    times: list[list[float]] = [[] for _ in ways]
    start_all = time.perf_counter()
    while (elapsed := time.perf_counter() - start_all) < seconds or (
        len(times[0]) < 3 and elapsed < 2 * seconds
    ):
        for way, taken in zip(ways, times, strict=True):
            start = time.perf_counter()
            way()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


def run_of_sparse_parities(folder: Path, threads: int, seconds: float) -> list[float]:
    """A run's 101 checkpoints of the perceptron 40-128-1, files read in every way."""
    generator = torch.Generator().manual_seed(0)
    for step in range(101):
        tensors = {
            "hidden.weight": torch.randn(128, 40, generator=generator),
            "hidden.bias": torch.randn(128, generator=generator),
            "output.weight": torch.randn(1, 128, generator=generator),
            "output.bias": torch.randn(1, generator=generator),
        }
        save_file(tensors, folder / f"step-{step:06d}.safetensors")
    files = sorted(folder.iterdir())

    def split(file: Path) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        tensors = load_file(file)
        weights = [tensor for name, tensor in tensors.items() if name.endswith("weight")]
        return weights, [tensor for name, tensor in tensors.items() if name.endswith("bias")]

    return medians(
        [
            lambda: run_metrics(folder, threads=threads),
            lambda: [as_published(*split(file)) for file in files],
            lambda: [svdvals(split(file)[0]) for file in files],
        ],
        seconds,
    )


def arrays(shape: tuple[int, int], copies: int, threads: int, seconds: float) -> list[float]:
    """A network of `copies` Gaussian float32 matrices of one shape, in memory."""
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal(shape, np.float32) for _ in range(copies)]
    tensors = [torch.from_numpy(weight) for weight in weights]
    return medians(
        [
            lambda: checkpoint_metrics(weights, threads=threads),
            lambda: as_published(tensors, []),
            lambda: svdvals(tensors),
        ],
        seconds,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=3.0, help="time for each row")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        f"training-maps {package_version()} (OpenBLAS {_rust_metrics.blas_flavour()}), "
        f"torch {torch.__version__}, NumPy {np.__version__}, Python {platform.python_version()}; "
        f"{options.threads} threads each, float32, medians\n"
    )
    print("| what | ours, ms | as published, ms | svdvals alone, ms | × published | × svdvals |")
    print("|---|---:|---:|---:|---:|---:|")

    def row(what: str, times: list[float]) -> None:
        ours, published, values = times
        milliseconds = " | ".join(f"{1e3 * seconds:.1f}" for seconds in times)
        print(
            f"| {what} | {milliseconds} | {published / ours:.1f} | {values / ours:.1f} |",
            flush=True,
        )

    with tempfile.TemporaryDirectory() as folder:
        times = run_of_sparse_parities(Path(folder), options.threads, options.seconds)
    row("101 checkpoints, 128x40 + 1x128", times)
    for shape in SHAPES:
        copies = 2 if max(shape) > 512 else 8
        times = arrays(shape, copies, options.threads, options.seconds)
        row(f"{copies} matrices, {shape[0]}x{shape[1]}", times)


if __name__ == "__main__":
    main()
