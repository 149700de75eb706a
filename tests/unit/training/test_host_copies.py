"""Copies in main memory: those of that moment, and on a GPU, waited for before they are read."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch

from training_maps.training.host_copies import HostCopies


def test_a_copy_is_of_its_moment() -> None:
    tensors = {"w": torch.ones(2, 3), "n": torch.tensor([4])}
    copies = HostCopies("cpu")
    first = copies.take(tensors)
    tensors["w"].add_(1)
    second = copies.take(tensors)
    assert (first()["w"] == 1).all()
    assert (second()["w"] == 2).all()
    assert first()["n"].dtype == np.int64


class Gpu:
    """A stand-in: what a stream is asked to copy arrives when its event is waited for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waiting: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.done: list[str] = []
        gpu = self

        class Stream:
            def __init__(self, device: object = None) -> None: ...

            def wait_stream(self, other: object) -> None:
                gpu.done.append("wait for training")

        class Event:
            def record(self, stream: object) -> None:
                gpu.done.append("record")
                self.pending, gpu.waiting = gpu.waiting, []

            def synchronize(self) -> None:
                gpu.done.append("synchronize")
                for target, source in self.pending:
                    target.copy_(source)

        original = torch.Tensor.copy_

        def copy_(target: torch.Tensor, source: torch.Tensor, non_blocking: bool = False):
            if non_blocking:
                self.waiting.append((target, source))
                return target
            return original(target, source)

        empty = torch.empty
        monkeypatch.setattr(torch.cuda, "Stream", Stream)
        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda: None)
        monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
        monkeypatch.setattr(torch.Tensor, "copy_", copy_)
        monkeypatch.setattr(
            torch, "empty", lambda *shape, pin_memory=False, **kw: empty(*shape, **kw)
        )


def test_on_a_gpu_it_is_read_when_it_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu(monkeypatch)
    weights = torch.ones(2, 3)
    copies = HostCopies("cuda")
    taken = []
    for value in (1.0, 2.0, 3.0, 4.0):
        weights.fill_(value)
        taken.append((value, copies.take({"w": weights})))
        if len(taken) > 1:  # as the loop does: the last but one is read before the next is taken
            expected, arrays = taken[-2]
            assert (arrays()["w"] == expected).all()
    assert gpu.done[:2] == ["wait for training", "record"]
    assert gpu.done.count("synchronize") == 3
    kept = taken[-1][1]()["w"]
    weights.fill_(5.0)
    copies.take({"w": weights})()
    copies.take({"w": weights})()
    assert (kept == 4).all()  # an array of its own: distances are taken from it later
