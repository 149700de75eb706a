"""One process at a time writes a run: a second one is refused, with a message that names the first.

Snakemake locks the folder that it is started in. That does not keep a job that outlived a killed
workflow, a command typed by hand, or a workflow started elsewhere from the same runs.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from training_maps.utils.errors import InputError


@contextmanager
def only_writer(runs: Path, seeds: Iterable[int]) -> Iterator[None]:
    """In this context, no other process that asks for the same may write runs of `seeds`.

    A file `.seed-SEED.lock` is there meanwhile, and the system holds a lock on it. What a killed
    process leaves is an unlocked file, which refuses nobody. Where the file system knows no locks,
    nobody is refused.

    Raises:
        InputError: if another process is at one of the runs; its number and machine are named.
    """
    with ExitStack() as held:
        for seed in sorted(set(seeds)):
            held.enter_context(_held(runs / f".seed-{seed}.lock", seed))
        yield


@contextmanager
def _held(path: Path, seed: int) -> Iterator[None]:
    """Hold the lock file of one run, and remove it in the end."""
    handle = _locked(path, seed)
    try:
        with suppress(OSError):  # a full disk is reported by what writes results
            os.ftruncate(handle, 0)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        os.close(handle)


def _locked(path: Path, seed: int) -> int:
    """An open and locked file at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 200).decode(errors="replace") or "another process"
            os.close(handle)
            raise InputError(
                f"{path.parent}: the run of seed {seed} is being written by {holder}. Wait until "
                "it ends, or end it, and run the command again: unfinished work is resumed"
            ) from None
        except OSError:
            return handle
        if os.fstat(handle).st_nlink:  # else its holder has finished just now, and removed it
            return handle
        os.close(handle)
