"""The paper's numbers: its rows are told by settings, not by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.project import ROOT
from tests.unit.report.test_page import Page
from tests.unit.report.test_summary import summary_file
from training_maps.config.resolve import prepare
from training_maps.config.schema import fill_defaults, load_schema
from training_maps.report.comparison import (
    comparison_table,
    read_experiments,
    render_comparison,
)
from training_maps.report.paper import PAPER, SETTINGS, paper_setting


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return load_schema()


def settings_of(config: dict[str, Any], schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return prepare(config, ROOT / "experiments", schema).experiments


def test_the_papers_name_alone_does_not_bring_its_row(tmp_path: Path) -> None:
    (one,) = read_experiments([summary_file(tmp_path, "sparse_parities")])
    assert one.paper is None
    assert comparison_table([one])["paper_r_squared"].tolist() == [None]
    assert "Table 1)" not in Page(render_comparison([one], tmp_path / "c.html")).text


def test_the_papers_settings_are_known_whatever_they_are_called(
    tmp_path: Path, schema: dict[str, Any]
) -> None:
    of_paper = settings_of({"experiments": ["paper"]}, schema)
    assert {name: paper_setting(settings) for name, settings in of_paper.items()} == {
        name: name for name in PAPER
    }
    own = tmp_path / "own.yaml"
    own.write_text(
        yaml.safe_dump({"extends": str(ROOT / "experiments/mnist.yaml"), "seeds": "0-3"})
    )
    assert paper_setting(settings_of({"experiments": [str(own)]}, schema)["own"]) == "mnist"
    # What a setting's name promises, a change takes back.
    namesake = tmp_path / "mnist.yaml"
    namesake.write_text("training: {task: mnist}\n")
    assert paper_setting(settings_of({"experiments": [str(namesake)]}, schema)["mnist"]) is None
    others = {"length": 4000, "weight_decay": 0.5, "batch_size": 64, "stop_above": 0.95}
    for key, value in others.items():
        changed = {"experiments": ["mnist"], "training": {key: value}}
        assert paper_setting(settings_of(changed, schema)["mnist"]) is None, key
    changed = {"experiments": ["mnist"], "semantics": {"threshold": 0.9}}
    assert paper_setting(settings_of(changed, schema)["mnist"]) is None
    same = {"experiments": ["mnist"], "hmm": {"restarts": 2}, "training": {"device": "cpu"}}
    assert paper_setting(settings_of(same, schema)["mnist"]) == "mnist"


def test_no_other_experiment_of_the_project_has_the_papers_settings(schema: dict[str, Any]) -> None:
    named = [path.stem for path in (ROOT / "experiments").glob("*.yaml")]
    settings = settings_of({"experiments": sorted(named)}, schema)
    assert {name for name in settings if paper_setting(settings[name])} == set(PAPER)


def test_settings_of_the_paper_name_every_setting_of_their_tasks() -> None:
    from training_maps.training.tasks import settings_schema

    for name, setting in SETTINGS.items():
        own = setting["task_settings"]
        assert fill_defaults({}, settings_schema(setting["task"])).keys() == own.keys(), name


def test_paper_rows_are_those_of_its_table(tmp_path: Path) -> None:
    # Hu et al. 2023, Table 1.
    assert [row.r_squared for row in PAPER.values()] == [0.977, 0.514, 0.094, 0.905, 0.961, 0.049]
    assert [row.dissimilarity for row in PAPER.values()] == [
        0.496, 0.038, 0.028, 0.806, 0.183, 0.063
    ]  # fmt: skip
    assert {name: row.coefficients for name, row in PAPER.items() if row.coefficients} == {
        "modular_addition": (-0.15, 0.98, 1.19, -0.20, 0.18, 0.95),
        "sparse_parities": (0.77, 0.41, 0.98, -0.23, 0.58, 1.13),
        "cifar100_destabilized": (0.66, 1.20, 0.28, 1.91, 1.12),
    }  # Table 2
    # The paper's dissimilarities and forks agree: those that fork differ most.
    assert {n for n, row in PAPER.items() if row.forking} == {
        n for n, row in PAPER.items() if row.dissimilarity > 0.1
    }
    path = summary_file(tmp_path, "mnist")
    table = comparison_table(read_experiments([path], {"mnist": {"paper": "mnist"}}))
    assert table.loc[0, "paper_p_value"] == "0.611"
