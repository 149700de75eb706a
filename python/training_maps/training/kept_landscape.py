"""The loss landscape at checkpoints that a training kept, whose task is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from training_maps.metrics.definitions import LANDSCAPE
from training_maps.runs.checkpoints import Run
from training_maps.training.examples import Examples
from training_maps.training.landscape import Landscape, sample_of
from training_maps.training.random_streams import Streams
from training_maps.training.tasks import Task, make_task, task_class, task_names
from training_maps.utils.errors import InputError
from training_maps.utils.progress import Progress


def kept_landscape(run: Run, steps: Sequence[int]) -> dict[str, NDArray[np.float64]]:
    """What training would have recorded of the loss's landscape, from the checkpoints it wrote.

    The run's task, settings and seed are those of its manifest; its data are drawn or read anew.
    Files are taken as they are.

    Args:
        run: a run that was trained here, as `runs.checkpoints.find_run` gives it.
        steps: of the checkpoints to measure.

    Returns:
        The columns of `LANDSCAPE`, (len(steps),) each, as `landscape.Landscape` has them.

    Raises:
        InputError: if the run is none that was trained here, its data cannot be had, or it has no
            checkpoint of such a step.
    """
    task = _task_of(run)
    assert run.seed is not None, "a manifest of a training has its seed"
    files = {checkpoint.step: checkpoint.path for checkpoint in run.checkpoints}
    missing = sorted(set(steps) - set(files))
    if missing:
        raise InputError(f"seed {run.seed}: has no checkpoint of step {missing[0]}")
    streams = Streams(run.seed)
    examples = Examples(task, [streams], run.settings["batch_size"], "cpu")
    groups = sample_of(examples, run.settings["train_examples_evaluated"])
    landscape = Landscape(task, streams.initialise(task))
    progress = Progress(len(steps), "checkpoint", f"loss landscape of seed {run.seed}")
    rows = []
    for step in steps:
        tensors = {name: tensor[None] for name, tensor in load_file(files[step]).items()}
        rows += landscape.measure(tensors, groups)
        progress.update(len(rows))
    return {column: np.array([row[column] for row in rows]) for column in LANDSCAPE}


def _task_of(run: Run) -> Task:
    """The task that a run was trained on, by what its manifest says.

    Raises:
        InputError: if it says nothing of that.
    """
    if run.task not in task_names() or run.seed is None:
        raise InputError(
            f"metrics.columns: {LANDSCAPE[0]} and its like take the network's loss and its "
            "training data, which only a run that was trained here has, by its manifest"
        )
    fields = dataclasses.fields(task_class(run.task))
    own: dict[str, Any] = {field.name: run.settings[field.name] for field in fields}
    return make_task(run.task, own)


def use_threads(threads: int | None) -> None:
    """Let torch compute with so many threads; None leaves its own choice."""
    if threads is not None:
        torch.set_num_threads(threads)
