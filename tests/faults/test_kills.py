"""Random kills reach what they say, and nothing else: on stand-ins for a workflow and a SLURM."""

import contextlib
import os
import random
import subprocess
import sys
import time

import pytest

from tests.faults import cluster_kills, kills
from tests.faults.cluster_kills import DisturbedOnCluster
from tests.faults.kills import Moment, draw_moments
from tests.support.workflow_project import Project


def test_moments_are_drawn_again_by_the_same_seed_and_in_the_order_of_stages():
    drawn = draw_moments(300, random.Random(3), cluster_kills.VICTIMS)
    assert drawn == draw_moments(300, random.Random(3), cluster_kills.VICTIMS)
    stages = [moment.stage for moment in drawn]
    assert stages == sorted(stages, key=list(kills.STAGES).index)
    assert set(stages) == set(kills.STAGES)
    assert {moment.victim for moment in drawn} == set(cluster_kills.VICTIMS)
    assert {moment.victim for moment in draw_moments(50, random.Random(3))} == set(kills.VICTIMS)


class Cluster:
    """Jobs 7 and 8 of two processes each, all at the stage `metrics`; what is called is noted."""

    def __init__(self, folder):
        self.program, self.notes = folder / "training-maps", folder / "called"
        self.program.write_text("import time\ntime.sleep(600)\n")
        self.processes = [("7", self.start()), ("7", self.start()), ("8", self.start())]
        (folder / "bin").mkdir()
        for name in ("scancel", "scontrol"):
            tool = folder / "bin" / name
            tool.write_text(f'#!/bin/sh\necho {name} "$@" >> "{self.notes}"\n')
            tool.chmod(0o755)
        self.slurm, self.nodes = self, ["node1"]

    def start(self, *_, **__):
        command = [sys.executable, str(self.program), "metrics"]
        return subprocess.Popen(command, start_new_session=True)

    def in_jobs(self):
        return {each.pid: job for job, each in self.processes if each.poll() is None}

    def jobs(self, _):
        states = {job: "FAILED" for job, _ in self.processes}
        states |= dict.fromkeys(self.in_jobs().values(), "RUNNING")
        return [
            {"JobId": job, "JobState": state, "Comment": "a rule", "StdOut": "a log"}
            for job, state in states.items()
        ]

    def left(self, expected):
        """Whose processes there still are; those that were killed are waited for, on a busy machine
        longer than on another."""
        deadline = time.monotonic() + 20
        while True:
            for _, each in self.processes:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    each.wait(0.3)
            found = sorted(self.in_jobs().values())
            if found == expected or time.monotonic() > deadline:
                return found

    def called(self):
        return self.notes.read_text().splitlines() if self.notes.exists() else []

    def __getattr__(self, name):
        def note(*arguments):
            with self.notes.open("a") as notes:
                print(name, *arguments[-1:], file=notes)

        return note


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    cluster = Cluster(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(cluster_kills, "GONE", 0.0)
    yield cluster
    for _, process in cluster.processes:
        process.kill()
        process.wait()


@pytest.fixture
def run(cluster, tmp_path):
    run = DisturbedOnCluster(Project(tmp_path), {}, tmp_path / "log", cluster=cluster)
    yield run
    if run.workflow is not None:
        run.workflow.kill()
        run.workflow.wait()


@pytest.mark.parametrize(
    ("victim", "left", "called"),
    [
        ("command", ["7", "8"], []),
        ("job", ["8"], []),
        ("cancelled", ["7", "7", "8"], ["scancel 7"]),
        ("requeued", ["7", "7", "8"], ["scontrol requeue 7"]),
        ("preempted", ["7", "7", "8"], ["preempt"]),
        ("controller", ["7", "7", "8"], ["stop_controller", "start_controller"]),
        ("node", ["7", "7", "8"], ["kill_and_start_node node1"]),
        ("workflow", ["7", "7", "8"], ["scancel 7 8"]),
    ],
)
def test_what_is_killed_through_slurm(victim, left, called, cluster, run):
    # A moment in training falls into a later stage where training is over.
    moment = Moment("train", 3, 0.0, victim)
    cluster.processes.reverse()  # the last that is found is of job 7
    assert run.kill_at(moment) == "metrics"
    assert cluster.left(left) == left
    assert [line.replace(str(run.project), "").strip() for line in cluster.called()] == called
    assert (run.workflow is None) == (victim == "workflow")


def test_jobs_that_failed_by_themselves_are_told_from_those_that_were_killed(cluster, run):
    run.kill_at(Moment("metrics", 3, 0.0, "command"))
    for _, process in cluster.processes:
        process.kill()
        process.wait()
    assert run.failed_by_themselves() == ["7 (a rule): FAILED, see a log"]


def test_a_workflow_that_waits_for_ever_is_given_up(cluster, run, monkeypatch):
    monkeypatch.setattr(kills, "PATIENCE", 1.0)
    run.workflow = run.start()
    run.log.write_text("waits")
    with pytest.raises(AssertionError, match="for ever:\nwaits"):
        run.kill_at(Moment("metrics", 4, 0.0, "job"))
    assert run.workflow.poll() is not None
    assert cluster.left(["7", "7", "8"]) == ["7", "7", "8"]


def test_a_moment_that_never_comes_is_none(cluster, run):
    run.workflow = run.start()
    run.workflow.kill()
    assert run.kill_at(Moment("metrics", 4, 0.0, "job")) is None
    assert cluster.left(["7", "7", "8"]) == ["7", "7", "8"]
    assert run.workflow is None
