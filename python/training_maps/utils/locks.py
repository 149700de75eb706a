"""One process at a time writes a run, and one workflow an experiment; a second one is refused.

Snakemake locks the folder that it is started in. That does not keep a job that outlived a killed
workflow, a command typed by hand, or a workflow started elsewhere from the same results.
"""

from __future__ import annotations

import atexit
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


def hold_results(results: Path, experiments: Iterable[str], folder: Path) -> None:
    """Let no workflow of another folder write the results of `experiments` while this process runs.

    Two would remove each other's files: Snakemake removes what a job is to make before it begins,
    and when it fails. Those of one folder Snakemake tells apart itself, file by file.

    Args:
        results: the folder of all results.
        experiments: those that are about to be made, in part at least.
        folder: the one that this workflow was started in.

    Raises:
        InputError: if a workflow of another folder is at one of them; it is named.
    """
    with ExitStack() as held:
        for experiment in sorted(set(experiments)):
            path = results / experiment / ".workflow.lock"
            handle, holder = _try(path)
            place, here = holder.partition(" in ")[2], str(folder.resolve())
            if handle is None and place != here:
                raise InputError(
                    f"{path.parent}: results are being written there by another workflow, "
                    f"{holder}. Wait until it ends, or end it, or name another folder (`results` "
                    "in config.yaml)"
                )
            if handle is not None:
                held.enter_context(_released(path, handle))
                _say(handle, f"process {os.getpid()} on {socket.gethostname()} in {here}")
        atexit.register(held.pop_all().close)


@contextmanager
def _held(path: Path, seed: int) -> Iterator[None]:
    """Hold the lock file of one run, and remove it in the end."""
    handle, holder = _try(path)
    if handle is None:
        raise InputError(
            f"{path.parent}: the run of seed {seed} is being written by {holder}. Wait until "
            "it ends, or end it, and run the command again: unfinished work is resumed"
        )
    with _released(path, handle):
        _say(handle, f"process {os.getpid()} on {socket.gethostname()}")
        yield


@contextmanager
def _released(path: Path, handle: int) -> Iterator[None]:
    """Remove a lock file in the end, and let go of it."""
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        os.close(handle)


def _say(handle: int, who: str) -> None:
    """Write who holds a lock into its file."""
    with suppress(OSError):  # a full disk is reported by what writes results
        os.ftruncate(handle, 0)
        os.write(handle, who.encode())


def _try(path: Path) -> tuple[int | None, str]:
    """An open and locked file at `path`, or None and who holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 5000).decode(errors="replace") or "another process"
            os.close(handle)
            return None, holder
        except OSError:
            return handle, ""
        if os.fstat(handle).st_nlink:  # else its holder has finished just now, and removed it
            return handle, ""
        os.close(handle)
