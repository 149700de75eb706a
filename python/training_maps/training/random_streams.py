"""Random streams: each seed has its own, so that a run is the same in whatever block it trains."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from training_maps.training.tasks import Task


class Streams:
    """One seed's independent random streams, one for each thing that is drawn.

    `data`, `batches` and `augmentation` are NumPy generators on the host, whatever the device, so
    that a GPU sees the same examples in the same order as a CPU. What a network draws while it
    trains (dropout) comes from the generators that a process has one of, torch's as a rule; `noise`
    seeds them.
    """

    def __init__(self, seed: int) -> None:
        """Spawn the streams of `seed`."""
        data, initialisation, batches, augmentation, noise = np.random.SeedSequence(seed).spawn(5)
        self.data = np.random.default_rng(data)
        self.batches = np.random.default_rng(batches)
        self.augmentation = np.random.default_rng(augmentation)
        self._noise = int(noise.generate_state(1, np.uint64)[0])
        self._initialisation = int(initialisation.generate_state(1, np.uint64)[0])

    def initialise(self, task: Task) -> torch.nn.Module:
        """The seed's initial network; torch's global generator is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self._initialisation)  # a GPU's are not touched
            return task.network()

    @contextmanager
    def noise(self, device: str) -> Iterator[None]:
        """Within this block a process's generators are the seed's; afterwards as they were.

        They are torch's on the host and, for a GPU, on the device, Python's, and NumPy's old one.
        """
        on_gpu = device.startswith("cuda")
        before = random.getstate(), numpy_state()
        with torch.random.fork_rng(devices=[torch.cuda.current_device()] if on_gpu else []):
            torch.default_generator.manual_seed(self._noise)
            if on_gpu:
                torch.cuda.manual_seed(self._noise)
            random.seed(self._noise)
            np.random.seed(self._noise % 2**32)  # noqa: NPY002  # the one a network may draw from
            try:
                yield
            finally:
                random.setstate(before[0])
                _set_numpy_state(before[1])

    def state(self) -> dict[str, Any]:
        """Where the generators that training draws from are; JSON can hold it."""
        return {
            "batches": self.batches.bit_generator.state,
            "augmentation": self.augmentation.bit_generator.state,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Put the generators back to where `state` says."""
        self.batches.bit_generator.state = state["batches"]
        self.augmentation.bit_generator.state = state["augmentation"]


def noise_state(device: str) -> dict[str, Any]:
    """Where the generators are from which networks draw while they train: tensors, and JSON."""
    state = {
        "cpu": torch.get_rng_state(),
        "python": json.dumps(random.getstate()),
        "numpy": json.dumps(numpy_state()),
    }
    if device.startswith("cuda"):
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_noise(state: dict[str, Any]) -> None:
    """Put those generators back to where `state` says."""
    torch.set_rng_state(state["cpu"].cpu())
    version, numbers, gauss = json.loads(state["python"])
    random.setstate((version, tuple(numbers), gauss))
    _set_numpy_state(json.loads(state["numpy"]))
    if "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu())


def numpy_state() -> list[Any]:
    """Where NumPy's global generator is; JSON can hold it."""
    kind, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002
    return [kind, np.asarray(keys).tolist(), *rest]


def _set_numpy_state(state: list[Any]) -> None:
    np.random.set_state(tuple(state))  # noqa: NPY002
