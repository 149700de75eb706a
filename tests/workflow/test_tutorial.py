"""The tutorial and the demo do what their text says, typed as it stands there."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from tests.support.project import ROOT
from tests.support.workflow_project import Project

TUTORIAL = (ROOT / "docs" / "slow_runs.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TUTORIAL, flags=re.DOTALL)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.new(tmp_path_factory.mktemp("tutorial") / "project")
    shutil.copytree(ROOT / "reference", project.folder / "reference")
    return project


def test_the_tutorial_runs_from_its_own_text(project: Project) -> None:
    (shell,) = blocks("sh")
    first, second = map(shlex.split, shell.splitlines())
    assert first[0] == "snakemake"
    done = project.call(sys.executable, "-m", *first)
    assert done.returncode == 0, done.stdout
    # The last lines say what was found and where the report is; Snakemake chatters no more.
    assert "demo: " in done.stdout
    assert "\n  results/demo/report.html\n" in done.stdout
    assert "Select jobs" not in done.stdout
    assert "Finished jobid" not in done.stdout
    opened = project.call(*second)
    assert opened.stdout.strip() == "results/demo/report.html"
    code = "\n".join(blocks("python"))
    assert code.count("assert ") >= 5
    told = project.call(sys.executable, "-c", code)
    assert told.returncode == 0, told.stdout
    again = project.call(sys.executable, "-m", *first)
    assert "Nothing to be done" in again.stdout
    assert "\n  results/demo/report.html\n" in again.stdout


def test_make_demo_is_the_tutorial_s_command() -> None:
    recipe = Path(ROOT / "Makefile").read_text(encoding="utf-8")
    (shell,) = blocks("sh")
    for line in shell.splitlines():
        assert line.replace("--cores all", "--cores $(CORES)") in recipe
