"""Part 5: where a step's time goes: launches, the host's time, and how busy the device is."""

from __future__ import annotations

import time
from typing import Any

from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.checks import Part
from benchmarks.gpu.runs import begin, seconds_of, synchronise
from training_maps.training.devices import use_precision
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import make_task


def run(part: Part) -> None:
    """Profile some epochs of modular addition, and time them without the profiler."""
    settings = {"modulus": 7, "d_model": 16, "d_mlp": 32} if part.toy else {}
    seeds = list(range(2 if part.toy else 40))
    epochs = 2 if part.toy else 20
    recipe = Recipe("adamw", learning_rate=1e-3, weight_decay=1.0, batch_size=2048)
    use_precision(recipe.precision)
    examples, networks = begin(make_task("modular_addition", settings), recipe, seeds, part.device)
    batches = examples.batches()
    steps = epochs * examples.steps_per_epoch
    for _ in range(2 * examples.steps_per_epoch):
        networks.step(*next(batches))
    seconds = seconds_of(part.device, steps, lambda: networks.step(*next(batches)))
    start = time.perf_counter()
    for _ in range(steps):
        networks.step(*next(batches))
    host = time.perf_counter() - start
    synchronise(part.device)
    found = _profiled(part, steps, lambda: networks.step(*next(batches)))
    part.numbers |= {
        "ms_a_step": 1e3 * seconds / steps,
        "host_ms_a_step": 1e3 * host / steps,
        "operations_a_step": found["operations"] / steps,
        "launches_a_step": found["launches"] / steps,
    }
    (part.out / "profile.txt").write_text(found["table"])
    if not part.on_gpu:
        part.skip("share of the time that the device is busy", "a CPU has no launches")
        return
    busy = found["device_seconds"] / seconds
    part.at_least("share of the time that the device is busy", busy, 0.5, control=busy / 100)


def _profiled(part: Part, steps: int, step: Any) -> dict[str, Any]:
    """Counts of operations and launches, time on the device, and the table of both."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if part.on_gpu else [])]
    with profile(activities=activities) as profiler:
        for _ in range(steps):
            step()
        synchronise(part.device)
    averages = profiler.key_averages()
    counts = {event.key: event.count for event in averages}
    by = "self_cuda_time_total" if part.on_gpu else "self_cpu_time_total"
    return {
        "operations": sum(n for key, n in counts.items() if key.startswith("aten::")),
        "launches": sum(n for key, n in counts.items() if key.startswith("cudaLaunchKernel")),
        "device_seconds": sum(event.self_device_time_total for event in averages) / 1e6,
        "table": averages.table(sort_by=by, row_limit=40),
    }
