"""Part 2: the host never waits for the device within an epoch."""

from __future__ import annotations

import torch

from benchmarks.gpu.checks import Part
from benchmarks.gpu.runs import begin, images, synchronise
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import Task, make_task


def run(part: Part) -> None:
    """Train an epoch while CUDA raises wherever the host waits."""
    digits = images((28, 28), 64 if part.toy else 2048)
    tasks = {
        "side by side": make_task("mnist", {"dataset": digits, "hidden_size": 32}),
        "alone": make_task("mnist", {"dataset": digits, "model": "lenet5", "batch_norm": True}),
    }
    for name, task in tasks.items():
        what = f"{name}: no synchronisation within an epoch"
        if part.on_gpu:
            _epoch(part, what, task)
        else:
            part.skip(what, "a CPU has nothing to wait for")


def _epoch(part: Part, what: str, task: Task) -> None:
    recipe = Recipe("adamw", learning_rate=1e-3, batch_size=64)
    examples, networks = begin(task, recipe, [0, 1] if task.side_by_side else [0], part.device)
    batches = examples.batches()
    for _ in range(examples.steps_per_epoch):  # traces, and compares the first step
        networks.step(*next(batches))
    epoch = range(examples.steps_per_epoch)
    waited = _waits(lambda: [networks.step(*next(batches)) for _ in epoch])
    planted = _waits(lambda: float(networks.gradient_norms()[0]))
    part.holds(what, not waited, control=not planted)
    synchronise(part.device)


def _waits(work: object) -> bool:
    """Whether the host waits for the device while some work is done."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        work()  # type: ignore[operator]
    except RuntimeError as error:
        if "synchroniz" not in str(error):
            raise
        return True
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return False
