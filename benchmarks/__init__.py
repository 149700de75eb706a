"""What backs every claim about speed, and about rates: `python -m benchmarks` prints all tables.

Each `bench_*.py` is a benchmark of its own (`python -m benchmarks.bench_training`). Whatever is
compared is timed in the same process; times are medians unless a column says otherwise.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version


def median_seconds(function: Callable[[], object], repeats: int = 5, warm_up: bool = True) -> float:
    """The median wall-clock seconds of `repeats` calls, after one that is not counted."""
    if warm_up:
        function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def versions(*packages: str) -> str:
    """The versions of Python and of `packages`, and the machine's cores, in one line."""
    named = [f"{package} {version(package)}" for package in packages]
    return ", ".join([f"Python {platform.python_version()}", *named, f"{os.cpu_count()} cores"])


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table."""
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")
    print()
