"""Kills parts of a running workflow at moments that are drawn at random."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, NoReturn

import psutil

from tests.support.workflow_project import Project

# How often a moment falls into a stage: into the two that the rest stands on more often.
STAGES = {"train": 6, "metrics": 5, "other": 9}
VICTIMS = {"job": 1, "workflow": 1, "everything": 1}
"""What is killed, and how often."""
PATIENCE = 1800.0
"""Seconds after which a workflow in which no job begins waits for ever, on a busy machine too."""


@dataclass(frozen=True)
class Moment:
    """When something is killed, and what.

    Attributes:
        stage: a job of this stage, or a later one, is waited for: train, metrics, or other.
        count: the so manieth such job that starts.
        delay: how far into that job, as a share of what it takes undisturbed.
        victim: the job alone; the workflow alone, so that its jobs go on without it; or everything,
            as when a machine fails. Through SLURM there are others (cluster_kills.py).
    """

    stage: str
    count: int
    delay: float
    victim: str


def draw_moments(n: int, rng: random.Random, victims: Mapping[str, int] = VICTIMS) -> list[Moment]:
    """`n` moments of one run, in the order in which its stages come."""
    stages = rng.choices(list(STAGES), list(STAGES.values()), k=n)
    return [
        Moment(
            stage,
            rng.randint(1, {"train": 1, "metrics": 2, "other": 4}[stage]),
            rng.random(),
            *rng.choices(list(victims), list(victims.values())),
        )
        for stage in sorted(stages, key=list(STAGES).index)
    ]


@dataclass
class Disturbed:
    """A project whose workflow is killed, and called again."""

    project: Project
    seconds: dict[str, float]
    log: Path
    orphans: list[psutil.Process] = field(default_factory=list)
    look_every: ClassVar[float] = 0.05

    def kill_at(self, moment: Moment) -> str | None:
        """Run the workflow until `moment`, and kill; the stage, or None if it ended before.

        When it returns, the workflow is over, but its jobs may not be. Where a job of an earlier
        call still trains, and so keeps this one from it, it is waited for.
        """
        workflow = self.start()
        job = self._wait_for(workflow, moment)
        if job is None and self.end_of(workflow) and self._is_refused():
            psutil.wait_procs(self.orphans)
            workflow = self.start()
            job = self._wait_for(workflow, moment)
        if job is None:
            self.end_of(workflow)
            return None
        stage, pid = job
        time.sleep(moment.delay * self.seconds.get(stage, 1.0))
        if moment.victim == "job":
            with contextlib.suppress(ProcessLookupError):  # it has ended just now
                os.kill(pid, signal.SIGKILL)
        elif moment.victim == "workflow":
            self.orphans += jobs_of(workflow.pid).values()
            workflow.kill()
        else:
            os.killpg(workflow.pid, signal.SIGKILL)
        self.end_of(workflow)
        return stage

    def finish(self) -> str:
        """Call the workflow as the documentation says, until it ends well; return what it said."""
        for _ in range(3):
            workflow = self.start()
            if self.end_of(workflow) == 0:
                return self.log.read_text()
            if not self._is_refused():
                break
            # A job of the killed workflow still trains: it is waited for, as the message says.
            psutil.wait_procs(self.orphans)
        raise AssertionError(f"the workflow does not end well:\n{self.log.read_text()}")

    def end_of(self, workflow: subprocess.Popen[str]) -> int:
        """Wait for the end of a workflow, and return its exit status."""
        try:
            return workflow.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._give_up(workflow)

    def _give_up(self, workflow: subprocess.Popen[str]) -> NoReturn:
        """End a workflow in which nothing happens any more, and say so."""
        os.killpg(workflow.pid, signal.SIGKILL)
        workflow.wait()
        raise AssertionError(f"the workflow waits for ever:\n{self.log.read_text()}")

    def failed_by_themselves(self) -> list[str]:
        """The jobs that failed though nothing was done to them; they are not told apart here."""
        return []

    def _is_refused(self) -> bool:
        return "is being written by process" in self.log.read_text()

    def start(self) -> subprocess.Popen[str]:
        """Call the workflow, unlocked if it must be; what it says goes to the log."""
        if list((self.project.folder / ".snakemake").glob("locks/*")):
            self._call("--unlock").wait()
        return self._call("--rerun-incomplete")

    def _call(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
        with self.log.open("w") as log:  # not a pipe, which jobs left behind would keep open
            return self.project.start(*command, stdout=log)

    def jobs(self, workflow: subprocess.Popen[str]) -> dict[int, psutil.Process]:
        """The processes of the package that the workflow runs now, by number."""
        return jobs_of(workflow.pid)

    def _wait_for(self, workflow: subprocess.Popen[str], moment: Moment) -> tuple[str, int] | None:
        """The stage and process of the job that the moment is in; None if there is no such job."""
        seen: set[int] = set()
        latest = None
        latest_time = time.monotonic()
        while workflow.poll() is None:
            for pid, job in self.jobs(workflow).items():
                stage = stage_of(job)
                if stage and pid not in seen and _place(stage) >= _place(moment.stage):
                    seen.add(pid)
                    latest, latest_time = (stage, pid), time.monotonic()
            if latest and len(seen) >= moment.count:
                return latest
            if time.monotonic() - latest_time > PATIENCE:
                self._give_up(workflow)
            time.sleep(self.look_every)
        return None


def _place(stage: str) -> int:
    """Where a stage comes, as moments tell stages apart."""
    return list(STAGES).index(stage if stage in STAGES else "other")


def jobs_of(workflow: int) -> dict[int, psutil.Process]:
    """The processes of the package that a workflow runs now, by number."""
    try:
        below = psutil.Process(workflow).children(recursive=True)
    except psutil.NoSuchProcess:
        return {}
    return {process.pid: process for process in below if stage_of(process)}


def stage_of(process: psutil.Process) -> str:
    """The stage that a process computes, or "" if it is none of the package's."""
    try:
        command = process.cmdline()
    except psutil.Error:
        return ""
    for place, word in enumerate(command[:3]):
        if Path(word).name == "training-maps" and place + 1 < len(command):
            return command[place + 1]
    return ""


def seconds_of_stages(results: Path) -> dict[str, float]:
    """How long a job of each stage took, from what the workflow noted of an undisturbed run."""
    found = {}
    for file in results.rglob("benchmarks/**/*.jsonl"):
        stage = file.relative_to(results).parts[
            file.relative_to(results).parts.index("benchmarks") + 1
        ]
        name = Path(stage).stem.split("_")[0] if stage.startswith("train_") else Path(stage).stem
        found[name] = float(json.loads(file.read_text().splitlines()[-1])["s"])
    return found
