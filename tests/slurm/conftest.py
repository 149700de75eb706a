"""SLURMs that the tests here share, and the tiny experiment run without them, to compare with."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.faults.comparison import differences
from tests.slurm.small_slurm import SmallSlurm, unavailable
from tests.support.workflow_project import Project

BLOCK = "results/tiny/runs/seed-0/checkpoints.json"
"""A file of the block of seeds 0 to 2, which are trained in one job."""
FAULTS = Path(__file__).with_name("faults.py")
FOLDERS = "training-maps-slurm-"
# The first look at a job comes soon, and two CPUs are enough for so small a network.
QUICK = ("--workflow-profile", "profiles/slurm", "--max-threads", "2",
         "--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "10")  # fmt: skip
PATIENCE = 600
"""Seconds within which what a test waits for must have happened, on a busy machine too."""


class Cluster:
    """The workflow on a SLURM of the tests.

    Args:
        slurm: that SLURM.
        status_command: what Snakemake asks of jobs: squeue, or sacct where there is accounting.
    """

    def __init__(self, slurm: SmallSlurm, status_command: str) -> None:
        self.slurm = slurm
        self._options = (*QUICK, "--slurm-status-command", status_command)

    def start(
        self, project: Project, *arguments: str, stdout: IO[str] | int = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        """Start the workflow with the profile."""
        command = ("snakemake", "--cores", "2", *self._options, *arguments)
        return project.start(*command, stdout=stdout)

    def run(self, project: Project, *arguments: str) -> str:
        """Run the workflow with the profile to its end, which must be a good one."""
        return self.finish(self.start(project, *arguments))

    def finish(self, process: subprocess.Popen[str]) -> str:
        """Wait for the end of the workflow, which must be a good one; return what it printed."""
        told, _ = process.communicate()
        assert process.returncode == 0, told
        return told

    def hang(self, project: Project) -> tuple[subprocess.Popen[str], str]:
        """Start the training of a block, and wait until its job has done its work and not ended.

        Returns:
            The workflow, and the job's number.
        """
        process = self.start(project, BLOCK)
        self.wait_for_fault(project, "hang", process)
        (job,) = self.jobs(project)
        return process, job["JobId"]

    def wait_for_fault(self, project: Project, kind: str, process: subprocess.Popen[str]) -> None:
        """Ask for a fault, one of faults.py's, and wait until a job hangs for it."""
        hanging = project.folder / "hanging"
        hanging.unlink(missing_ok=True)
        (project.folder / "fault").write_text(kind)
        self.wait(hanging.exists, process)

    def preempt(self, project: Project) -> None:
        """Start a job that needs all the memory and goes first, and wait until it has ended."""
        memory = f"--mem={self.slurm.memory}M"
        urgent = ("sbatch", "--partition=urgent", memory, "--wait", "--chdir=/", "--wrap=true")
        command = [*urgent, "--output=/dev/null"]
        subprocess.run(command, check=True, cwd=project.folder, stdout=subprocess.DEVNULL)

    def jobs(self, project: Project) -> list[dict[str, str]]:
        """What scontrol says of the project's jobs, in the order of their submission."""
        folder = str(project.folder)  # of which scontrol's WorkDir is read up to the first space
        return [
            job
            for job in self.slurm.jobs()
            if folder.startswith(job["WorkDir"]) and job["Partition"] != "urgent"
        ]

    def states(self, project: Project) -> list[str]:
        """What became of the project's jobs."""
        return [job["JobState"] for job in self.jobs(project)]

    def wait(self, happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
        """Wait until it has happened; fail, with what the workflow told, if it ends before."""
        deadline = time.monotonic() + PATIENCE
        while not happened():
            if process.poll() is not None:
                pytest.fail(f"the workflow ended before:\n{process.communicate()[0]}")
            if time.monotonic() > deadline:
                os.killpg(process.pid, signal.SIGKILL)
                jobs = self.slurm.call("scontrol", "--oneliner", "show", "jobs")
                told = process.communicate()[0]
                pytest.fail(f"waited {PATIENCE} s, with these jobs:\n{jobs}\nand told:\n{told}")
            time.sleep(0.1)


def check_block(project: Project, local_block: Project) -> None:
    """Check that the runs of seeds 0 to 2 are those of the local run."""
    for seed in range(3):
        name = f"runs/seed-{seed}"
        told = differences(project.results / name, local_block.results / name)
        # What the metrics' jobs write is not asked for there.
        written_later = ("metrics.parquet: is missing", "layers.parquet: is missing")
        assert [line for line in told if line not in written_later] == []


@contextlib.contextmanager
def running(nodes: int, with_accounting: bool) -> Iterator[SmallSlurm]:
    """A SLURM for as long as the context lasts; the tests are skipped where none can be started."""
    if reason := unavailable(with_accounting):
        pytest.skip(f"no SLURM can be started here: {reason}")
    clear_leftovers()
    folder = Path(tempfile.mkdtemp(prefix=FOLDERS))
    (folder / "owner").write_text(str(os.getpid()))
    slurm = SmallSlurm(folder, nodes, with_accounting)
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()
        shutil.rmtree(folder, ignore_errors=True)


def clear_leftovers() -> None:
    """End what tests that were killed have left running."""
    for owner in Path(tempfile.gettempdir()).glob(f"{FOLDERS}*/owner"):
        if not Path("/proc", owner.read_text()).exists():
            SmallSlurm(owner.parent).stop()
            shutil.rmtree(owner.parent, ignore_errors=True)


@pytest.fixture(scope="module")
def one_node() -> Iterator[SmallSlurm]:
    """A SLURM of one node, without accounting."""
    with running(nodes=1, with_accounting=False) as slurm:
        yield slurm


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[SmallSlurm]:
    """A SLURM of two nodes, with accounting."""
    with running(nodes=2, with_accounting=True) as slurm:
        yield slurm


def lead_to(slurm: SmallSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands that a test starts find this SLURM."""
    for name in ("SLURM_CONF", "PATH"):
        monkeypatch.setenv(name, slurm.environment[name])


@pytest.fixture
def cluster(one_node: SmallSlurm, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """The workflow on one node, watched by squeue."""
    lead_to(one_node, monkeypatch)
    return Cluster(one_node, "squeue")


@pytest.fixture
def accounted(two_nodes: SmallSlurm, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """The workflow on two nodes, watched by sacct."""
    lead_to(two_nodes, monkeypatch)
    return Cluster(two_nodes, "sacct")


@pytest.fixture
def project(fresh: Project, tmp_path: Path) -> Project:
    """The tiny experiment, in a folder whose path has a space in it."""
    return fresh.copy(tmp_path / "a folder/project")


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The tiny experiment, of a task that asks for a GPU; not run. Do not change it."""
    project = Project.new(tmp_path_factory.mktemp("a folder") / "fresh")
    project.edit("experiments/tiny.yaml", "device: cpu", "device: auto")
    task = "python/training_maps/training/tasks/sparse_parities.py"
    project.edit(task, "profits_from_gpu: ClassVar[bool] = False", "profits_from_gpu = True")
    shutil.copy(FAULTS, project.folder / "python/sitecustomize.py")
    return project


@pytest.fixture(scope="session")
def local_block(fresh: Project) -> Project:
    """The same, with one block trained on this machine without SLURM. Do not change it."""
    project = fresh.copy(fresh.folder.with_name("local"))
    project.run(BLOCK)
    return project


@pytest.fixture(scope="session")
def local(local_block: Project) -> Project:
    """The same, run to its end on this machine without SLURM. Do not change it."""
    local_block.run()
    return local_block
