"""The figures of the report page: for wide screens and paper, and for phones."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.support.synthetic_results import write_path_results, write_results
from training_maps.report.page_data import page_data
from training_maps.report.page_figures import figures, maps, swatch
from training_maps.results import ExperimentResults

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> ExperimentResults:
    folder = tmp_path_factory.mktemp("x")
    return ExperimentResults.read(write_results(folder, 6, 3))


def test_each_figure_is_there_for_its_screens_and_names_itself(results: ExperimentResults) -> None:
    drawn = figures(results, "epoch")
    assert len(drawn) == 8
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


def test_what_has_nothing_to_show_is_empty(tmp_path: Path, results: ExperimentResults) -> None:
    paths = ExperimentResults.read(write_path_results(tmp_path))
    drawn = figures(paths, "step")
    empty = {name for name, html in drawn.items() if not html}
    assert {"model_selection", "loss_by_state", "convergence_times", "regression"} <= empty
    assert drawn["state_timelines"]
    assert drawn["dissimilarity"]
    no_regression = dataclasses.replace(results, coefficients=results.coefficients.iloc[:0])
    assert not figures(no_regression, "step")["regression"]


def test_the_map_says_what_it_shows_where_no_script_runs(results: ExperimentResults) -> None:
    data = page_data(results, "epoch")
    found = maps(results, "epoch", data)
    assert set(found) == {"page", "column"}
    for svg in found.values():
        titles = [node.text or "" for node in ElementTree.fromstring(svg).iter(f"{SVG}title")]
        for state in results.states:
            assert any(title.startswith(f"State {state}: ") for title in titles)
        for edge in results.training_map["transitions"]:
            assert any(title.startswith(f"{edge['from']} → {edge['to']}: ") for title in titles)


def test_colours_of_a_state_are_the_pages_variables() -> None:
    assert "--s3" in swatch(3)["background"]
    assert "--t3" in swatch(3)["ink"]
    assert swatch(3) != swatch(4)
