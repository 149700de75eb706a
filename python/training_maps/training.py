"""Training: many small networks of different seeds, side by side on one device.

The networks of a block of seeds are stacked along a leading dimension and stepped together: one
batched matrix product where a loop over seeds would make forty small ones. Each seed has generators
of its own for data, initialisation and batch order, so its run is the same network on the same
batches whichever block it is in; only rounding may differ between blocks of different sizes.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from training_maps.checkpoints import (
    FOLDER,
    MANIFEST,
    Checkpoint,
    Run,
    run_folder,
    step_file,
    write_checkpoint,
    write_manifest,
)
from training_maps.errors import InputError
from training_maps.files import made_by, write_table
from training_maps.progress import Progress
from training_maps.seeds import format_seeds
from training_maps.tasks import Data, Task

logger = logging.getLogger("training_maps")

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adamw": torch.optim.AdamW,
}
TRAINING_LOG = "training_log.parquet"
_EVALUATION_BATCH = 4096  # examples a seed evaluated at once: bounds memory, changes no result


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network is trained; `unit` ("epoch" or "step") is that of both lengths."""

    optimizer: str = "sgd"
    learning_rate: float = 0.1
    weight_decay: float = 0.0
    batch_size: int = 32
    length: int = 1000
    checkpoint_every: int = 10
    unit: str = "epoch"


