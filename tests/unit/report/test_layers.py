"""The section of the report on layers."""

from __future__ import annotations

import dataclasses

import pytest

from tests.support.synthetic_layers import write_layers
from tests.support.synthetic_results import write_results
from training_maps.analysis.layer_changes import changes_of_layers
from training_maps.report.layers import layers_block
from training_maps.report.page import render_report
from training_maps.report.sections import glossary_rows
from training_maps.results import ExperimentResults


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> ExperimentResults:
    folder = tmp_path_factory.mktemp("layers")
    return ExperimentResults.read(write_layers(write_results(folder, 4, 4)))


def test_the_page_has_the_section_where_layers_are_kept(results: ExperimentResults) -> None:
    page = render_report(results)
    assert '<section id="layers">' in page
    assert "layers-page" in page
    most = changes_of_layers(results.layer_changes)[0]["layers"][0]["tensor"]
    assert f"<code>{most}</code>" in page
    assert "fully connected layers" in page
    for without in (
        render_report(results.without_layers()),
        render_report(results, settings={"metrics": {"layers": False}}),
    ):
        assert '<section id="layers">' not in without


def test_its_sentence_and_rows(results: ExperimentResults) -> None:
    found = changes_of_layers(results.layer_changes)
    block = layers_block(results, None)
    names = [row["layers"][0]["tensor"] for row in found]
    assert any(
        block["sentence"] == f"Of the 4 layers, {name} changes most at {names.count(name)} of "
        f"{len(found)} transitions."
        for name in names
    )
    assert len(block["rows"]) == len(found)
    assert all(len(row["layers"]) == 3 for row in block["rows"])
    assert block["has_groups"]


def test_metrics_of_groups_are_explained(results: ExperimentResults) -> None:
    names = {"metrics": ["l2", "l2@mlp", "own"]}
    rows = glossary_rows(dataclasses.replace(results, training_map=results.training_map | names))
    assert [row["symbol"] for row in rows] == ["L2", "L2 mlp", "own"]
    assert rows[1]["meaning"] == rows[0]["meaning"] + ", of the layers mlp alone"
    assert rows[1]["formula"] == rows[0]["formula"] != ""
