"""The figures of the page: for wide screens and for phones, and none where nothing is to show."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.support.synthetic_results import write_path_results, write_results
from training_maps.figures.map.svg import colour_variable, ink_variable
from training_maps.report.page_figures import figures, maps, swatch
from training_maps.results import ExperimentResults

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> ExperimentResults:
    folder = tmp_path_factory.mktemp("results")
    write_results(folder, 8, 3)
    return ExperimentResults.read(folder)


def test_maps_are_for_wide_screens_and_phones_with_titles(results: ExperimentResults) -> None:
    fact = {"state": 0, "rows": [("runs", "8 <of> 8")]}
    edge = {"from": 0, "to": 1, "rows": [("taken", "by all")]}
    made = maps(results, "step", {"states": [fact], "edges": [edge]})
    assert list(made) == ["page", "column"]
    assert made["page"] != made["column"]
    for svg in made.values():
        assert "State 0: runs 8 &lt;of&gt; 8" in svg
        assert "0 → 1: taken by all" in svg


def test_figures_that_the_script_redraws_have_one_width(results: ExperimentResults) -> None:
    made = figures(results, "step")
    assert 'class="page"' in made["dissimilarity"]
    assert 'class="column"' in made["dissimilarity"]
    assert made["state_timelines"].startswith('<div class="any">')
    assert made["state_timelines"].count("<svg") == 1


def test_without_a_model_there_are_no_curves_of_its_choice(
    results: ExperimentResults, tmp_path: Path
) -> None:
    assert figures(results, "step")["model_selection"]
    write_path_results(tmp_path)
    given = figures(ExperimentResults.read(tmp_path), "step")
    assert given["model_selection"] == given["loss_by_state"] == ""
    assert given["state_timelines"]


def test_a_state_s_number_has_its_colours() -> None:
    assert swatch(2) == {"background": colour_variable(2), "ink": ink_variable(2)}


def test_each_figure_is_there_for_its_screens_and_names_itself(results: ExperimentResults) -> None:
    drawn = figures(results, "epoch")
    assert len(drawn) == 9
    ids: list[str] = []
    for name, html in drawn.items():
        if not html:
            continue
        root = ElementTree.fromstring(f"<div>{html}</div>")
        classes = [part.get("class") for part in root]
        assert classes in (["page", "column"], ["any"]), name
        for svg in root.iter(f"{SVG}svg"):
            assert svg.get("role") == "img"
            assert svg.get("aria-label")
        ids += [node.get("id", "") for node in root.iter() if node.get("id")]
    assert len(set(ids)) == len(ids)
    assert "var(--s0," in drawn["state_timelines"]
