"""The tiny experiment, run once; each test that changes it takes a copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.build_once import build_once
from tests.support.workflow_project import Project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """The tiny experiment, run to its end, and what the terminal showed. Do not change it."""

    def build(folder: Path) -> None:
        told = Project.new(folder / "project").run()
        (folder / "told").write_text(told)

    folder = build_once(tmp_path_factory, "finished", build)
    return Project(folder / "project"), (folder / "told").read_text()


@pytest.fixture
def project(finished: tuple[Project, str], tmp_path: Path) -> Project:
    """A copy of the finished project, to change and run again."""
    return finished[0].copy(tmp_path / "project")