class Streams:
    """One seed's independent random streams: data, initialisation and batch order."""

    def __init__(self, seed: int) -> None:
        """Spawn the three streams of `seed`."""
        data, initialisation, batches = np.random.SeedSequence(seed).spawn(3)
        self.data = np.random.default_rng(data)
        self.batches = np.random.default_rng(batches)
        self._initialisation = int(initialisation.generate_state(1, np.uint64)[0])

    def initialise(self, task: Task) -> torch.nn.Module:
        """The seed's initial network; torch's global generator is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._initialisation)
            return task.network()


class Block:
    """The networks of several seeds of one task, stepped side by side.

    Attributes:
        parameters: each of the network's parameters, stacked: (n_seeds, *shape).
        steps_per_epoch: optimiser updates in one pass over the training set.
    """

    def __init__(self, task: Task, recipe: Recipe, seeds: Sequence[int], device: str) -> None:
        """Draw every seed's data and initial network and put them on `device`."""
        self.task, self.recipe, self.seeds, self.device = task, recipe, list(seeds), device
        streams = [Streams(seed) for seed in seeds]
        self._generators = [stream.batches for stream in streams]
        sets = [task.data(stream.data) for stream in streams]
        self._data = {
            field.name: torch.stack(
                [torch.from_numpy(getattr(one, field.name)) for one in sets]
            ).to(device)
            for field in dataclasses.fields(Data)
        }
        networks = [stream.initialise(task) for stream in streams]
        stacked, _ = stack_module_state(networks)
        self.parameters = {name: value.detach().to(device) for name, value in stacked.items()}
        self._network = networks[0].to("meta")  # its structure; the values are in `parameters`
        self.optimizer = OPTIMIZERS[recipe.optimizer](
            list(self.parameters.values()),
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        self.n_train = self._data["train_inputs"].shape[1]
        self.steps_per_epoch = -(-self.n_train // recipe.batch_size)
        self._first_rows = torch.arange(len(self.seeds), device=device)[:, None] * self.n_train
        self._gradients: dict[int, Callable[..., Sequence[torch.Tensor]]] = {}

    def batches(self) -> Iterator[torch.Tensor]:
        """Forever, the next batch of every seed: indices of its examples, (n_seeds, batch)."""
        size = self.recipe.batch_size
        while True:
            orders = [generator.permutation(self.n_train) for generator in self._generators]
            order = torch.from_numpy(np.stack(orders)).to(self.device)
            for start in range(0, self.n_train, size):
                yield order[:, start : start + size]

    @torch.no_grad()
    def step(self, batch: torch.Tensor) -> None:
        """One optimiser update of every network, each on its own `batch` (n_seeds, batch)."""
        # One index into all seeds' examples: several times faster than an index a dimension.
        rows = (batch + self._first_rows).flatten()
        inputs, targets = (
            self._data[name].flatten(0, 1).index_select(0, rows).unflatten(0, batch.shape)
            for name in ("train_inputs", "train_targets")
        )
        parameters = self.parameters.values()
        size = batch.shape[1]
        if size not in self._gradients:
            self._gradients[size] = self._gradient_function(inputs, targets)
        gradients = self._gradients[size](*parameters, inputs, targets)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        self.optimizer.step()

    def _gradient_function(
        self, inputs: torch.Tensor, targets: torch.Tensor
    ) -> Callable[..., Sequence[torch.Tensor]]:
        """All networks' gradients: (*parameters, inputs, targets) to (*gradients)."""
        names = list(self.parameters)

        def loss(
            parameters: dict[str, torch.Tensor], inputs: torch.Tensor, targets: torch.Tensor
        ) -> torch.Tensor:
            return self.task.loss(functional_call(self._network, parameters, (inputs,)), targets)

        def gradients(*arguments: torch.Tensor) -> tuple[torch.Tensor, ...]:
            *values, inputs, targets = arguments
            found = vmap(grad(loss))(dict(zip(names, values, strict=True)), inputs, targets)
            return tuple(found[name] for name in names)

        return traced(gradients, (*self.parameters.values(), inputs, targets))

    @torch.no_grad()
    def evaluate(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Loss and accuracy of every network on the `part` ("train" or "eval"): (n_seeds,) each."""

        def loss_and_accuracy(
            parameters: dict[str, torch.Tensor], inputs: torch.Tensor, targets: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor]:
            outputs = functional_call(self._network, parameters, (inputs,))
            right = self.task.correct(outputs, targets)
            return self.task.loss(outputs, targets), right.double().mean()

        inputs, targets = self._data[f"{part}_inputs"], self._data[f"{part}_targets"]
        total = inputs.shape[1]
        sums = torch.zeros(2, len(self.seeds), dtype=torch.float64, device=self.device)
        for start in range(0, total, _EVALUATION_BATCH):
            some = slice(start, start + _EVALUATION_BATCH)
            n_some = inputs[:, some].shape[1]
            loss, accuracy = vmap(loss_and_accuracy)(
                self.parameters, inputs[:, some], targets[:, some]
            )
            sums += n_some * torch.stack([loss.double(), accuracy])
        loss, accuracy = (sums / total).cpu().numpy()
        return loss, accuracy

    def tensors(self) -> list[dict[str, np.ndarray]]:
        """Every seed's parameters, as arrays in main memory."""
        arrays = {name: value.cpu().numpy() for name, value in self.parameters.items()}
        return [
            {name: value[row] for name, value in arrays.items()} for row in range(len(self.seeds))
        ]


class Recorder:
    """Writes what a block's training leaves behind: checkpoints as it goes, the rest at the end."""

    def __init__(self, block: Block, task_name: str, runs: Path, last_step: int) -> None:
        """Clear what an earlier, unfinished training of these seeds left below `runs`."""
        self._block, self._task_name, self._runs, self._last_step = (
            block, task_name, runs, last_step,
        )  # fmt: skip
        self._checkpoints: dict[int, list[Checkpoint]] = {seed: [] for seed in block.seeds}
        self._logs: dict[int, list[dict[str, float]]] = {seed: [] for seed in block.seeds}
        self._diverged: set[int] = set()
        for seed in block.seeds:
            folder = run_folder(runs, seed)
            (folder / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(folder / FOLDER, ignore_errors=True)

    def record(self, step: int) -> float:
        """Evaluate and write a checkpoint of every seed; return the mean evaluation accuracy."""
        block = self._block
        epoch = step / block.steps_per_epoch
        train_loss, train_accuracy = block.evaluate("train")
        eval_loss, eval_accuracy = block.evaluate("eval")
        for row, (seed, tensors) in enumerate(zip(block.seeds, block.tensors(), strict=True)):
            self._warn_if_diverged(seed, step, tensors)
            path = run_folder(self._runs, seed) / FOLDER / step_file(step, self._last_step)
            digest = write_checkpoint(
                path, tensors, task=self._task_name, seed=seed, step=step, epoch=epoch
            )
            self._checkpoints[seed].append(Checkpoint(step, epoch, path, digest))
            self._logs[seed].append(
                {
                    "step": step,
                    "epoch": epoch,
                    "train_loss": train_loss[row],
                    "eval_loss": eval_loss[row],
                    "train_accuracy": train_accuracy[row],
                    "eval_accuracy": eval_accuracy[row],
                }
            )
        return float(np.mean(eval_accuracy))

    def finish(self) -> None:
        """Write every run's training log, and its manifest last: then the run is finished."""
        block = self._block
        settings = {
            **dataclasses.asdict(block.task),
            **dataclasses.asdict(block.recipe),
            "steps_per_epoch": block.steps_per_epoch,
            "device": block.device,
            "torch": torch.__version__,
        }
        for seed in block.seeds:
            folder = run_folder(self._runs, seed)
            write_table(
                pd.DataFrame(self._logs[seed]),
                folder / TRAINING_LOG,
                made_by(task=self._task_name, seed=seed, **settings),
            )
            run = Run(seed, tuple(self._checkpoints[seed]), self._task_name, settings)
            write_manifest(run, folder / MANIFEST)

    def _warn_if_diverged(self, seed: int, step: int, tensors: dict[str, np.ndarray]) -> None:
        """Say once of a seed that its parameters are no longer finite; the others go on."""
        if seed in self._diverged:
            return
        for name, tensor in tensors.items():
            if not np.isfinite(tensor).all():
                self._diverged.add(seed)
                logger.warning(
                    "seed %d has diverged: %s is not finite at step %d", seed, name, step
                )
                return


def traced(
    function: Callable[..., Any], arguments: tuple[torch.Tensor, ...]
) -> Callable[..., Sequence[torch.Tensor]]:
    """`function` as plain tensor operations, for arguments of the shapes of `arguments`.

    Small networks' steps are short, and most of their time goes into dispatching: tracing takes the
    cost of the transforms (vmap, grad) out of every step, and on a CPU TorchScript that of Python
    too; together about half. Values stay the same to the bit. (torch calls TorchScript's tracing
    deprecated in favour of `torch.compile`, which needs a C++ compiler and half a minute to start.)
    """
    graph = make_fx(function)(*arguments)
    if arguments[0].device.type != "cpu":
        return graph
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return torch.jit.trace(graph, arguments, check_trace=False)


def checkpoint_steps(recipe: Recipe, steps_per_epoch: int) -> list[int]:
    """The steps at which checkpoints are taken: 0, every `checkpoint_every`, and the last."""
    steps_per_unit = steps_per_epoch if recipe.unit == "epoch" else 1
    units = sorted({*range(0, recipe.length, recipe.checkpoint_every), recipe.length})
    return [unit * steps_per_unit for unit in units]


def choose_device(device: str) -> str:
    """Resolve "auto" to "cuda" where there is a GPU, else "cpu".

    Raises:
        InputError: if "cuda" is asked for and not there.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device {device}: torch finds no CUDA GPU here; use --device cpu or auto")
    return device


def train(
    task: Task,
    task_name: str,
    recipe: Recipe,
    seeds: Sequence[int],
    runs: Path,
    *,
    device: str = "auto",
) -> None:
    """Train a block of seeds side by side and write their checkpoints, logs and manifests.

    Args:
        task: what is trained.
        task_name: its name, for the records.
        recipe: optimiser, lengths and batch size.
        seeds: the block's seeds; each is a run of its own.
        runs: the folder below which run `seed` is written to `seed-{seed}`.
        device: "auto", "cpu" or "cuda".

    Raises:
        InputError: if the device is not there.
    """
    block = Block(task, recipe, seeds, choose_device(device))
    steps = checkpoint_steps(recipe, block.steps_per_epoch)
    recorder = Recorder(block, task_name, runs, steps[-1])
    name = f"{task_name}, seeds {format_seeds(list(seeds))} on {block.device}"
    logger.info("%s: training %d steps, %d checkpoints each", name, steps[-1], len(steps))
    per_unit = block.steps_per_epoch if recipe.unit == "epoch" else 1
    progress = Progress(recipe.length, recipe.unit, name)
    wanted = set(steps)
    recorder.record(0)
    for step, batch in enumerate(block.batches(), start=1):
        block.step(batch)
        if step in wanted:
            accuracy = recorder.record(step)
            progress.update(step / per_unit, f"mean evaluation accuracy {accuracy:.3f}")
        if step == steps[-1]:
            break
    recorder.finish()
