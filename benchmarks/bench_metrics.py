"""The metric engine against PyTorch and WeightWatcher: one command, Markdown tables of medians.

    python -m benchmarks.bench_metrics

With the same number of threads, on the same values:
- ours: `run_metrics` on the files of a run, or `checkpoint_metrics` on arrays; the 14 metrics;
- as published: per matrix the spectral norm by one singular value decomposition and all singular
  values by another, then the other metrics, as Hu et al. 2023 computed them in PyTorch;
- svdvals: `torch.linalg.svdvals` of each matrix and nothing else;
- WeightWatcher, if it is installed (pip install weightwatcher): its `analyze`, for the norms, ranks
  and tail exponent of each matrix; one call, as it takes seconds.

Rounds go through all ways in turn, so that a busy machine slows all of them alike. Then: how the
time falls with threads, and its share of the machine's rate of float64 matrix products; the memory
of a long run; and, where there is cargo, the stages of a matrix and the same spectra by faer.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from threadpoolctl import threadpool_limits

from benchmarks import print_table, versions
from training_maps import _rust_metrics
from training_maps.metrics.compute import checkpoint_metrics, run_metrics

ROOT = Path(__file__).parents[1]
Arrays = list[NDArray[np.float32]]
# Times that the published way, svdvals alone and WeightWatcher are to take on a layer of BERT-base.
GOAL = "10, 4.5, 5"

PEAK_MEMORY = """
import re, sys
from pathlib import Path
from training_maps.metrics.compute import run_metrics
run_metrics(sys.argv[1], threads=int(sys.argv[2]))
# Of this program alone: what getrusage tells includes the process that started it.
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024)
"""


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
    """Median seconds a call of each way, over rounds through all of them for about `seconds`.

    In a round each way is called for a twentieth of a second, once at least, after a pause: threads
    of the way before it spin for up to 0.2 s, waiting for more work, and would take a core from it.
    """
    times: list[list[float]] = [[] for _ in ways]
    start_all = time.perf_counter()
    while time.perf_counter() - start_all < seconds or len(times[0]) < 3:
        for way, taken in zip(ways, times, strict=True):
            time.sleep(0.25)
            way()
            until = time.perf_counter() + 0.05
            while True:
                start = time.perf_counter()
                way()
                taken.append(time.perf_counter() - start)
                if time.perf_counter() >= until:
                    break
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


def gaussian(*shapes: tuple[int, ...]) -> Arrays:
    """One float32 array of each shape."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


def transformer() -> tuple[Arrays, Arrays]:
    """Matrices and biases of modular addition's network as it starts, each head's by itself."""
    from training_maps.metrics.parameters import select_parameters
    from training_maps.training.tasks.modular_addition import ModularAddition

    torch.manual_seed(0)
    tensors = {
        name: t.detach().numpy() for name, t in ModularAddition().network().named_parameters()
    }
    selection = select_parameters(
        [(name, "F32", list(array.shape)) for name, array in tensors.items()], where="transformer"
    )
    matrices = [
        matrix
        for m in selection.matrices
        for matrix in tensors[m.tensor].reshape(m.n_blocks, m.rows, m.cols)
    ]
    return matrices, [tensors[name] for name in selection.biases]


def bert_layer() -> tuple[Arrays, Arrays]:
    """A layer of BERT-base: query, key, value, output, and the MLP's two matrices."""
    weights = gaussian(*[(768, 768)] * 4, (3072, 768), (768, 3072))
    return weights, gaussian(*[(768,)] * 5, (3072,))


def networks() -> dict[str, tuple[Arrays, Arrays]]:
    """What is measured in memory, by name."""
    return {
        "one-layer transformer": transformer(),
        "BERT-base layer": bert_layer(),
        "8 matrices, 128x128": (gaussian(*[(128, 128)] * 8), []),
        "8 matrices, 512x128": (gaussian(*[(512, 128)] * 8), []),
        "2 matrices, 768x768": (gaussian(*[(768, 768)] * 2), []),
        "2 matrices, 3072x768": (gaussian(*[(3072, 768)] * 2), []),
    }


def in_memory(network: tuple[Arrays, Arrays], threads: int, seconds: float) -> list[float]:
    """Ours, as published and svdvals on arrays."""
    weights, biases = network
    tensors = [torch.from_numpy(weight) for weight in weights]
    bias_tensors = [torch.from_numpy(bias) for bias in biases]
    return medians(
        [
            lambda: checkpoint_metrics(weights, biases, threads=threads),
            lambda: as_published(tensors, bias_tensors),
            lambda: svdvals(tensors),
        ],
        seconds,
    )


def weightwatcher_seconds(weights: Arrays, threads: int) -> float | None:
    """One call of WeightWatcher's `analyze`, everything it reports on by default."""
    if not find_spec("weightwatcher"):
        return None
    import weightwatcher

    logging.getLogger("weightwatcher").setLevel(logging.CRITICAL)
    layers = [torch.nn.Linear(*weight.shape[::-1], bias=False) for weight in weights]
    for layer, weight in zip(layers, weights, strict=True):
        layer.weight.data = torch.from_numpy(weight)
    watcher = weightwatcher.WeightWatcher(model=torch.nn.Sequential(*layers))
    with threadpool_limits(threads):
        start = time.perf_counter()
        details = watcher.analyze(min_evals=0)
        seconds = time.perf_counter() - start
    assert len(details) == len(weights), "WeightWatcher left a matrix out"
    return seconds


