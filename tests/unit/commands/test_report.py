"""`training-maps report`: the page, the same each time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.synthetic_results import write_results
from training_maps import cli
from training_maps.config.schema import fill_defaults, load_schema
from training_maps.report.page import render_report
from training_maps.results import ExperimentResults

pytestmark = pytest.mark.usefixtures("restore_logging")


def test_report_command_writes_the_same_page_each_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_results(tmp_path / "x", 3, 2)
    output = tmp_path / "report.html"
    command = ["report", "--results", str(tmp_path / "x"), "--output", str(output)]
    assert cli.main([*command, "--settings", '{"a": 1}']) == 0
    defaults = fill_defaults({}, load_schema())
    results = ExperimentResults.read(tmp_path / "x")
    again = render_report(results, "epoch", {"a": 1}, defaults=defaults)
    assert output.read_text(encoding="utf-8") == again
    write_results(tmp_path / "y", 3, 2, seed=1)
    assert cli.main([*command, "--beside", str(tmp_path / "y")]) == 0
    assert 'id="beside"' in output.read_text(encoding="utf-8")
    assert cli.main([*command, "--settings", "{"]) == 1
    assert "--settings: is not valid JSON" in capsys.readouterr().err
    assert cli.main([*command, "--settings", "[]"]) == 1
    assert "must be a JSON object" in capsys.readouterr().err
