"""Run benchmarks one after another, each in a process of its own and for a limited time.

    python -m benchmarks                      all of them: speed first, then rates
    python -m benchmarks workflow metrics     these
    python -m benchmarks --minutes 30 claims  with another limit

What a benchmark prints stands under its name. One that takes longer than the limit is ended there,
and what it has printed so far counts. `make bench` takes two hours at most, and usually one.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

# In the order in which they are run. Rates are of many simulations, of which a limited time allows
# few; docs say with how many they were found.
SPEED = ("workflow", "metrics", "reading", "training", "hmm", "scale", "recording")
RATES = ("placing", "forks", "false_positives", "claims")
MINUTES = 11.0


def run(command: Sequence[str], minutes: float) -> str | None:
    """Run a command, and end it and what it started after so many minutes.

    Returns:
        What a reader must know of its end; None of a good one.

    Raises:
        subprocess.CalledProcessError: if it failed.
    """
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            status = process.wait(60 * minutes)
        except subprocess.TimeoutExpired:
            return f"ended after {minutes:g} minutes"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    if status:
        raise subprocess.CalledProcessError(status, command)
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks that are asked for; returns 1 if one of them failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", nargs="*", help=f"any of {', '.join(SPEED + RATES)}")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="limit for each part")
    options = parser.parse_args(arguments)
    unknown = set(options.part) - {*SPEED, *RATES}
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    failed = []
    for part in options.part or (*SPEED, *RATES):
        print(f"## {part}\n", flush=True)
        try:
            end = run([sys.executable, "-m", f"benchmarks.bench_{part}"], options.minutes)
        except subprocess.CalledProcessError as error:
            failed.append(part)
            end = f"failed with status {error.returncode}"
        if end is not None:
            print(f"\n{part}: {end}\n", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
