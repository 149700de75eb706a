"""A SLURM that the tests here share, and the tiny experiment run without it, to compare with."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.slurm.one_node import OneNode, unavailable
from tests.workflow.conftest import Project

BLOCK = "results/tiny/runs/seed-0/checkpoints.json"
"""A file of the block of seeds 0 to 2, which are trained in one job."""
FOLDERS = "training-maps-slurm-"
# The first look at a job comes soon, and two CPUs are enough for so small a network.
QUICK = ("--workflow-profile", "profiles/slurm", "--max-threads", "2",
         "--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "10")  # fmt: skip
PATIENCE = 600
"""Seconds within which what a test waits for must have happened, on a busy machine too."""


class Cluster:
    """The workflow on the SLURM of the tests."""

    def __init__(self, node: OneNode) -> None:
        self.node = node

    def start(self, project: Project, *arguments: str) -> subprocess.Popen[str]:
        """Start the workflow with the profile."""
        return project.start("snakemake", "--cores", "2", *QUICK, *arguments)

    def run(self, project: Project, *arguments: str) -> str:
        """Run the workflow with the profile to its end, which must be a good one."""
        return self.finish(self.start(project, *arguments))

    def finish(self, process: subprocess.Popen[str]) -> str:
        """Wait for the end of the workflow, which must be a good one; return what it printed."""
        told, _ = process.communicate()
        assert process.returncode == 0, told
        return told

    def jobs(self, project: Project) -> list[dict[str, str]]:
        """What scontrol says of the project's jobs, in the order of their submission."""
        folder = str(project.folder)  # of which scontrol's WorkDir is read up to the first space
        return [job for job in self.node.jobs() if folder.startswith(job["WorkDir"])]

    def wait(self, happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
        """Wait until it has happened; fail if the workflow ends before."""
        deadline = time.monotonic() + PATIENCE
        while not happened():
            if process.poll() is not None:
                pytest.fail(f"the workflow ended before:\n{process.communicate()[0]}")
            assert time.monotonic() < deadline, f"waited {PATIENCE} s"
            time.sleep(0.1)


@pytest.fixture(scope="session")
def node() -> Iterator[OneNode]:
    """A SLURM of one node; the tests are skipped where none can be started."""
    if reason := unavailable():
        pytest.skip(f"no SLURM can be started here: {reason}")
    clear_leftovers()
    folder = Path(tempfile.mkdtemp(prefix=FOLDERS))
    (folder / "owner").write_text(str(os.getpid()))
    node = OneNode(folder)
    try:
        node.start()
        yield node
    finally:
        node.stop()
        shutil.rmtree(folder, ignore_errors=True)


def clear_leftovers() -> None:
    """End what tests that were killed have left running."""
    for owner in Path(tempfile.gettempdir()).glob(f"{FOLDERS}*/owner"):
        if not Path("/proc", owner.read_text()).exists():
            OneNode(owner.parent).stop()
            shutil.rmtree(owner.parent, ignore_errors=True)


@pytest.fixture
def cluster(node: OneNode, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """The SLURM of the tests, for the commands that the test starts."""
    for name in ("SLURM_CONF", "PATH"):
        monkeypatch.setenv(name, node.environment[name])
    return Cluster(node)


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The tiny experiment, of a task that asks for a GPU; not run. Do not change it."""
    project = Project.new(tmp_path_factory.mktemp("a folder") / "fresh")
    project.edit("experiments/tiny.yaml", "device: cpu", "device: auto")
    task = "python/training_maps/tasks/sparse_parities.py"
    project.edit(task, "profits_from_gpu: ClassVar[bool] = False", "profits_from_gpu = True")
    shutil.copy(Path(__file__).with_name("faults.py"), project.folder / "python/sitecustomize.py")
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
