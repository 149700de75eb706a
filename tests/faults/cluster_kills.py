"""Kills jobs, daemons and the workflow on a SLURM at moments that are drawn at random."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import ClassVar

import psutil

from tests.faults.kills import Disturbed, Moment, stage_of
from tests.slurm.conftest import Cluster

VICTIMS = {
    "command": 4, "job": 3, "cancelled": 4, "requeued": 2, "preempted": 2, "workflow": 4,
    "controller": 1, "node": 1,
}  # fmt: skip
"""What is killed, and how often: a job's command alone (SIGKILL), or all its processes; a job by
scancel, by a requeue, or by one that goes first; Snakemake, whose jobs are then cancelled, as the
documentation says; SLURM's controller, and a node's daemon, both of which are started again."""
AROUND = 3.0
"""Seconds that Snakemake takes around a command in a job, into which moments fall too."""
GONE = 5.0
"""Seconds for which the controller is away."""
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "PREEMPTED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")


@dataclass
class DisturbedOnCluster(Disturbed):
    """A project whose jobs and daemons are killed while its workflow goes on, or killed as well.

    Attributes:
        cluster: where it runs.
        hit: the jobs that something was done to.
    """

    cluster: Cluster = field(kw_only=True)
    hit: set[str] = field(default_factory=set)
    look_every: ClassVar[float] = 0.3
    workflow: subprocess.Popen[str] | None = None

    def kill_at(self, moment: Moment) -> str | None:
        """Run the workflow on until `moment`, and kill; the stage, or None if it ended before."""
        if self.workflow is None:
            self.workflow = self.start()
        while found := self._wait_for(self.workflow, moment):
            stage, pid = found
            job = self._jobs().get(pid)
            time.sleep(moment.delay * (self.seconds.get(stage, 1.0) + AROUND))
            if job in self._jobs().values() and self._kill(moment.victim, job, pid):
                return stage
        self.workflow = None
        return None

    def finish(self) -> str:
        """Let the workflow end, as it may after so many kills; then as without SLURM."""
        if self.workflow is not None:
            self.end_of(self.workflow)
            self.workflow = None
        return super().finish()

    def failed_by_themselves(self) -> list[str]:
        """The jobs that failed though nothing was done to them, each with what became of it."""
        return [
            f"{job['JobId']} ({job['Comment']}): {job['JobState']}, see {job['StdOut']}"
            for job in self.cluster.jobs(self.project)
            if job["JobState"] != "COMPLETED" and job["JobId"] not in self.hit
        ]

    def jobs(self, workflow: subprocess.Popen[str]) -> dict[int, psutil.Process]:
        """The processes of the package that are part of a job now, whichever call submitted it."""
        found = {}
        for pid in self._jobs():
            with contextlib.suppress(psutil.NoSuchProcess):  # it has ended just now
                found[pid] = psutil.Process(pid)
        return {pid: process for pid, process in found.items() if stage_of(process)}

    def _jobs(self) -> dict[int, str]:
        return self.cluster.slurm.in_jobs()

    def _kill(self, victim: str, job: str, pid: int) -> bool:
        """Do to a job, or to what watches over it, what `victim` says; whether it was there."""
        slurm = self.cluster.slurm
        if victim == "controller":
            slurm.stop_controller()
            time.sleep(GONE)
            slurm.start_controller()
        elif victim == "node":
            slurm.kill_and_start_node(slurm.nodes[0])
        elif victim == "workflow":
            self._kill_workflow()
        elif victim == "command":
            return self._kill_processes(job, [pid])
        elif victim == "job":
            return self._kill_processes(job, [n for n, its in self._jobs().items() if its == job])
        elif victim == "preempted":
            self.hit |= self._running()
            self.cluster.preempt(self.project)
        else:
            self.hit.add(job)
            how = {"cancelled": ["scancel"], "requeued": ["scontrol", "requeue"]}[victim]
            return subprocess.run([*how, job], capture_output=True).returncode == 0
        return True

    def _kill_processes(self, job: str, numbers: list[int]) -> bool:
        self.hit.add(job)
        killed = 0
        for number in numbers:
            with contextlib.suppress(ProcessLookupError):  # it has ended just now
                os.kill(number, signal.SIGKILL)
                killed += 1
        return killed > 0

    def _kill_workflow(self) -> None:
        """Kill Snakemake, and cancel the jobs that it leaves."""
        assert self.workflow is not None
        os.killpg(self.workflow.pid, signal.SIGKILL)
        self.workflow.wait()
        self.workflow = None
        if left := self._running():
            self.hit |= left
            subprocess.run(["scancel", *sorted(left)], check=True)

    def _running(self) -> set[str]:
        """The jobs that have not ended."""
        jobs = self.cluster.jobs(self.project)
        return {job["JobId"] for job in jobs if job["JobState"] not in ENDED}

    def _call(self, *arguments: str) -> subprocess.Popen[str]:
        with self.log.open("w") as log:
            return self.cluster.start(self.project, *arguments, stdout=log)
