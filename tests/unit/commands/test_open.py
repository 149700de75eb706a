"""`training-maps open`: the report of a name, in a browser where there is one."""

from __future__ import annotations

import os
import webbrowser
from pathlib import Path

import pytest

from training_maps import cli
from training_maps.commands.open import find_report, has_screen
from training_maps.utils.errors import InputError

pytestmark = pytest.mark.usefixtures("restore_logging")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for age, name in enumerate(("new", "old")):
        file = tmp_path / name / "report.html"
        file.parent.mkdir()
        file.write_text("x")
        os.utime(file, (1e9 - age, 1e9 - age))
    return tmp_path


def test_a_report_is_found_by_name_by_folder_and_by_itself(results: Path) -> None:
    report = results / "old" / "report.html"
    assert find_report("old", results) == report
    assert find_report(str(report.parent), Path("elsewhere")) == report
    assert find_report(str(report), Path("elsewhere")) == report
    assert find_report(None, results) == results / "new" / "report.html"


def test_what_is_not_there_is_told_with_what_is(results: Path) -> None:
    with pytest.raises(InputError, match=r"odl: has no report in .*; there are: new and old"):
        find_report("odl", results)
    with pytest.raises(InputError, match="has no report yet"):
        find_report(None, results / "none")


def test_it_opens_where_there_is_a_screen_and_says_where_the_report_is(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not has_screen()
    assert cli.main(["open", "old", "--results", str(results)]) == 0
    assert opened == []
    assert capsys.readouterr().out.strip() == str(results / "old" / "report.html")
    monkeypatch.setenv("DISPLAY", ":0")
    assert cli.main(["open", "old", "--results", str(results)]) == 0
    assert opened == [(results / "old" / "report.html").as_uri()]
    assert cli.main(["open", "none", "--results", str(results)]) == 1
