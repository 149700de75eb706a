"""Clocks that were set back: results from the future count as old, so as not to pass for fresh.

Whether a result is older than what it is made of is judged by the times of both. A result that was
made while the clock was ahead would seem newer than whatever is made until then, and would never be
made again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from training_maps.runs.checkpoints import FOLDER

# Clocks of a machine and of its file server may differ by so much.
TOLERANCE = 60.0
_LONG_AGO = 10 * 365 * 86_400.0
# Snakemake's note in a folder that is a result: when it was made.
_STAMP = ".snakemake_timestamp"


def count_as_old(results: str | os.PathLike[str], now: float | None = None) -> str | None:
    """Give the result files whose times are in the future times long ago, in the same order.

    What was made of them still counts as newer than they are, and so does everything made since the
    clock was set back: at worst something is made again that need not be.

    Args:
        results: the folder of all results.
        now: seconds since the epoch (default: the time it is).

    Returns:
        What was found, in a sentence or two; None if there is nothing from the future.
    """
    now = time.time() if now is None else now
    future = _from_the_future(results, now)
    if not future:
        return None
    shift = max(future.values()) - (now - _LONG_AGO)
    for path, found in future.items():
        with suppress(OSError):  # removed just now, or in a folder in which nothing is made either
            os.utime(path, (found - shift, found - shift))
    return (
        f"{_told(future, now)} The {len(future)} files made meanwhile count as old from now on; "
        "what has to be made again because of it will be, by the next run."
    )


def look_ahead(results: str | os.PathLike[str], now: float | None = None) -> str | None:
    """Tell of result files whose times are in the future; nothing is changed.

    Args:
        results: the folder of all results.
        now: seconds since the epoch (default: the time it is).

    Returns:
        What was found, in a sentence or two; None if there is nothing from the future.
    """
    now = time.time() if now is None else now
    future = _from_the_future(results, now)
    if not future:
        return None
    return (
        f"{_told(future, now)} The {len(future)} files made meanwhile pass for fresh until a run "
        "makes something: then they count as old."
    )


def _from_the_future(results: str | os.PathLike[str], now: float) -> dict[Path, float]:
    return {path: found for path, found in _times(Path(results)) if found > now + TOLERANCE}


def _told(future: Mapping[Path, float], now: float) -> str:
    """Which file is the latest of those from the future, and what that means."""
    latest = max(future, key=future.__getitem__)
    then, today = (
        time.strftime("%Y-%m-%d %H:%M", time.localtime(at)) for at in (future[latest], now)
    )
    return (
        f"{latest} was made at {then}, and it is {today} now: a clock was ahead, and was set back."
    )


def _times(results: Path) -> Iterator[tuple[Path, float]]:
    """Files below the folder with the times of their last change; of checkpoints' folders, one."""
    for folder, below, names in os.walk(results):
        if Path(folder).name == FOLDER:
            below.clear()
            names = [name for name in names if name == _STAMP]
        for name in names:
            path = Path(folder, name)
            try:
                yield path, path.stat().st_mtime
            except OSError:  # removed just now
                continue
