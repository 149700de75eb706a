"""Part 3: a block too large for the memory is split, and a job that is killed goes on."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from safetensors.numpy import load_file
from tests.support.small_networks import small_task

from benchmarks.gpu.checks import Part
from benchmarks.gpu.runs import parities
from training_maps.training import resume
from training_maps.training.alone import Alone
from training_maps.training.loop import train
from training_maps.training.recipe import Recipe
from training_maps.training.records import Recording
from training_maps.training.side_by_side import SideBySide
from training_maps.training.tasks import Task, make_task

RECIPE = Recipe(
    "adamw", learning_rate=0.01, batch_size=20, length=12, checkpoint_every=3, unit="step"
)
Outcome = dict[int, dict[str, np.ndarray]]


def run(part: Part) -> None:
    """Kill and resume, side by side and alone with dropout; then run out of memory."""
    _goes_on(part, "side by side", parities(n_bits=10, n_train=100), [3, 5], SideBySide)
    _goes_on(part, "alone, with dropout", small_task("dropout", side_by_side=False), [3], Alone)
    what = "a block too large for the memory is split, and its runs are the same"
    if part.on_gpu:
        _splits(part, what)
    else:
        part.skip(what, "a CPU's memory cannot be limited")


def _outcome(task: Task, seeds: list[int], part: Part, folder: Path, recipe: Recipe) -> Outcome:
    """The last tensors of each seed."""
    train(task, "part", recipe, seeds, Recording(folder), device=part.device)
    last = {seed: sorted((folder / f"seed-{seed}/checkpoints").iterdir())[-1] for seed in seeds}
    return {seed: load_file(path) for seed, path in last.items()}


def _apart(found: Outcome, twin: Outcome) -> float:
    return max(
        float(np.abs(found[seed][name].astype(np.float64) - value).max())
        for seed, tensors in twin.items()
        for name, value in tensors.items()
    )


def _goes_on(part: Part, name: str, task: Task, seeds: list[int], kind: type) -> None:
    """Killed in its eighth step and started again, a job ends in the same runs."""
    original: Callable[..., None] = kind.step  # type: ignore[attr-defined]
    done = []

    def step(networks: object, *batch: torch.Tensor) -> None:
        done.append(1)
        if len(done) == 8:
            raise KeyboardInterrupt
        original(networks, *batch)

    with tempfile.TemporaryDirectory() as folder, mock.patch.object(resume, "SAVE_EVERY", 0.0):
        whole = _outcome(task, seeds, part, Path(folder) / "whole", RECIPE)
        with mock.patch.object(kind, "step", step), contextlib.suppress(KeyboardInterrupt):
            _outcome(task, seeds, part, Path(folder) / "killed", RECIPE)
        resumed = _outcome(task, seeds, part, Path(folder) / "killed", RECIPE)
        others = [seed + 1 for seed in seeds]
        other = _outcome(task, others, part, Path(folder) / "other", RECIPE)
    renamed = dict(zip(seeds, other.values(), strict=True))
    part.at_most(
        f"{name}: killed and resumed, off the undisturbed run",
        _apart(resumed, whole),
        0.0,
        control=_apart(renamed, whole),
    )


def _splits(part: Part, what: str) -> None:
    """A limit on the process's memory makes a real out-of-memory error."""
    task = make_task("modular_addition", {"modulus": 59})
    recipe = dataclasses.replace(RECIPE, batch_size=1024, learning_rate=1e-3)
    seeds = list(range(16))
    with tempfile.TemporaryDirectory() as folder:
        torch.cuda.reset_peak_memory_stats()
        whole = _outcome(task, seeds, part, Path(folder) / "whole", recipe)
        needed = torch.cuda.max_memory_reserved()
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated()
        total = torch.cuda.get_device_properties(0).total_memory
        at_retry = []
        original = SideBySide.__init__

        def noted(networks: object, *arguments: object) -> None:
            at_retry.append(torch.cuda.memory_allocated())
            original(networks, *arguments)  # type: ignore[arg-type]

        torch.cuda.set_per_process_memory_fraction(0.7 * needed / total)
        try:
            with mock.patch.object(SideBySide, "__init__", noted):
                split = _outcome(task, seeds, part, Path(folder) / "split", recipe)
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
    part.numbers["attempts"] = len(at_retry)
    part.holds("it ran out of memory and was split", len(at_retry) > 1, control=len(whole) == 1)
    shifted = {seed: whole[(seed + 1) % len(seeds)] for seed in seeds}
    part.at_most(what, _apart(split, whole), 1e-3, control=_apart(shifted, whole))
    kept = max(at_retry[1:], default=2**40) - before
    # Data of the block that is tried next are there when its networks are made.
    part.at_most("bytes kept from the attempt that failed", kept, 2**24, control=kept + 2**30)
