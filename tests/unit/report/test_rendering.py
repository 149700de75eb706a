"""The package's templates: everything is there, everything is escaped, nothing is left empty."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import UndefinedError

from tests.support.plain_figures import plain_figures
from tests.support.project import ROOT
from tests.support.synthetic_results import write_results
from training_maps.report.page import render_report
from training_maps.report.rendering import render, source
from training_maps.results import ExperimentResults

REPORT = ROOT / "python" / "training_maps" / "report"


@pytest.mark.parametrize("folder", ["html", "script"])
def test_every_file_of_the_page_is_found_by_its_name(folder: str) -> None:
    files = [path for path in (REPORT / folder).iterdir() if path.is_file()]
    assert files
    for path in files:
        assert source(path.name) == path.read_text(encoding="utf-8")


def test_a_file_that_is_not_there_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        source("none.css")
    with pytest.raises(FileNotFoundError):
        source("chart.html.j2")


@pytest.mark.parametrize("name", ["report.html.j2", "comparison.html.j2"])
def test_a_missing_value_is_an_error_and_no_empty_space(name: str) -> None:
    with pytest.raises(UndefinedError, match="is undefined"):
        render(name)


def test_the_page_s_own_language_is_that_of_the_words(tmp_path: Path) -> None:
    """A page whose names are hostile has them as text: a browser sees no element of theirs."""
    results = ExperimentResults.read(write_results(tmp_path, 3, 2, experiment="<b>&x</b>"))
    with plain_figures():
        html = render_report(results)
    assert "&lt;b&gt;&amp;x&lt;/b&gt;" in html
    assert "<b>&x</b>" not in html
    assert source("style.css") in html  # not escaped
