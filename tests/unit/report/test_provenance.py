"""What made a report: told as far as it is known, and no further."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.synthetic_results import write_results
from training_maps.report.provenance import (
    changed_settings,
    files_beside,
    files_of_figures,
    flat,
    git_commit,
    provenance,
)
from training_maps.results import ExperimentResults
from training_maps.utils.files import package_version, read_table, write_table


def test_versions_machine_and_date_are_told(tmp_path: Path) -> None:
    folder = write_results(tmp_path, 3, 2)
    told = dict(provenance(ExperimentResults.read(folder)))
    assert told["training-maps"] == package_version()
    assert "trained with torch" not in told  # nobody trained these
    assert told["map made on"].endswith(" UTC")
    assert "numpy" in told["packages"]
    log = folder / "runs" / "seed-0" / "training_log.parquet"
    write_table(read_table(log, ("step", "epoch")), log, {"torch": "9.9"})
    assert dict(provenance(ExperimentResults.read(folder)))["trained with torch"] == "9.9"


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_commit_is_told_of_files_that_belong_to_it(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=n", "-c", "user.email=e@example.org")
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    folder = tmp_path / "package" / "report"
    folder.mkdir(parents=True)
    names = [folder / f"{name}.py" for name in ("committed", "added", "changed")]
    for file in names:
        file.write_text("1")
    assert git_commit(names[0]) == ""  # of no repository
    git("init")
    git("add", str(names[0]), str(names[2]))
    git("commit", "-m", "first")
    git_commit.cache_clear()
    assert git_commit(names[0]) == git("rev-parse", "--short=12", "HEAD")
    assert git_commit(names[1]) == ""  # lies there, and is not of the repository
    names[2].write_text("2")
    assert git_commit(names[2]) == git("rev-parse", "--short=12", "HEAD") + " with changes"


def test_links_lead_to_files_that_are_there(tmp_path: Path) -> None:
    folder = write_results(tmp_path, 3, 2)
    beside = files_beside(folder)
    assert beside[0] == "training_map.json"
    assert all((folder / name).is_file() for name in beside)
    assert files_of_figures(folder)["convergence_times"] == ["convergence.csv"]
    (folder / "convergence.csv").unlink()
    assert "convergence.csv" not in files_beside(folder)
    assert files_of_figures(folder)["convergence_times"] == []


def test_settings_that_differ_are_told_apart() -> None:
    settings = {"hmm": {"n_states": [1, 2], "model": None}, "n": 3}
    assert dict(flat(settings)) == {"hmm.n_states": "1, 2", "hmm.model": "None", "n": "3"}
    defaults = {"hmm": {"n_states": [1, 2], "model": "gaussian"}, "n": 3}
    assert changed_settings(settings, defaults) == [("hmm.model", "None")]
    assert changed_settings(settings, {}) == []
