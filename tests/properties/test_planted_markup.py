"""Names that are markup are text in whatever is written: the same elements as of plain names.

Pieces of markup are put together and planted wherever a name from outside goes: metrics,
experiments, notes, outcomes, columns of logs, runs that are placed. Each page must then have the
elements and attributes that it has with plain names, in the same order, and not one more.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import synthetic_results
from tests.support.placed_runs import log_of, metrics_of, small_reference
from tests.support.plain_figures import plain_figures
from tests.support.synthetic_results import METRICS, write_results
from training_maps.figures.captions import captions, latex_text
from training_maps.figures.map.notebook import html_view
from training_maps.figures.map.svg import map_svg
from training_maps.placing.page import page
from training_maps.placing.place import NewRun, place_run
from training_maps.report.comparison import read_experiments, render_comparison
from training_maps.report.page import render_report
from training_maps.report.summary import summarise
from training_maps.results import ExperimentResults
from training_maps.utils.files import read_json, write_json
from training_maps.utils.notes import Note

PIECES = (
    "<script>", "</script>", "<img src=x onerror=alert(1)>", "<svg onload=alert(1)>", "</svg>",
    "<!--", "-->", "]]>", "<![CDATA[", '"', "'", " onfocus=alert(1) autofocus ", "&lt;", "&",
    "<b>", "</title>", "</style>", "<style>*{}</style>", "{{ 7 * 7 }}", "{% raw %}", "${7}", "`",
    "</textarea>", "\\", "%", "#", "\\input{x}", "$", "_", "^", "~", "{", "}",
    "javascript:alert(1)", "\u2028", "\u202e", "μ̂", "a",
)  # fmt: skip
planted = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join)
# All pieces, in a few names.
NAMES = ["".join(PIECES[i::4]) for i in range(4)]


class Elements(HTMLParser):
    """The elements of a page, each with the names of its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, ...]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, *(name for name, _ in attrs)))

    def handle_comment(self, data: str) -> None:
        self.found.append(("a comment", data))


# Where a line of text may break, and the shapes of text that is drawn: as many as the text needs.
OF_TEXT = ("wbr", "tspan", "g", "defs", "path", "use")


def elements(html: str) -> list[tuple[str, ...]]:
    """Those that do not hang on how long a text is; the others must not act."""
    found = Elements(html).found
    drawn = [one for one in found if one[0] in OF_TEXT]
    assert not [one for one in drawn if any(name.startswith("on") for name in one[1:])]
    return [one for one in found if one[0] not in OF_TEXT]


def results_of(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> ExperimentResults:
    """Results in which everything that can be named bears this name, and a number."""
    metrics = [f"{name}{i}" for i in range(len(METRICS))]
    monkeypatch.setattr(synthetic_results, "METRICS", metrics)
    notes = (Note("planted", f"a note of {name}"),)
    write_results(folder, 6, 3, experiment=name, notes=notes, n_checkpoints=20)
    found = read_json(folder / "regression.json")
    found["outcome"] |= {"name": name, "unit": name}
    write_json({**found, "column": name}, folder / "regression.json")
    stability = read_json(folder / "hmm/stability.json")
    write_json({**stability, "sentence": f"A sentence of {name}."}, folder / "hmm/stability.json")
    return ExperimentResults.read(folder)


def pages(results: ExperimentResults, name: str) -> dict[str, str]:
    """All that is written of results."""
    other = {"experiment": name, "description": name, name: name}
    write_json(summarise(results), results.folder / "summary.json")
    compared = read_experiments([results.folder / "summary.json"], {name: {"description": name}})
    titles = {"state-0": name, "transition-0-1": name}
    with plain_figures():
        return {
            "report": render_report(results, "epoch", {"settings": other}, name),
            "comparison": render_comparison(compared, results.folder / "c.html"),
            "map": map_svg(results.training_map, titles=titles, label=name, time=name),
            "notebook": html_view(results.training_map, name),
        }


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[str, ...]]]:
    """Of each page, the elements that it has with plain names."""
    with pytest.MonkeyPatch.context() as patch:
        results = results_of(tmp_path_factory.mktemp("plain") / "x", "plain", patch)
        return {name: elements(html) for name, html in pages(results, "plain").items()}


@pytest.mark.parametrize("name", NAMES)
def test_pages_have_the_elements_of_plain_names(
    name: str, plain: dict[str, list[tuple[str, ...]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        results = results_of(tmp_path_factory.mktemp("planted") / "x", name, patch)
        for page_name, html in pages(results, name).items():
            assert elements(html) == plain[page_name], page_name
        for text in captions(results, "epoch").values():
            check_latex(latex_text(text))


@settings(max_examples=200, deadline=None)
@given(name=planted)
def test_captions_are_text_to_latex(name: str) -> None:
    check_latex(latex_text(name))


def check_latex(text: str) -> None:
    """Only commands that show a character or set mathematics; braces and dollars in pairs."""
    known = (
        r"\\(textbackslash|textasciitilde|textasciicircum|rightarrow|pm|lambda|mu|max|[&%$#_{}])"
    )
    left = re.sub(known, "", text)
    assert "\\" not in left
    for active in "&%#~":
        assert active not in left
    depth = 0
    for one in left:
        depth += (one == "{") - (one == "}")
        assert depth >= 0
    assert depth == 0
    assert left.count("$") % 2 == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_page_of_placed_runs_too(name: str) -> None:
    def of(run: str) -> str:
        table = metrics_of(150, np.random.default_rng(7))
        reference = small_reference()
        return page(reference, [place_run(reference, NewRun(run, table, log_of(150)))])

    assert elements(of(name)) == elements(of("plain"))
