"""Run every benchmark, one after another, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

for file in sorted(Path(__file__).parent.glob("bench_*.py")):
    print(f"## {file.stem.removeprefix('bench_')}\n", flush=True)
    subprocess.run([sys.executable, "-m", f"benchmarks.{file.stem}"], check=True)
