"""Sensitivity and early warning, through the workflow: only where they are asked for."""

import json

import pandas as pd

ASKED = (
    "sensitivity: {subsets: {norms: [l1, l2]}}\n"
    "early_warning: {fractions: [0.2], folds: 3, permutations: 9}\n"
)


def test_they_are_made_where_they_are_asked_for(project):
    assert not {"sensitivity", "early_warning"} & set(project.planned())
    file = project.folder / "experiments" / "tiny.yaml"
    file.write_text(file.read_text() + ASKED)
    planned = project.planned()
    assert planned["sensitivity_variant"] == 2  # the subset, and other starts
    assert planned["sensitivity"] == planned["early_warning"] == 1
    assert not planned["hmm"]
    assert not planned["map"]
    targets = [f"results/tiny/{name}.csv" for name in ("sensitivity", "early_warning")]
    project.run("--", *targets)
    table = pd.read_csv(project.results / "sensitivity.csv")
    assert table["variant"].tolist() == ["reference", "other_starts", "norms"]
    assert table["metrics"].tolist()[2] == "l1 l2"
    assert json.loads((project.results / "sensitivity.json").read_text())["sentences"]
    early = pd.read_csv(project.results / "early_warning.csv")
    assert early["reason"].str.contains("6 of 10 runs are there").any()
    assert not project.planned("--", *targets)
    # Another beginning is another prediction, and nothing else.
    again = project.planned("--config", "early_warning={fractions: [0.5]}", "--", *targets)
    assert again == {"early_warning": 1}


def test_what_cannot_be_is_told_before_anything_runs(finished):
    told = finished[0].refusal("sensitivity={subsets: {a: [l3]}}")
    assert "sensitivity.subsets.a: the model does not see l3" in told
