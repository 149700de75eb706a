"""The examples of several seeds on one device: batches in each seed's own order, augmented."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from training_maps.training.random_streams import Streams
from training_maps.training.tasks import Data, Task
from training_maps.utils.errors import InputError


class Examples:
    """The data of the runs of several seeds, resident on the device.

    Where all runs have the same data (`Task.shared_data`), one copy is there for them.

    Attributes:
        n_train: training examples of a run.
        steps_per_epoch: batches in one pass over them; the last one may be smaller.
    """

    def __init__(
        self, task: Task, streams: Sequence[Streams], batch_size: int, device: str
    ) -> None:
        """Draw or load the data of every seed and put it on `device`."""
        self._task, self._streams, self._batch_size = task, list(streams), batch_size
        self._device = torch.device(device)
        # Data that all runs share must not depend on which of them are in a job.
        shared = [np.random.default_rng(0)] if task.shared_data else None
        sets = [task.data(generator) for generator in shared or [s.data for s in streams]]
        for one in sets:
            _check(one, task)
        self._arrays = {
            name: _stacked([getattr(one, name) for one in sets]).to(self._device)
            for name in ("train_inputs", "train_targets", "eval_inputs", "eval_targets")
        }
        self._scaling = _scaling(sets[0], self._device)
        self.n_train = self._arrays["train_inputs"].shape[1]
        self.steps_per_epoch = -(-self.n_train // batch_size)
        n_copies = len(sets)
        # One index into all seeds' examples: several times faster than an index a dimension.
        self._first_rows = (torch.arange(n_copies) * self.n_train)[:, None].to(self._device)
        self._rows = {name: array.flatten(0, 1) for name, array in self._arrays.items()}
        self._epoch_start = [stream.state() for stream in streams]

    def batches(self, start: int = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Forever, the next batch of every seed.

        Args:
            start: batches that were trained on already; those of the current epoch are skipped.

        Yields:
            Inputs as the network sees them, and targets: (n_seeds, batch, ...) each.
        """
        size = self._batch_size
        epoch, start = divmod(start, self.steps_per_epoch)
        while True:
            self._epoch_start = [stream.state() for stream in self._streams]
            order = self._sent([s.batches.permutation(self.n_train) for s in self._streams])
            draws = self._augmentation(epoch)
            for first in range(start * size, self.n_train, size):
                some = slice(first, first + size)
                yield self._batch(order[:, some], None if draws is None else draws[:, some])
            epoch, start = epoch + 1, 0

    def positions(self, step: int) -> list[dict[str, Any]]:
        """Each seed's generators as they have to be to go on after `step` updates.

        Within an epoch that is where they were at its start: its order is then drawn again.
        """
        if step % self.steps_per_epoch == 0:
            return [stream.state() for stream in self._streams]
        return self._epoch_start

    def restore(self, positions: Sequence[dict[str, Any]]) -> None:
        """Put each seed's generators to where `positions` said they were."""
        for stream, position in zip(self._streams, positions, strict=True):
            stream.restore(position)

    def part(
        self, part: str, size: int, limit: int | None = None
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The examples of one part, in order and in pieces of at most `size`.

        Args:
            part: "train" or "eval"; training inputs come as they are, not augmented.
            size: examples a piece has at most.
            limit: only the first so many examples.

        Yields:
            Inputs (n, piece, ...) as the network sees them, and targets (n, piece, ...); n is the
            number of seeds, or 1 where all share their data.
        """
        inputs, targets = self._arrays[f"{part}_inputs"], self._arrays[f"{part}_targets"]
        total = min(inputs.shape[1], limit or inputs.shape[1])
        for first in range(0, total, size):
            some = slice(first, min(first + size, total))
            yield self._scaled(inputs[:, some]), targets[:, some]

    def _batch(
        self, order: torch.Tensor, draws: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows = (order + self._first_rows).flatten()
        inputs = self._rows["train_inputs"].index_select(0, rows)
        targets = self._rows["train_targets"].index_select(0, rows)
        if draws is not None:
            inputs = self._task.augment(inputs, draws.flatten(0, 1))
        return (
            self._scaled(inputs.unflatten(0, order.shape)),
            targets.unflatten(0, order.shape),
        )

    def _augmentation(self, epoch: int) -> torch.Tensor | None:
        """An epoch's draws in the order of the batches: (n_seeds, n_train, ...), or None."""
        task, n = self._task, self.n_train
        draws = [task.augmentation_in_epoch(s.augmentation, n, epoch) for s in self._streams]
        some = [one for one in draws if one is not None]
        return self._sent(some) if some else None

    def _sent(self, arrays: Sequence[np.ndarray]) -> torch.Tensor:
        """The arrays stacked and on the device, without waiting for it."""
        stacked = _stacked(arrays)
        if self._device.type == "cuda":
            return stacked.pin_memory().to(self._device, non_blocking=True)
        return stacked.to(self._device)

    def _scaled(self, inputs: torch.Tensor) -> torch.Tensor:
        if self._scaling is None:
            return inputs
        mean, std = self._scaling
        return (inputs.to(torch.float32) - mean) / std


def _check(data: Data, task: Task) -> None:
    """Refuse data that are no arrays, or whose numbers of inputs and targets are not the same."""
    for part in ("train", "eval"):
        inputs, targets = getattr(data, f"{part}_inputs"), getattr(data, f"{part}_targets")
        for array in (inputs, targets):
            if not isinstance(array, np.ndarray):
                raise InputError(
                    f"task {type(task).__name__}: {part} data are a {type(array).__name__}; "
                    "expected NumPy arrays"
                )
        if not len(inputs) == len(targets) > 0:
            raise InputError(
                f"task {type(task).__name__}: there are {len(inputs)} {part} inputs and "
                f"{len(targets)} {part} targets; expected as many of both, and at least one"
            )


def _stacked(arrays: Sequence[np.ndarray]) -> torch.Tensor:
    if len(arrays) == 1:  # a data set of its own size in memory need not be there twice
        return torch.from_numpy(np.require(arrays[0], requirements=["C", "W"])[None])
    return torch.from_numpy(np.stack(arrays))


def _scaling(data: Data, device: torch.device) -> tuple[torch.Tensor, torch.Tensor] | None:
    """What is subtracted from an input, and what it is divided by, as float32 on the device."""
    if data.mean is None or data.std is None:
        return None
    mean, std = (torch.from_numpy(np.asarray(x, np.float32)) for x in (data.mean, data.std))
    return mean.to(device), std.to(device)
