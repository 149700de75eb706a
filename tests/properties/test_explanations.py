"""Each heading of the report folds out what the documentation says of its section."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tools.explanations import HEADINGS, PAGE, TEMPLATE, anchor_of, explanation, sections, template

from tests.properties.test_links import anchors
from tests.support.plain_figures import plain_figures
from tests.support.project import ROOT
from tests.support.synthetic_results import write_results
from training_maps.report.page import render_report
from training_maps.results import ExperimentResults

_FOLD = r'<details class="explained">\s*<summary>How to read this</summary>\s*<p>'


def test_the_page_s_texts_are_the_documentation_s() -> None:
    advice = "run python -m tools.explanations --write"
    assert TEMPLATE.read_text(encoding="utf-8") == template(), advice


def test_every_heading_of_a_template_folds_out_its_text() -> None:
    told = {}
    for path in TEMPLATE.parent.glob("*.html.j2"):
        if path.name in ("comparison.html.j2", TEMPLATE.name):
            continue
        pattern = r'<section [^>]*id="([\w-]+)"[^>]*>\s*<h2>.*?</h2>\n *(.*)'
        told.update(re.findall(pattern, path.read_text(encoding="utf-8")))
    assert told.pop("notes").startswith("<ul>")  # each of which leads to its section
    assert told == {anchor: f'{{{{ explained("{anchor}") }}}}' for anchor in HEADINGS}


def test_the_headings_that_are_named_are_there() -> None:
    assert sections(PAGE.read_text(encoding="utf-8")).keys() >= set(HEADINGS.values())
    text = TEMPLATE.read_text(encoding="utf-8")
    named = re.findall(r"<code>docs/([\w.]+)#([\w-]+)</code>", text)
    assert len(named) > len(HEADINGS)
    assert {
        (name, anchor)
        for name, anchor in named
        if anchor not in anchors((ROOT / "docs" / name).read_text(encoding="utf-8"))
    } == set()


def test_a_report_has_a_text_for_each_section(tmp_path: Path) -> None:
    folder = write_results(tmp_path / "one", 8, 4)
    with plain_figures():
        page = render_report(ExperimentResults.read(folder))
    # The script, which has headings too, is after them all.
    headings = re.findall(rf"<h2>(.*?)</h2>\s*({_FOLD})?", page)
    assert len(headings) > 10
    assert {title for title, fold in headings if not fold} <= {"Please note"}
    assert page.count('<p class="how">In the documentation: ') == page.count(
        '<details class="explained">'
    )


def test_a_picture_and_its_caption_are_left_out_and_links_named() -> None:
    text = "\nA [state](concepts.md#states) is *one*.\n\n![Map](a.svg)\n\n*A <map>,\nreally.*\n"
    assert explanation("What, then?", f"{text}\nEnd.") == (
        "<p>A state is <em>one</em>.</p>\n<p>End.</p>\n"
        '<p class="how">In the documentation: <code>docs/reading_a_report.md#what-then</code>, '
        "<code>docs/concepts.md#states</code></p>"
    )
    assert anchor_of("Would other seeds show it?") == "would-other-seeds-show-it"


def test_two_headings_of_a_name_are_refused() -> None:
    with pytest.raises(ValueError, match="a heading twice"):
        sections("# Page\n## A\none\n## B\n## A\ntwo\n")
