"""Copies of a device's tensors in main memory, made while the device goes on with its work.

On a GPU the values are cloned there, which keeps them whatever training does next; a stream of its
own brings the clones to pinned memory, and whoever wants the arrays waits for that alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch

Arrays = dict[str, np.ndarray]


class HostCopies:
    """Takes copies, one after another; of a GPU's, two may be under way at a time."""

    def __init__(self, device: str) -> None:
        """Of tensors on `device`."""
        self._on_gpu = device.startswith("cuda")
        self._stream = torch.cuda.Stream(device) if self._on_gpu else None
        # What is read of one buffer is read before the next but one is asked for.
        self._buffers: tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]] = ({}, {})
        self._turn = 0

    def take(self, tensors: Mapping[str, torch.Tensor]) -> Callable[[], Arrays]:
        """Copy tensors as they are now.

        Returns:
            What gives the arrays, by name, once they are there; any thread may call it, once, and
            before the next but one `take`.
        """
        if self._stream is None:
            copies = {name: value.detach().numpy().copy() for name, value in tensors.items()}
            return lambda: copies
        clones = {name: value.detach().clone() for name, value in tensors.items()}
        self._turn = 1 - self._turn
        buffer = self._buffers[self._turn]
        for name, clone in clones.items():
            if name not in buffer:
                buffer[name] = torch.empty(clone.shape, dtype=clone.dtype, pin_memory=True)
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            for name, clone in clones.items():
                buffer[name].copy_(clone, non_blocking=True)
            done = torch.cuda.Event()
            done.record(self._stream)

        def arrays() -> Arrays:
            done.synchronize()
            clones.clear()  # not before: their memory would be given to the next tensor
            return {name: value.numpy().copy() for name, value in buffer.items()}

        return arrays
