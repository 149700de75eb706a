"""Kill the workflow and its jobs at random moments, and compare what it makes in the end.

    python -m tests.faults --moments 50 --random-state 0

Runs the tiny experiment undisturbed, then again and again with kills (SIGKILL) in between: of a
training job, a metrics job or another one, of the workflow alone, and of everything. After each
kill it is unlocked and called again, and in the end all results must be those of the undisturbed
run. Prints a line a moment, a line a run, and a verdict; takes one to two minutes a run of
`--moments-per-run` on two quiet cores.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.faults.comparison import differences
from tests.faults.kills import Disturbed, draw_moments, seconds_of_stages
from tests.support.workflow_project import Project


def main() -> int:
    """Kill as the options say; return 0 if nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moments", type=int, default=50, help="kills in all (default: 50)")
    parser.add_argument("--moments-per-run", type=int, default=5, help="of one run (default: 5)")
    parser.add_argument("--random-state", type=int, default=0, help="seed of the moments")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="faults-"))
    print(f"in {folder}, random state {options.random_state}", flush=True)
    undisturbed = undisturbed_run(folder / "undisturbed")
    seconds = seconds_of_stages(undisturbed.folder / "results")
    rng = random.Random(options.random_state)
    done, bad, runs = 0, 0, 0
    while done < options.moments:
        n = min(options.moments_per_run, options.moments - done)
        project = Project(folder / f"run-{runs}")
        copy_sources(undisturbed.folder, project.folder)
        run = Disturbed(project, seconds, folder / f"run-{runs}.log")
        for moment in draw_moments(n, rng):
            killed = run.kill_at(moment)
            if killed is None:
                print(f"       the run ended before {moment}", flush=True)
                break
            done += 1
            print(f"  {done:3}  {killed}", flush=True)
        run.finish()
        told = differences(project.folder / "results", undisturbed.folder / "results")
        bad += bool(told)
        runs += 1
        print(f"run {runs}: " + ("DIFFERENT" if told else "the same results"), *told, sep="\n    ")
        sys.stdout.flush()
        if not told:
            shutil.rmtree(project.folder)
    verdict = f"{bad} runs end in OTHER results" if bad else "every run ends in the same results"
    print(f"{done} moments in {runs} runs: {verdict}")
    return 1 if bad else 0


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
