"""Run all parts, most telling ones first, and print their verdicts; `--help` tells the options.

The exit status is 0 if all passed, 1 if one failed, and 2 if none failed but some were skipped.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import time
import traceback
from pathlib import Path

from benchmarks.gpu.checks import Part, add_line, lines

# By value, each with the seconds that it may take.
PARTS = {
    "environment": 20,
    "correctness": 75,
    "synchronisation": 25,
    "resnet": 75,
    "modular_addition": 200,
    "memory": 40,
    "profiling": 45,
    "perceptrons": 25,
}
_FEWEST_SECONDS = 10


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--device", default="cuda", help="cuda, or cpu for what a CPU can show")
    parser.add_argument("--toy", action="store_true", help="sizes for a CPU; speeds are not judged")
    parser.add_argument("--out", type=Path, default=Path("gpu"), help="folder for what it leaves")
    parser.add_argument("--seconds", type=float, default=480, help="for all parts together")
    parser.add_argument("--alone", action="store_true", help="one part, in this process")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.alone:
        _one(arguments)
        return 0
    return _all(arguments)


def _one(arguments: argparse.Namespace) -> None:
    """Run one part, and add its line."""
    (name,) = arguments.parts
    start = time.perf_counter()
    part = Part(name, arguments.device, arguments.toy, arguments.out, arguments.seconds)
    importlib.import_module(f"benchmarks.gpu.{name}").run(part)
    add_line({**part.line(), "seconds": round(time.perf_counter() - start, 1)}, arguments.out)


def _all(arguments: argparse.Namespace) -> int:
    """Run parts one after another, each in a process of its own, while there is time."""
    (arguments.out / "gpu.jsonl").unlink(missing_ok=True)
    end = time.monotonic() + arguments.seconds
    options = ["--device", arguments.device, *(["--toy"] if arguments.toy else [])]
    with (arguments.out / "log.txt").open("w", encoding="utf-8") as log:
        for name in arguments.parts or PARTS:
            left = end - time.monotonic()
            if left < _FEWEST_SECONDS:
                _lost(arguments.out, name, "SKIPPED", "no time is left")
                continue
            # A CPU that others use as well is given time.
            seconds = min((8 if arguments.toy else 1) * PARTS[name], left)
            print(f"{name}: at most {seconds:.0f} s", flush=True)
            log.write(f"\n== {name}\n")
            log.flush()
            call = [sys.executable, "-m", "benchmarks.gpu", name, "--alone", *options]
            call += ["--out", str(arguments.out), "--seconds", str(seconds)]
            before = len(lines(arguments.out))
            try:
                done = subprocess.run(
                    call, stdout=log, stderr=subprocess.STDOUT, timeout=seconds, check=False
                )
                why = f"it ended with status {done.returncode}; log.txt says more"
            except subprocess.TimeoutExpired:
                why = f"it took longer than {seconds:.0f} s"
            if len(lines(arguments.out)) == before:
                _lost(arguments.out, name, "FAIL", why)
    return _verdicts(arguments.out)


def _lost(out: Path, name: str, verdict: str, why: str) -> None:
    """The line of a part that left none itself."""
    add_line({"part": name, "verdict": verdict, "checks": [], "numbers": {}, "why": why}, out)


def _verdicts(out: Path) -> int:
    """Print the table, and return the exit status."""
    rows = []
    for line in lines(out):
        if not line["checks"]:
            rows.append((line["part"], "", line["verdict"], line["why"]))
        for check in line["checks"]:
            told = check.get("why") or f"{check['value']:g} ({check['limit']})"
            if not check.get("control_found", True):
                told += f"; a planted fault is not found: {check['control']}"
            rows.append((line["part"], check["check"], check["verdict"], told))
    widths = [max(len(str(row[column])) for row in rows) for column in range(3)]
    print()
    for row in rows:
        print("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=False)),
              row[3], sep="  ")  # fmt: skip
    verdicts = [line["verdict"] for line in lines(out)]
    print()
    for line in lines(out):
        numbers = ", ".join(f"{name} {value}" for name, value in line["numbers"].items())
        print(f"{line['verdict']:8}{line['part']}" + (f": {numbers}" if numbers else ""))
    return 1 if "FAIL" in verdicts else 2 if "SKIPPED" in verdicts else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Exception:
        traceback.print_exc()
        sys.exit(1)
