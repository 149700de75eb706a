"""Part 0: what machine this is, and that the extension measures what NumPy does."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess

import numpy as np
import torch

from benchmarks.gpu.checks import Part
from benchmarks.gpu.runs import seconds_of
from training_maps.metrics.compute import checkpoint_metrics
from training_maps.training.devices import described
from training_maps.utils.code_digest import stage_digest


def run(part: Part) -> None:
    """Write environment.json, compare singular values, and time copies and products."""
    about = {
        "python": platform.python_version(),
        "machine": platform.platform(),
        "cpu_threads": torch.get_num_threads(),
        "code": {stage: stage_digest(stage) for stage in ("train", "metrics")},
        **described(part.device),
        **{name: importlib.metadata.version(name) for name in ("torch", "numpy")},
        "nvidia_smi": _nvidia_smi() if part.on_gpu else "",
    }
    (part.out / "environment.json").write_text(json.dumps(about, indent=2) + "\n")
    part.numbers |= {"code": about["code"]["train"], "device": about.get("gpu", "cpu")}
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(200, 120))
    exact = np.linalg.svd(matrix, compute_uv=False)

    def error(of: np.ndarray) -> float:
        found = checkpoint_metrics([of])
        wanted = {"lambda_max": exact.max(), "mean_lambda": exact.mean(), "var_lambda": exact.var()}
        return max(abs(found[name] / value - 1) for name, value in wanted.items())

    wrong = matrix.copy()
    wrong[0, 0] += 1e-3
    part.at_most("singular values are NumPy's", error(matrix), 1e-10, control=error(wrong))
    _speeds(part)


def _speeds(part: Part) -> None:
    """Bandwidth of copies on the device, and rates of matrix products by precision."""
    size = 256 if part.toy else 8192
    a = torch.randn(size, size, device=part.device)
    b = torch.randn(size, size, device=part.device)
    to = torch.empty_like(a)
    to.copy_(a)
    seconds = seconds_of(part.device, 20, lambda: to.copy_(a))
    part.numbers["copy_gb_per_s"] = 20 * 2 * a.nbytes / seconds / 1e9
    for name, dtype, allowed in (
        ("float32", torch.float32, "highest"),
        ("tf32", torch.float32, "high"),
        ("bfloat16", torch.bfloat16, "high"),
    ):
        torch.set_float32_matmul_precision(allowed)
        x, y = a.to(dtype), b.to(dtype)
        x @ y
        seconds = seconds_of(part.device, 10, lambda x=x, y=y: x @ y)
        part.numbers[f"{name}_tflops"] = 10 * 2 * size**3 / seconds / 1e12
    torch.set_float32_matmul_precision("highest")


def _nvidia_smi() -> str:
    listed = subprocess.run(["nvidia-smi"], capture_output=True, text=True, timeout=30, check=False)
    return listed.stdout
