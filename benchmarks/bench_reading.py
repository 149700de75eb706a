"""Reading: a folder of checkpoints as large as BERT-base's, at the disk's rate or the engine's.

    python -m benchmarks.bench_reading                    3 files of 440 MB
    python -m benchmarks.bench_reading --files 140        as long as that takes, and 62 GB of disk

The disk's rate is that of reading a file from its beginning to its end, and the engine's that of
the metrics of files that are in memory already. Of the same files not in memory, the metrics cannot
come faster than the slower of the two. The files are written first, and removed at the end.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from benchmarks import print_table, versions
from training_maps.metrics.compute import run_metrics

GOAL = 0.9  # of the slower rate
_PART = 1 << 24


def network(layers: int) -> dict[str, np.ndarray]:
    """Tensors of BERT-base, with so many layers; 12 make 440 MB with its embeddings."""
    draw = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {"bert.embeddings.word_embeddings.weight": (30522, 768)}
    for layer in range(layers):
        name = f"bert.encoder.layer.{layer}"
        for part in ("attention.self.query", "attention.self.key", "attention.self.value",
                     "attention.output.dense"):  # fmt: skip
            shapes |= {f"{name}.{part}.weight": (768, 768), f"{name}.{part}.bias": (768,)}
        shapes |= {f"{name}.intermediate.dense.weight": (3072, 768),
                   f"{name}.intermediate.dense.bias": (3072,),
                   f"{name}.output.dense.weight": (768, 3072),
                   f"{name}.output.dense.bias": (768,)}  # fmt: skip
    return {name: draw.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def forget(files: Iterable[Path]) -> None:
    """Let the system drop what it holds of files in memory; they must be on the disk."""
    for file in files:
        handle = os.open(file, os.O_RDONLY)
        try:
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def read(files: Iterable[Path]) -> None:
    """Read files from beginning to end."""
    part = bytearray(_PART)
    for file in files:
        with file.open("rb", buffering=0) as opened:
            while opened.readinto(part):
                pass


def rate(work: Callable[[], object], megabytes: float) -> float:
    """MB a second of one call."""
    start = time.perf_counter()
    work()
    return megabytes / (time.perf_counter() - start)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=3)
    parser.add_argument("--layers", type=int, default=12, help="of 28 MB each")
    parser.add_argument("--folder", type=Path, help="on the disk that is asked about")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        tensors = network(options.layers)
        files = [Path(name, f"step-{step:06d}.safetensors") for step in range(options.files)]
        for step, file in enumerate(files):
            save_file(tensors, file)
            print(f"{step + 1} of {len(files)} files written", file=sys.stderr, flush=True)
        del tensors
        megabytes = sum(file.stat().st_size for file in files) / 1e6
        forget(files)
        disk = rate(lambda: read(files), megabytes)
        # They are in memory now, unless there are more of them than fits.
        engine = rate(lambda: run_metrics(name, threads=options.threads), megabytes)
        forget(files)
        both = rate(lambda: run_metrics(name, threads=options.threads), megabytes)
    print(f"{versions('numpy')}; {options.threads} threads.\n")
    slower = min(disk, engine)
    row = [f"{len(files)} of {megabytes / len(files):.0f} MB", f"{disk:.0f}", f"{engine:.0f}",
           f"{both:.0f}", "engine" if engine < disk else "disk", f"{both / slower:.2f}",
           GOAL]  # fmt: skip
    print_table(
        ["files", "the disk alone, MB/s", "metrics of files in memory, MB/s",
         "metrics of files on the disk, MB/s", "the slower", "of its rate", "goal"],
        [row],
    )  # fmt: skip


if __name__ == "__main__":
    main()
