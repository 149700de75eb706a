"""One GPU a job, with a stand-in for nvidia-smi: which are seen, which are free, who has which."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from pathlib import Path

import pytest

from training_maps.training.gpus import one_gpu, visible_gpus

LISTING = """GPU 0: NVIDIA Stand-In (UUID: GPU-aaaa-1)
GPU 1: NVIDIA Stand-In (UUID: GPU-bbbb-2)
GPU 2: NVIDIA Stand-In (UUID: GPU-cccc-3)
"""
GPUS = ["GPU-aaaa-1", "GPU-bbbb-2", "GPU-cccc-3"]

Held = tuple[int, str | None, str | None]


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    command = folder / "nvidia-smi"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine of three GPUs, with a folder of its own for locks."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "listing").write_text(LISTING)
    install(monkeypatch, tmp_path, f'[ "$1" = -L ] && cat {tmp_path}/listing')


@pytest.mark.parametrize(
    ("variable", "seen"),
    [
        (None, GPUS),
        ("2,0", ["2", "0"]),
        ("GPU-bbbb-2", ["GPU-bbbb-2"]),
        ("", []),
        ("-1", []),
        ("1,-1,2", ["1"]),
    ],
)
def test_what_may_be_used(
    variable: str | None, seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert visible_gpus() == seen


def test_of_a_gpu_that_is_divided_its_parts_are_used(tmp_path: Path) -> None:
    parts = """GPU 0: NVIDIA Stand-In (UUID: GPU-aaaa-1)
  MIG 1g.10gb     Device  0: (UUID: MIG-1)
  MIG 1g.10gb     Device  1: (UUID: MIG-2)
GPU 1: NVIDIA Stand-In (UUID: GPU-bbbb-2)
GPU 2: NVIDIA Stand-In (UUID: GPU-cccc-3)
  MIG 7g.80gb     Device  0: (UUID: MIG-3)
"""
    (tmp_path / "listing").write_text(parts)
    assert visible_gpus() == ["MIG-1", "MIG-2", "GPU-bbbb-2", "MIG-3"]


def test_without_nvidia_smi_or_with_one_that_fails_there_are_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, tmp_path, "echo 'GPU 0: broken (UUID: GPU-x)'; exit 9")
    assert visible_gpus() == []
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert visible_gpus() == []
    with one_gpu("auto") as gpu:
        assert gpu is None


def hold(folder: str, found: multiprocessing.Queue[Held]) -> None:
    tempfile.tempdir = folder
    with one_gpu("auto") as gpu:
        found.put((os.getpid(), gpu, os.environ.get("CUDA_VISIBLE_DEVICES")))
        signal.pause()


def test_each_process_has_a_gpu_of_its_own_and_a_killed_one_leaves_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    context = multiprocessing.get_context("fork")
    found: multiprocessing.Queue[Held] = context.Queue()
    processes = [context.Process(target=hold, args=(str(tmp_path), found)) for _ in GPUS]
    for process in processes:
        process.start()
    held = [found.get(timeout=60) for _ in GPUS]
    assert sorted(str(gpu) for _, gpu, _ in held) == GPUS
    assert all(gpu == visible for _, gpu, visible in held)
    with one_gpu("cuda") as gpu:  # none is free
        assert gpu in GPUS
        assert "all 3 GPUs are taken by other jobs" in caplog.text
    killed = processes[1]
    killed.kill()
    killed.join()
    with one_gpu("cuda") as gpu:
        assert [gpu] == [other for pid, other, _ in held if pid == killed.pid]
    for process in processes:
        process.kill()
        process.join()


def test_what_others_are_left_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2")
    with one_gpu("auto") as first, one_gpu("auto") as nested:
        # The second sees one only: its own process has chosen.
        assert (first, nested) == ("1", None)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1,2"


@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
def test_a_device_that_is_named_is_taken_as_it_is(device: str) -> None:
    with one_gpu(device) as gpu:
        assert gpu is None
        assert "CUDA_VISIBLE_DEVICES" not in os.environ
