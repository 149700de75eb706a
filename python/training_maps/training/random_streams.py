"""Random streams: each seed has its own, so that a run is the same in whatever block it trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from training_maps.training.tasks import Task


class Streams:
    """One seed's independent random streams: data, initialisation, batch order, augmentation.

    `data`, `batches` and `augmentation` are NumPy generators on the host, whatever the device, so
    that a GPU sees the same examples in the same order as a CPU.
    """

    def __init__(self, seed: int) -> None:
        """Spawn the streams of `seed`."""
        data, initialisation, batches, augmentation = np.random.SeedSequence(seed).spawn(4)
        self.data = np.random.default_rng(data)
        self.batches = np.random.default_rng(batches)
        self.augmentation = np.random.default_rng(augmentation)
        self._initialisation = int(initialisation.generate_state(1, np.uint64)[0])

    def initialise(self, task: Task) -> torch.nn.Module:
        """The seed's initial network; torch's global generator is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._initialisation)
            return task.network()

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