def compare(threads: int, seconds: float) -> None:
    """Print the table of all ways."""
    torch.set_num_threads(threads)
    rows = []

    def add(what: str, times: list[float], watcher: str, ratio: str) -> None:
        goal = GOAL if threads == 1 and what == "BERT-base layer" else ""
        ours, published, values = times
        milliseconds = [f"{1e3 * time:.2f}" for time in times]
        ratios = [f"{published / ours:.1f}", f"{values / ours:.1f}"]
        rows.append([what, *milliseconds, watcher, *ratios, ratio, goal])

    with tempfile.TemporaryDirectory() as folder:
        times = run_of_sparse_parities(Path(folder), threads, seconds)
    add("101 checkpoints, 128x40 + 1x128", times, "", "")
    for what, network in networks().items():
        times = in_memory(network, threads, seconds)
        watched = weightwatcher_seconds(network[0], threads) if "layer" in what else None
        if "layer" not in what:
            add(what, times, "", "")
        elif watched is None:
            add(what, times, "not installed", "")
        else:
            add(what, times, f"{1e3 * watched:.0f}", f"{watched / times[0]:.0f}")
    print(f"Milliseconds with {threads} threads each.\n")
    ways = ["ours", "as published", "svdvals", "WeightWatcher"]
    print_table(["what", *ways, *(f"× {way}" for way in ways[1:]), "goal"], rows)


def multiplications(shape: tuple[int, ...]) -> float:
    """Floating-point operations that a spectrum takes: Gram matrix and tridiagonal reduction."""
    side, other = min(shape), max(shape)
    return side * side * other + 4 / 3 * side**3


def product_rate(threads: int) -> float:
    """Operations a second of NumPy's float64 matrix product."""
    matrix = np.random.default_rng(0).normal(size=(1536, 1536))
    with threadpool_limits(threads):
        (seconds,) = medians([lambda: matrix @ matrix], 1.0)
    return 2 * len(matrix) ** 3 / seconds


def scaling(max_threads: int, seconds: float) -> None:
    """Print how the time of two BERT layers falls with threads."""
    weights, biases = bert_layer()
    weights, biases = weights * 2, biases * 2
    operations = sum(multiplications(weight.shape) for weight in weights)
    counts = [n for n in (1, 2, 4, 8, 16, 32) if n < max_threads] + [max_threads]
    ways = [lambda n=n: checkpoint_metrics(weights, biases, threads=n) for n in counts]  # type: ignore[misc]
    times = medians(ways, 2 * seconds)
    rows = [
        [
            n,
            f"{1e3 * taken:.0f}",
            f"{times[0] / taken:.2f}",
            f"{operations / taken / 1e9:.1f}",
            f"{operations / taken / product_rate(n):.0%}",
        ]
        for n, taken in zip(counts, times, strict=True)
    ]
    print("Two BERT-base layers.\n")
    print_table(
        ["threads", "ms", "speed-up", "Gflop/s", "of the rate of float64 matrix products"], rows
    )


def memory(threads: int) -> None:
    """Print the peak memory of a process that measures 10 and 1000 checkpoints of 9 MiB."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "checkpoint")
        save_file({"layer.weight": torch.randn(32, 73728)}, file)
        for n_checkpoints in (10, 1000):
            run = Path(folder, f"{n_checkpoints}")
            run.mkdir()
            for step in range(n_checkpoints):
                os.link(file, run / f"step-{step:06d}.safetensors")
            output = subprocess.run(
                [sys.executable, "-c", PEAK_MEMORY, run, str(threads)],
                capture_output=True,
                check=True,
                text=True,
            )
            rows.append([n_checkpoints, f"{float(output.stdout):.0f}"])
    print_table(["checkpoints of 9 MiB", "peak memory of the process, MiB"], rows)


def in_rust() -> None:
    """Print the stages of a matrix, and the comparison with faer; both need cargo."""
    if not shutil.which("cargo"):
        print("No cargo: neither stages nor faer are measured.\n")
        return
    target: dict[str, Any] = {"env": {**os.environ, "OPENBLAS_NUM_THREADS": "1"}, "text": True}
    workspace = ROOT / "rust_metrics"
    cargo = ["cargo", "test", "--release", "--locked", "--quiet", "--lib"]
    cargo += ["--manifest-path", workspace / "core" / "Cargo.toml", "stages"]
    output = subprocess.run(
        [*cargo, "--", "--ignored", "--nocapture"], capture_output=True, check=True, **target
    ).stdout
    print("Milliseconds of each stage, one thread.\n")
    print("\n".join(line for line in output.splitlines() if line.startswith("|")) + "\n")
    target["env"]["CARGO_TARGET_DIR"] = str(workspace / "target" / "faer")
    manifest = ROOT / "benchmarks" / "faer" / "Cargo.toml"
    print("Milliseconds of a spectrum, one thread, against faer 0.24.4.\n", flush=True)
    subprocess.run(
        ["cargo", "run", "--release", "--locked", "--quiet", "--manifest-path", manifest],
        check=True,
        **target,
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=3.0, help="time for each row")
    options = parser.parse_args()
    flavour = _rust_metrics.blas_flavour()
    print(f"{versions('torch', 'numpy')}; OpenBLAS {flavour}; float32, medians.\n")
    for threads in sorted({1, options.threads}):
        compare(threads, options.seconds)
    scaling(options.threads, options.seconds)
    memory(options.threads)
    in_rust()


if __name__ == "__main__":
    main()
