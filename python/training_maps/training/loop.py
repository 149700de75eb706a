"""Training: one loop for all tasks, small networks of many seeds side by side on one device.

The networks of a block of seeds are stacked along a leading dimension and stepped together: one
batched matrix product where a loop over seeds would make forty small ones. Each seed has generators
of its own for data, initialisation, batch order and augmentation, so its run is the same network on
the same batches whichever block it is in; only rounding may differ between blocks of different
sizes. Large networks, and those with batch norm, are trained one by one by the same loop.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training_maps.training import resume
from training_maps.training.alone import Alone
from training_maps.training.devices import choose_device, described, use_precision
from training_maps.training.examples import Examples
from training_maps.training.host_copies import Arrays, HostCopies
from training_maps.training.landscape import Landscape, sample_of
from training_maps.training.networks import Networks, measured
from training_maps.training.random_streams import Streams, noise_state, restore_noise
from training_maps.training.recipe import Recipe, checkpoint_steps
from training_maps.training.record_log import Record
from training_maps.training.records import Recorder, Recording
from training_maps.training.seed_blocks import train_block
from training_maps.training.side_by_side import SideBySide
from training_maps.training.tasks import Task
from training_maps.utils.code_digest import stage_digest
from training_maps.utils.locks import only_writer
from training_maps.utils.progress import Progress
from training_maps.utils.seeds import format_seeds

logger = logging.getLogger("training_maps")


def train(
    task: Task,
    task_name: str,
    recipe: Recipe,
    seeds: Sequence[int],
    recording: Recording,
    *,
    device: str = "auto",
) -> None:
    """Train a block of seeds and write their checkpoints (or metrics), logs and manifests.

    A training of the same seeds that was killed is resumed from its last saved state. A block that
    does not fit into memory is split, and its parts are trained one after another.

    Args:
        task: what is trained.
        task_name: its name, for the records.
        recipe: optimiser, lengths and batch size.
        seeds: the block's seeds; each is a run of its own. They are trained side by side, or one
            after another, as the task says.
        recording: what is recorded of the runs, and where.
        device: "auto", "cpu" or "cuda".

    Raises:
        InputError: if the device is not there, the data cannot be had, the task's networks cannot
            be trained in this way, one alone does not fit into memory, or another process writes
            the same runs.
    """
    device = choose_device(device)
    use_precision(recipe.precision)

    def prepared(block: list[int], folder: Path) -> Training:
        return Training(task, task_name, recipe, block, recording, device, folder)

    identity = _identity(task, recipe, recording, device)
    with only_writer(recording.runs, seeds):
        for block in [list(seeds)] if task.side_by_side else [[seed] for seed in seeds]:
            train_block(block, recording.runs, prepared, identity)


class Training:
    """The training of one block of seeds, from its start or from where it was killed to its end."""

    def __init__(
        self,
        task: Task,
        task_name: str,
        recipe: Recipe,
        seeds: list[int],
        recording: Recording,
        device: str,
        folder: Path,
    ) -> None:
        """Draw or load the data, make the networks, put both on `device`; work in `folder`."""
        self.recipe, self.device = recipe, device
        streams = [Streams(seed) for seed in seeds]
        # Networks that draw are trained one by one, so that a block has one noise.
        self._noise = streams[0].noise
        self.examples = Examples(task, streams, recipe.batch_size, device)
        self.networks = make_networks(task, streams, recipe, device)
        self.steps = checkpoint_steps(recipe, self.examples.steps_per_epoch)
        self._folder = folder
        last, threads = self.steps[-1], torch.get_num_threads()
        self.recorder = Recorder(seeds, task_name, recording, self._folder, last, threads)
        self._name = f"{task_name}, seeds {format_seeds(seeds)} on {device}"
        self.settings = {
            **dataclasses.asdict(task),
            **dataclasses.asdict(recipe),
            "steps_per_epoch": self.examples.steps_per_epoch,
            "device": device,
            **described(device),
            "torch": torch.__version__,
        }
        self._identity = {
            **_identity(task, recipe, recording, device),
            "seeds": seeds,
            "steps_per_epoch": self.examples.steps_per_epoch,
        }
        self._landscape = None
        if self.recorder.measures_landscape:
            self._landscape = Landscape(task, streams[0].initialise(task).to(device))
        self._copies = HostCopies(device)
        self._writer = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None
        self._saved = time.monotonic()

    def run(self) -> None:
        """Train to the end and save that; the runs are then in the working folder."""
        try:
            with self._noise(self.device):
                self._train()
        finally:  # what is being written belongs to the last checkpoint, whatever happened since
            self._writer.shutdown()

    def _train(self) -> None:
        resumed = self._resume()
        start = resumed or 0
        unit = self.examples.steps_per_epoch if self.recipe.unit == "epoch" else 1
        progress = Progress(self.recipe.length, self.recipe.unit, self._name, start / unit)
        if resumed is None:
            logger.info(
                "%s: training %d steps, %d checkpoints each",
                self._name, self.steps[-1], len(self.steps),
            )  # fmt: skip
            self._checkpoint(0)
        wanted = set(self.steps)
        batches = self.examples.batches(start)
        step = start
        while step < self.steps[-1] and self._running():
            self.networks.step(*next(batches))
            step += 1
            if step in wanted:
                progress.update(step / unit, self._checkpoint(step))
        self._save(step)

    def _running(self) -> list[int]:
        """The places of the runs that have not ended early."""
        return [i for i, record in enumerate(self.recorder.records) if record.further != 0]

    def _checkpoint(self, step: int) -> str:
        """Evaluate all networks, record a checkpoint of those still running; a line on progress."""
        size = self.networks.evaluation_batch
        limit = self.recipe.train_examples_evaluated
        train_loss, train_accuracy = measured(
            self.networks, self.examples.part("train", size, limit)
        )
        eval_loss, eval_accuracy = measured(self.networks, self.examples.part("eval", size))
        gradient_norm = self.networks.gradient_norms().cpu().numpy()
        running = self._running()
        lines = [
            {
                "step": step,
                "epoch": step / self.examples.steps_per_epoch,
                "train_loss": float(train_loss[row]),
                "eval_loss": float(eval_loss[row]),
                "train_accuracy": float(train_accuracy[row]),
                "eval_accuracy": float(eval_accuracy[row]),
                "gradient_norm": float(gradient_norm[row]),
            }
            for row in running
        ]
        landscape = self._measured_landscape()
        # Copies, as training goes on while they are written; a failure shows at the next one.
        copied = self._copies.take(self.networks.tensors())
        self._written()
        self._writing = self._writer.submit(self._record, running, lines, copied, landscape)
        for row in running:
            self._count_down(self.recorder.records[row], float(eval_accuracy[row]))
        if time.monotonic() - self._saved >= resume.SAVE_EVERY:
            self._save(step)
        return (
            f"mean loss {np.mean(train_loss):.3g} (evaluation {np.mean(eval_loss):.3g}), "
            f"mean accuracy {np.mean(train_accuracy):.3f} (evaluation {np.mean(eval_accuracy):.3f})"
        )

    def _measured_landscape(self) -> list[dict[str, float]] | None:
        """The metrics of each network's loss, if they are recorded."""
        if self._landscape is None:
            return None
        groups = sample_of(self.examples, self.recipe.train_examples_evaluated)
        return self._landscape.measure(self.networks.tensors(), groups)

    def _record(
        self,
        running: list[int],
        lines: list[dict[str, float]],
        copied: Callable[[], Arrays],
        landscape: list[dict[str, float]] | None,
    ) -> None:
        """Record a checkpoint, once its tensors are in main memory."""
        self.recorder.record(running, lines, copied(), landscape)

    def _count_down(self, record: Record, eval_accuracy: float) -> None:
        """End a run early if the recipe says so: so many checkpoints after it was good enough."""
        if record.further is not None:
            record.further -= 1
        elif self.recipe.stop_above is not None and eval_accuracy > self.recipe.stop_above:
            record.further = self.recipe.stop_after

    def _written(self) -> None:
        """Wait until the last checkpoint is written; raise what went wrong with it."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def _save(self, step: int) -> None:
        """Save everything needed to resume from `step`."""
        self._written()
        positions = self.examples.positions(step)
        state = {
            "step": step,
            "networks": self.networks.state(),
            "records": self.recorder.saved(),
            "positions": json.dumps(positions),
            "noise": noise_state(self.device),
        }
        resume.save(self._folder, self._identity, state)
        self._saved = time.monotonic()

    def _resume(self) -> int | None:
        """Go back to the saved state, if there is one; return its step, or None."""
        state = resume.load(self._folder, self._identity, self.device)
        if state is not None:
            gone = self.recorder.restore(state["records"])
            if gone is None:
                start = self._copies.take(self.networks.tensors())()
                self.networks.restore(state["networks"])
                self.recorder.go_on(start, self._copies.take(self.networks.tensors())())
                self.examples.restore(json.loads(state["positions"]))
                restore_noise(state["noise"])
                logger.info("%s: going on from step %d", self._name, state["step"])
                return int(state["step"])
            logger.warning("%s is missing: training starts from the beginning", gone)
        resume.clear(self._folder)
        return None


def make_networks(task: Task, streams: Sequence[Streams], recipe: Recipe, device: str) -> Networks:
    """Every seed's initial network, in training on `device`."""
    networks = [stream.initialise(task) for stream in streams]
    if task.side_by_side:
        return SideBySide(task, networks, recipe, device)
    (network,) = networks
    return Alone(task, network, recipe, device)


def _identity(task: Task, recipe: Recipe, recording: Recording, device: str) -> dict[str, Any]:
    """What unfinished training must have in common with this one to be resumed."""
    return {
        "settings": {**dataclasses.asdict(task), **dataclasses.asdict(recipe)},
        "device": device,
        "torch": torch.__version__,
        "what": recording.what,
        "metrics": [
            list(recording.columns),
            dataclasses.asdict(recording.overrides),
            recording.layers,
        ],
        "code": _code_behind(task),
    }


def _code_behind(task: Task) -> str:
    """A digest of the code that training runs, the task's own with it if the package has it."""
    package, _, name = type(task).__module__.rpartition(".")
    return stage_digest("train", task=name if package == "training_maps.training.tasks" else None)


__all__ = ["Recipe", "Recording", "Training", "checkpoint_steps", "choose_device", "train"]
