"""`training-maps summary`: what it wants."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.synthetic_results import write_results
from training_maps import cli
from training_maps.utils.files import read_json

pytestmark = pytest.mark.usefixtures("restore_logging")


def test_summary_command_wants_something_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["summary"]) == 1
    assert "--show" in capsys.readouterr().err


def test_without_halves_files_of_them_from_before_are_passed_over(tmp_path: Path) -> None:
    folder = write_results(tmp_path / "x", 6, 3)
    assert (folder / "reproducibility.json").exists()
    command = ["summary", "--results", str(folder), "--output", str(tmp_path / "summary.json")]
    told = []
    for option in ([], ["--no-halves"]):
        assert cli.main([*command, *option]) == 0
        told.append(read_json(tmp_path / "summary.json")["reproducibility"]["states"])
    assert told[0] is not None
    assert told[1] is None
