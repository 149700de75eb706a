"""A copy of the project with a tiny experiment, in which the workflow is run as a user runs it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import IO, Any

import pytest
import yaml

from tests.support.dry_runs import dry_run
from tests.support.project import ROOT
from training_maps.config.resolve import Config, check_file, prepare
from training_maps.config.schema import load_schema, merge
from training_maps.utils.errors import InputError

PARTS = ("Snakefile", "workflow", "experiments", "profiles", "python", "rust_metrics/core/src",
         "rust_metrics/hmm/src", "rust_metrics/python/src", "rust_metrics/Cargo.lock")  # fmt: skip
# All figures in all formats take a third of a run, and are wanted by the tests of figures alone.
FEW_FIGURES = "figures: {formats: [svg], widths: [page]}\n"
TINY = f"""\
description: a setting of seconds
seeds: 0-5
training:
  task: sparse_parities
  task_settings: {{n_bits: 10, n_relevant_bits: 2, n_train: 100, n_eval: 50, hidden_size: 16}}
  batch_size: 20
  length: 60
  checkpoint_every: 2
  weight_decay: 0.001
  seeds_per_job: 3
  device: cpu
hmm: {{n_states: 1-3, restarts: 2}}
reproducibility: {{halves: 2}}
{FEW_FIGURES}"""


def plan(schema: dict[str, Any], **told: Any) -> Config:
    """What workflow/rules/common.smk does with config.yaml before there is any rule.

    Args:
        schema: of the config.
        told: what `--config` adds.

    Raises:
        InputError: what the workflow is refused with.
    """
    check_file("config.yaml", schema)
    config = yaml.safe_load(Path("config.yaml").read_text())
    return prepare(merge(config, told), "experiments", schema)


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

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which commands find the package of this copy."""
        return {
            **os.environ,
            "PYTHONPATH": str(self.sources / "python"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    def start(
        self, *command: str, stdout: IO[str] | int = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        """Start a command here, with the package of this copy, as a process group of its own."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
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
        status, told = dry_run(self.folder, self.environment, "--cores", "2", *arguments)
        assert status == 0, told
        table = re.findall(r"^(\w+) +(\d+)$", told, flags=re.M)
        assert table or "Nothing to be done" in told, told
        return Counter({rule: int(n) for rule, n in table if rule not in ("all", "total")})

    def refusal(self, *config: str) -> str:
        """What a run with `--config` and these would be refused with, in this process.

        That it arrives through Snakemake, tests/workflow/test_broken_configs.py shows.
        """
        told = {key: yaml.safe_load(value) for key, _, value in (c.partition("=") for c in config)}
        with contextlib.chdir(self.folder), pytest.raises(InputError) as refused:
            plan(load_schema(), **told)
        return str(refused.value)

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace `old`, which must be there, by `new` in one of the copy's files."""
        file = self.folder / path
        text = file.read_text()
        assert old in text, f"{path} has no {old!r}"
        file.write_text(text.replace(old, new, 1))
