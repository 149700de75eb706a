"""What is slow to make is made once in a test run, by the worker that needs it first."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def build_once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], object]) -> Path:
    """A folder that all workers of this test run share. Who changes it changes a copy.

    Args:
        factory: pytest's of temporary folders.
        name: what the folder is called.
        build: fills the folder of this path, which is not there yet. Other workers wait meanwhile;
            if it fails, the next that needs the folder tries again.
    """
    shared = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / name
    whole = shared / f"{name}.built"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)
            build(folder)
            whole.touch()
    return folder
