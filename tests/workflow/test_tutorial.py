"""The tutorials, the demo and the README's notebook do what their text says, as it stands there."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project import ROOT
from tests.support.workflow_project import Project

DOCS = ROOT / "docs"
_BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', flags=re.M | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of a page in a language, but for those that are files."""
    found = _BLOCK.findall(page.read_text(encoding="utf-8"))
    return [text for kind, title, text in found if kind == language and not title]


def files(page: Path) -> dict[str, str]:
    """The blocks of a page that are files, by their names."""
    return {
        title: text for _, title, text in _BLOCK.findall(page.read_text(encoding="utf-8")) if title
    }


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.new(tmp_path_factory.mktemp("tutorial") / "project")
    shutil.copytree(ROOT / "reference", project.folder / "reference")
    return project


def test_the_tutorial_runs_from_its_own_text(project: Project) -> None:
    (shell,) = blocks(DOCS / "slow_runs.md", "sh")
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
    code = "\n".join(blocks(DOCS / "slow_runs.md", "python"))
    assert code.count("assert ") >= 5
    told = project.call(sys.executable, "-c", code)
    assert told.returncode == 0, told.stdout
    again = project.call(sys.executable, "-m", *first)
    assert "Nothing to be done" in again.stdout
    assert "\n  results/demo/report.html\n" in again.stdout


def test_make_demo_is_the_tutorial_s_command() -> None:
    recipe = Path(ROOT / "Makefile").read_text(encoding="utf-8")
    (shell,) = blocks(DOCS / "slow_runs.md", "sh")
    for line in shell.splitlines():
        assert line.replace("--cores all", "--cores $(CORES)") in recipe


def test_own_runs_from_training_to_the_map(project: Project) -> None:
    page = DOCS / "own_runs.md"
    pytest.importorskip("pytorch_lightning")
    assert list(files(page)) == ["train.py", "mine.yaml"]
    for name, text in files(page).items():
        (project.folder / name).write_text(text, encoding="utf-8")
    train, analyse = blocks(page, "sh")
    assert train == "python train.py\n"
    done = project.call(sys.executable, "train.py")
    assert done.returncode == 0, done.stdout
    first, second = map(shlex.split, analyse.splitlines())
    done = project.call(sys.executable, "-m", *first)
    assert done.returncode == 0, done.stdout
    assert project.call(*second).stdout.strip() == "results/mine/report.html"
    code = "\n".join(blocks(page, "python"))
    assert code.count("assert ") >= 6
    told = project.call(sys.executable, "-c", code)
    assert told.returncode == 0, told.stdout


def test_findings_are_what_the_reference_data_say() -> None:
    code = "\n".join(blocks(DOCS / "what_holds.md", "python"))
    assert code.count("assert ") >= 4
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_notebook_s_lines_show_a_map() -> None:
    """Of the README and of the first page, as a notebook's cell: its last line is shown."""
    (code,) = blocks(ROOT / "README.md", "python")
    assert blocks(DOCS / "index.md", "python") == [code]
    *lines, last = code.strip().splitlines()
    assert last == "tmap"
    shown = "print(tmap._repr_html_()[:200], len(tmap.states))"
    told = subprocess.run(
        [sys.executable, "-c", "\n".join([*lines, shown])],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert "<" in told.stdout
    assert told.stdout.split()[-1] == "4"
