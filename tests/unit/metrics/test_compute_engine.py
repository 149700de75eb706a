"""How the metric engine works, whatever it computes: with every OpenBLAS, and in what memory."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from training_maps.metrics.compute import checkpoint_metrics


def openblas(flavour: str) -> Path:
    """The folder of this machine's OpenBLAS of that flavour, as Debian installs it."""
    folders = [*Path("/usr/lib").glob(f"*/openblas-{flavour}")]
    if extra := os.environ.get("OPENBLAS_FLAVOURS"):
        folders += Path(extra).glob(f"openblas-{flavour}")
    found = [folder for folder in folders if (folder / "libopenblas.so.0").exists()]
    if not found:
        pytest.skip(f"Debian's libopenblas0-{flavour} is not installed")
    return found[0]


UNDER_A_FLAVOUR = """
import sys
import threading
import numpy as np
from tests.support.metrics_twin import assert_close, twin
from training_maps import _rust_metrics
from training_maps.metrics.compute import checkpoint_metrics

assert _rust_metrics.blas_flavour() == sys.argv[1], _rust_metrics.blas_flavour()
rng = np.random.default_rng(0)
# Sides on both sides of where LAPACK takes part, and one of low rank, for the fall-back.
shapes = [(20, 30), (64, 200), (128, 128), (300, 90), (450, 420)] * 2
weights = [rng.normal(size=shape) for shape in shapes]
weights.append(rng.normal(size=(80, 3)) @ rng.normal(size=(3, 90)))
expected = twin(weights)
reference = checkpoint_metrics(weights, threads=1)
assert_close(reference, expected)
results = []
callers = [
    threading.Thread(
        target=lambda: results.extend(checkpoint_metrics(weights, threads=4) for _ in range(5))
    )
    for _ in range(2)
]
for caller in callers:
    caller.start()
for caller in callers:
    caller.join()
assert len(results) == 10
assert all(result == reference for result in results)
"""


@pytest.mark.parametrize("flavour", ["pthread", "openmp", "serial"])
def test_every_openblas_gives_the_same_bits_on_many_threads(flavour):
    """What Debian's alternatives may select, in a process of its own, called by two threads."""
    library = openblas(flavour)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library)}
    environment.pop("OMP_NUM_THREADS", None)
    result = subprocess.run(
        [sys.executable, "-c", UNDER_A_FLAVOUR, flavour],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


PEAK_MEMORY = """
import re
import sys
from pathlib import Path
from training_maps.metrics.compute import run_metrics

assert len(run_metrics(sys.argv[1], threads=2)) == int(sys.argv[2])
# Of this program alone: what getrusage tells includes the process that started it.
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_a_long_run_takes_no_more_memory_than_a_short_one(tmp_path):
    """1000 checkpoints of 1 MiB, at least 1 GiB if they were kept, against 10 of them."""
    file = tmp_path / "checkpoint.safetensors"
    weight = np.random.default_rng(0).normal(size=(8, 32768)).astype(np.float32)
    save_file({"layer.weight": weight}, file)
    peaks = []
    for n_checkpoints in (10, 1000):
        folder = tmp_path / f"{n_checkpoints}"
        folder.mkdir()
        for step in range(n_checkpoints):
            os.link(file, folder / f"step-{step:06d}.safetensors")
        output = subprocess.run(
            [sys.executable, "-c", PEAK_MEMORY, str(folder), str(n_checkpoints)],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(output.stdout))
    assert peaks[1] <= peaks[0] + 16, f"MiB: {peaks}"


@pytest.mark.parametrize("power", [-1060, -1030, -500, 500])
def test_matrices_at_the_ends_of_the_range(power):
    unit = 2.0**power
    found = checkpoint_metrics([np.diag([4.0, 1.0, 1.0]) * unit])
    assert found["lambda_max"] == 4 * unit
    assert found["mean_lambda"] == 2 * unit
    assert found["trace"] == 6 * unit
    assert found["trace_over_lambda_max"] == 1.5
    np.testing.assert_allclose(found["l2"], np.sqrt(18) * unit, rtol=1e-15, atol=5e-324)
