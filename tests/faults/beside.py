"""Kills what people type beside the workflow at random moments, and types it again.

Runs are placed on the finished map of the tiny experiment, or followed while their checkpoints
come, half written at first; and networks are trained by Lightning and by transformers, with the
callbacks that record them.
"""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.comparison import differences
from tests.support.project import ROOT
from tests.support.workflow_project import Project

SEEDS = (0, 1)
"""The runs that are placed and followed."""


@dataclass
class Beside:
    """A command that is killed and typed again, in a folder for each time that it is begun anew.

    Attributes:
        name: what it is called.
        project: the finished experiment.
        folder: where it works.
        seconds: what it took undisturbed.
    """

    name: str
    project: Project
    folder: Path
    seconds: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        """Run it once, undisturbed."""
        self.seconds = -time.monotonic()
        with self._growing("undisturbed"):
            self._finish("undisturbed")
        self.seconds += time.monotonic()

    def killed(self, n: int, attempt: str, rng: random.Random) -> tuple[int, list[str]]:
        """Kill it up to `n` times, let it end, and compare what it wrote.

        Returns:
            How many times it was killed, and what differs from undisturbed.
        """
        done = 0
        with self._growing(attempt):
            for _ in range(n):
                process = self._start(attempt)
                try:
                    process.wait(rng.random() * self.seconds)
                    break  # it ended before
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                    done += 1
            self._finish(attempt)
        return done, differences(self._written(attempt), self._written("undisturbed"))

    def _written(self, attempt: str) -> Path:
        return self.folder / self.name / attempt / "output"

    def _command(self, attempt: str) -> list[str]:
        work = self.folder / self.name / attempt
        runs = [str(self.project.results / f"runs/seed-{seed}") for seed in SEEDS]
        map_and_output = ["--map", str(self.project.results), "--output", str(work / "output")]
        if self.name == "place":
            return ["training-maps", "place", *runs, *map_and_output]
        if self.name == "watch":
            pattern = str(work / "growing/seed-{seed}/step-{step}.safetensors")
            often = ["--every", "0.1", "--patience", "5"]
            return ["training-maps", "watch", "--run", pattern, *often, *map_and_output]
        return [sys.executable, "-m", "tests.faults.training_scripts", self.name, str(work)]

    def _start(self, attempt: str) -> subprocess.Popen[bytes]:
        environment = self.project.environment
        environment["PYTHONPATH"] += os.pathsep + str(ROOT)
        folder = self.folder / self.name / attempt
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "log").open("ab") as log:
            return subprocess.Popen(
                self._command(attempt), cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def _finish(self, attempt: str) -> None:
        if self._start(attempt).wait():
            told = (self.folder / self.name / attempt / "log").read_text()
            raise AssertionError(f"{self.name} does not end well:\n{told}")

    @contextmanager
    def _growing(self, attempt: str) -> Iterator[None]:
        """Meanwhile checkpoints come one after the other, each half written for a moment."""
        if self.name != "watch":
            yield
            return
        target = self.folder / self.name / attempt / "growing"
        thread = threading.Thread(target=_copy_slowly, args=(self.project.results, target))
        thread.start()
        try:
            yield
        finally:
            thread.join()


def _copy_slowly(results: Path, target: Path) -> None:
    first = results / f"runs/seed-{SEEDS[0]}/checkpoints"
    for name in sorted(path.name for path in first.iterdir()):
        for seed in SEEDS:
            content = (results / f"runs/seed-{seed}/checkpoints" / name).read_bytes()
            file = target / f"seed-{seed}" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content[: len(content) // 2])
            time.sleep(0.05)
            file.write_bytes(content)


def commands(project: Project, folder: Path) -> list[Beside]:
    """All that can be run here, each run once."""
    libraries = {"lightning": "pytorch_lightning", "transformers": "transformers"}
    there = [name for name, package in libraries.items() if importlib.util.find_spec(package)]
    return [Beside(name, project, folder) for name in ("place", "watch", *there)]
