"""The GPUs of this machine, one a job: which may be used, which are free, and a lock on the taken.

Jobs of a workflow run side by side, and CUDA would put all of them on the first GPU. Each therefore
takes a lock on one and sees that one alone. Whose jobs they are does not matter, but for locks of
other users, which are theirs: they are kept off a GPU by CUDA_VISIBLE_DEVICES, as SLURM does it.
Nothing here imports torch.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger("training_maps")

_VISIBLE = "CUDA_VISIBLE_DEVICES"


@contextmanager
def one_gpu(device: str) -> Iterator[str | None]:
    """In this context the process sees one GPU, which no other process that asks so has.

    Where there is only one, or none, nothing is done. Where all are taken, one is shared, and that
    is said. It has to be entered before CUDA is first used.

    Args:
        device: what training is told: "auto" or "cuda"; with any other, nothing is done.

    Yields:
        The GPU as CUDA_VISIBLE_DEVICES names it, or None if nothing was done.
    """
    gpus = visible_gpus() if device in ("auto", "cuda") else []
    if len(gpus) < 2:
        yield None
        return
    taken = next(filter(None, (_locked(gpu) for gpu in gpus)), None)
    if taken is None:
        gpu, handle = gpus[os.getpid() % len(gpus)], None
        logger.warning("all %d GPUs are taken by other jobs; this one shares %s", len(gpus), gpu)
    else:
        gpu, handle = taken
        logger.info("on GPU %s, one of %d", gpu, len(gpus))
    before = os.environ.get(_VISIBLE)
    os.environ[_VISIBLE] = gpu
    try:
        yield gpu
    finally:
        if before is None:
            del os.environ[_VISIBLE]
        else:
            os.environ[_VISIBLE] = before
        if handle is not None:
            os.close(handle)  # and with it the lock


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, by what CUDA_VISIBLE_DEVICES calls them.

    Without that variable they are all of the machine, by their UUIDs: numbers are in another order
    for CUDA than for its tools.
    """
    named = os.environ.get(_VISIBLE)
    gpus: list[str] = []
    if named is None:
        for name in re.findall(r"\(UUID: ([^)\s]+)\)", _listing()):
            # The parts of a GPU that is divided (MIG) are listed after it; they take its place.
            if name.startswith("MIG-") and gpus and not gpus[-1].startswith("MIG-"):
                gpus.pop()
            gpus.append(name)
        return gpus
    for name in map(str.strip, named.split(",")):
        if not name or name.startswith("-"):
            break  # as CUDA reads it: what is invalid ends the list
        gpus.append(name)
    return gpus


def _listing() -> str:
    """What nvidia-smi lists; empty where there is none."""
    try:
        listed = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return listed.stdout if listed.returncode == 0 else ""


def _locked(gpu: str) -> tuple[str, int] | None:
    """The GPU and a handle that holds its lock, or None if another process has it."""
    name = re.sub(r"[^A-Za-z0-9-]", "_", gpu)
    path = Path(tempfile.gettempdir()) / f"training-maps-{os.getuid()}-gpu-{name}.lock"
    # Its file stays: two processes that made and removed it could each hold a lock of the name.
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return gpu, handle
