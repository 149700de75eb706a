"""Kill the workflow and its jobs at random moments, and compare what it makes in the end.

    python -m tests.faults --moments 50 --random-state 0

Runs the tiny experiment undisturbed, then again and again with kills (SIGKILL) in between: of a
training job, a metrics job or another one, of the workflow alone, and of everything. After each
kill it is unlocked and called again, and in the end all results must be those of the undisturbed
run. After each run one of the commands beside the workflow has its turn: place, watch, and training
with a library's callback. Prints a line a moment, a line a run, and a verdict; takes one to two
minutes a run of `--moments-per-run` on two quiet cores.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections import Counter
from itertools import cycle
from pathlib import Path

from tests.faults.beside import commands
from tests.faults.comparison import differences
from tests.faults.kills import Disturbed, draw_moments, seconds_of_stages
from tests.support.workflow_project import Project

BESIDE = 3
"""Of how many moments a command beside the workflow has one."""


def main() -> int:
    """Kill as the options say; return 0 if nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moments", type=int, default=50, help="kills in all (default: 50)")
    parser.add_argument("--moments-per-run", type=int, default=6, help="of one run (default: 6)")
    parser.add_argument("--random-state", type=int, default=0, help="seed of the moments")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="faults-"))
    print(f"in {folder}, random state {options.random_state}", flush=True)
    undisturbed = undisturbed_run(folder / "undisturbed")
    seconds = seconds_of_stages(undisturbed.folder / "results")
    others = cycle(commands(undisturbed, folder / "beside"))
    rng = random.Random(options.random_state)
    killed: Counter[str] = Counter()
    bad, runs = 0, 0
    while killed.total() < options.moments:
        n = min(options.moments_per_run, options.moments - killed.total())
        project = Project(folder / f"run-{runs}")
        copy_sources(undisturbed.folder, project.folder)
        run = Disturbed(project, seconds, folder / f"run-{runs}.log")
        for moment in draw_moments(n - n // BESIDE, rng):
            stage = run.kill_at(moment)
            if stage is None:
                print(f"       the run ended before {moment}", flush=True)
                break
            killed[stage] += 1
            where = f"{moment.victim} in {stage} after {moment.delay:.2f} of it"
            print(f"  {killed.total():3}  {where}", flush=True)
        run.finish()
        told = differences(project.folder / "results", undisturbed.folder / "results")
        if not told:
            shutil.rmtree(project.folder)
        bad += verdict(f"run {runs}", told)
        if n // BESIDE:
            other = next(others)
            times, told = other.killed(n // BESIDE, f"run-{runs}", rng)
            killed[other.name] += times
            bad += verdict(f"{other.name}, killed {times} times", told)
        runs += 1
    print(", ".join(f"{stage} {times}" for stage, times in killed.most_common()))
    end = f"{bad} end in OTHER results" if bad else "every run ends in the same results"
    print(f"{killed.total()} moments in {runs} runs: {end}")
    return 1 if bad else 0


def verdict(name: str, told: list[str]) -> bool:
    """Say how a run ended; returns whether it is different."""
    print(f"{name}: " + ("DIFFERENT" if told else "the same results"), *told, sep="\n    ")
    sys.stdout.flush()
    return bool(told)


def undisturbed_run(folder: Path) -> Project:
    """The tiny experiment, run to its end; it saves its state of training at every checkpoint."""
    project = Project.new(folder)
    project.edit("python/training_maps/training/resume.py", "SAVE_EVERY = 30.0", "SAVE_EVERY = 0.0")
    # Slower, so that moments fall into training and not only into its start.
    project.edit(
        "python/training_maps/training/side_by_side.py",
        "        if not self._checked:\n",
        "        __import__('time').sleep(0.005)\n        if not self._checked:\n",
    )
    project.run()
    return project


def copy_sources(source: Path, target: Path) -> None:
    """A project without its results."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("results", ".snakemake"))


if __name__ == "__main__":
    sys.exit(main())
