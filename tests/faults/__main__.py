"""Kill the workflow and its jobs at random moments, and compare what it makes in the end.

    python -m tests.faults --moments 50 --random-state 0
    python -m tests.faults --moments 20 --random-state 0 --slurm

Runs the tiny experiment undisturbed, then again and again with kills (SIGKILL) in between: of a
training job, a metrics job or another one, of the workflow alone, and of everything. After each
kill it is unlocked and called again, and in the end all results must be those of the undisturbed
run. After each run one of the commands beside the workflow has its turn: place, watch, and training
with a library's callback. Through SLURM, which takes what the tests on it take, jobs are cancelled,
requeued and preempted too, and daemons killed (`cluster_kills.py`). Prints a line a moment, a line
a run, and a verdict; takes one to two minutes a run of `--moments-per-run` on two quiet cores, and
ten through SLURM.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

from tests.faults import cluster_kills, kills
from tests.faults.beside import commands
from tests.faults.cluster_kills import DisturbedOnCluster
from tests.faults.comparison import differences
from tests.faults.kills import Disturbed, draw_moments, seconds_of_stages
from tests.slurm.conftest import FAULTS, Cluster, running
from tests.slurm.small_slurm import unavailable
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
    parser.add_argument("--undisturbed", type=Path, help="that of an earlier call, to spare time")
    parser.add_argument("--slurm", action="store_true", help="through a SLURM of this machine")
    options = parser.parse_args()
    if options.slurm and (reason := unavailable(with_accounting=True)):
        sys.exit(f"No SLURM can be started here: {reason}")
    folder = options.folder or Path(tempfile.mkdtemp(prefix="faults-"))
    print(f"in {folder}, random state {options.random_state}", flush=True)
    undisturbed = (
        Project(options.undisturbed)
        if options.undisturbed
        else undisturbed_run(folder / "undisturbed")
    )
    others = None if options.slurm else cycle(commands(undisturbed, folder / "beside"))
    rng = random.Random(options.random_state)
    killed: Counter[str] = Counter()
    bad, runs = 0, 0
    with disturbing(undisturbed, options.slurm) as (disturbed, victims):
        while killed.total() < options.moments:
            n = min(options.moments_per_run, options.moments - killed.total())
            beside = n // BESIDE if others else 0
            run = disturbed(Project(folder / f"run-{runs}"), folder / f"run-{runs}.log")
            bad += kill(run, draw_moments(n - beside, rng, victims), killed, undisturbed)
            if others and beside:
                other = next(others)
                times, told = other.killed(beside, f"run-{runs}", rng)
                killed[other.name] += times
                bad += verdict(f"{other.name}, killed {times} times", told)
            runs += 1
    print(", ".join(f"{stage} {times}" for stage, times in killed.most_common()))
    end = f"{bad} end in OTHER results" if bad else "every run ends in the same results"
    print(f"{killed.total()} moments in {runs} runs: {end}")
    return 1 if bad else 0


@contextmanager
def disturbing(
    undisturbed: Project, through_slurm: bool
) -> Iterator[tuple[Callable[[Project, Path], Disturbed], Mapping[str, int]]]:
    """What makes of a project and its log one to disturb, and what may be killed there."""
    seconds = seconds_of_stages(undisturbed.folder / "results")
    if not through_slurm:
        yield lambda project, log: Disturbed(project, seconds, log), kills.VICTIMS
        return
    # Accounting answers while the controller is away. All else squeue must tell: with sacct, a job
    # that is cancelled is waited for for ever (docs/slurm.md).
    with running(nodes=1, with_accounting=True) as slurm:
        os.environ.update({name: slurm.environment[name] for name in ("SLURM_CONF", "PATH")})
        cluster = Cluster(slurm, "squeue")
        yield (
            lambda project, log: DisturbedOnCluster(project, seconds, log, cluster=cluster),
            cluster_kills.VICTIMS,
        )


def kill(
    run: Disturbed, moments: list[kills.Moment], killed: Counter[str], undisturbed: Project
) -> bool:
    """Kill one run at these moments, and let it end; returns whether its results are different."""
    project = run.project
    copy_sources(undisturbed.folder, project.folder)
    for moment in moments:
        stage = run.kill_at(moment)
        if stage is None:
            print(f"       the run ended before {moment}", flush=True)
            break
        killed[stage] += 1
        where = f"{moment.victim} in {stage} after {moment.delay:.2f} of it"
        print(f"  {killed.total():3}  {where}", flush=True)
    run.finish()
    told = differences(project.folder / "results", undisturbed.folder / "results")
    alone = run.failed_by_themselves()
    for line in alone:
        print(f"       failed, though nothing was done to it: {line}", flush=True)
    if not told and not alone:
        shutil.rmtree(project.folder)
    return verdict(project.folder.name, told)


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
    # Through SLURM: a preempted job starts again, and Snakemake looks at its jobs often.
    profile, setting = "profiles/slurm/config.yaml", "slurm-no-requeue: "
    project.edit(profile, f"{setting}true", f"{setting}false")
    shutil.copy(FAULTS, project.folder / "python/sitecustomize.py")
    project.run()
    return project


def copy_sources(source: Path, target: Path) -> None:
    """A project without its results."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("results", ".snakemake"))


if __name__ == "__main__":
    sys.exit(main())
