"""A copy of the project with a tiny experiment, run once; each test takes a copy of that."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import IO

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "workflow", "experiments", "profiles", "python", "rust_metrics/core/src",
         "rust_metrics/hmm/src", "rust_metrics/python/src", "rust_metrics/Cargo.lock")  # fmt: skip
TINY = """\
description: a setting of seconds
seeds: 0-5
training:
  task: sparse_parities
  task_settings: {n_bits: 10, n_relevant_bits: 2, n_train: 100, n_eval: 50, hidden_size: 16}
  batch_size: 20
  length: 60
  checkpoint_every: 2
  weight_decay: 0.001
  seeds_per_job: 3
  device: cpu
hmm: {n_states: 1-3, restarts: 2}
"""


class Project:
    """A folder with a copy of the project, in which the workflow is run as a user runs it.

    Elsewhere, `sources` is the folder with the copy whose package counts.
    """

    def __init__(self, folder: Path, sources: Path | None = None) -> None:
        self.folder = folder
        self.sources = sources or folder
        self.results = folder / "results" / "tiny"

    @classmethod
    def new(cls, folder: Path) -> Project:
        """A fresh copy of the sources, with the experiment `tiny`."""
        for part in PARTS:
            source, target = ROOT / part, folder / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, target)
        (folder / "experiments" / "tiny.yaml").write_text(TINY)
        (folder / "config.yaml").write_text("experiments: [tiny]\n")
        return cls(folder)

    def copy(self, folder: Path) -> Project:
        """The project as it is, results and all, elsewhere."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder)

    def start(
        self, *command: str, stdout: IO[str] | int = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        """Start a command here, with the package of this copy, as a process group of its own."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.sources / "python"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def call(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command here to its end."""
        process = self.start(*command)
        told, _ = process.communicate()
        return subprocess.CompletedProcess(command, process.returncode, told)

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run snakemake here to its end."""
        return self.call(sys.executable, "-m", "snakemake", "--cores", "2", *arguments)

    def run(self, *arguments: str) -> str:
        """Run the workflow to its end, which must be a good one; return what it printed."""
        done = self.snakemake(*arguments)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def planned(self, *arguments: str) -> Counter[str]:
        """How many jobs of each rule a run would make."""
        told = self.run("--dry-run", *arguments)
        table = re.findall(r"^(\w+) +(\d+)$", told, flags=re.M)
        assert table or "Nothing to be done" in told, told
        return Counter({rule: int(n) for rule, n in table if rule not in ("all", "total")})

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace `old`, which must be there, by `new` in one of the copy's files."""
        file = self.folder / path
        text = file.read_text()
        assert old in text, f"{path} has no {old!r}"
        file.write_text(text.replace(old, new, 1))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """The tiny experiment, run to its end, and what the terminal showed. Do not change it."""
    project = Project.new(tmp_path_factory.mktemp("finished") / "project")
    return project, project.run()


@pytest.fixture
def project(finished: tuple[Project, str], tmp_path: Path) -> Project:
    """A copy of the finished project, to change and run again."""
    return finished[0].copy(tmp_path / "project")
