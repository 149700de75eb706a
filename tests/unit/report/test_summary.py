"""An experiment's summary, the terminal's table of summaries, and the words that tell of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.synthetic_results import write_results
from training_maps import cli
from training_maps.report.summary import _choice, summarise, terminal_findings, terminal_table
from training_maps.results import ExperimentResults
from training_maps.utils.errors import InputError
from training_maps.utils.files import read_json, write_json


def test_summary_agrees_with_the_tables(tmp_path: Path) -> None:
    write_results(tmp_path / "x", 10, 4, n_censored=2, experiment="inner")
    output = tmp_path / "summary.json"
    command = ["summary", "--results", str(tmp_path / "x"), "--experiment", "outer"]
    assert cli.main([*command, "--output", str(output)]) == 0
    summary = read_json(output)
    regression = read_json(tmp_path / "x" / "regression.json")
    distances = pd.read_csv(tmp_path / "x" / "dissimilarity.csv")
    assert summary["experiment"] == "outer"
    assert summary["n_runs"] == 10
    assert summary["n_converged"] == 8
    assert summary["n_states"] == 4
    assert summary["forking"] is True
    assert summary["r_squared"] == regression["r_squared"]
    assert summary["p_value"] == regression["p_value"]
    assert summary["detour_states"] == regression["detour_states"]
    late = pd.read_csv(tmp_path / "x" / "delays.csv")
    assert summary["delays"] == late.loc[late["is_delay"], "state"].tolist()
    assert [size["state"] for size in summary["delay_sizes"]] == summary["delays"]
    assert summary["foretelling"] == regression["foretelling"]
    for name, value in summary["dissimilarity"].items():
        assert value == pytest.approx(np.mean(distances[name].to_numpy()))


def test_summary_of_one_run_has_no_numbers_to_give(tmp_path: Path) -> None:
    write_results(tmp_path, 1, 2)
    summary = summarise(ExperimentResults.read(tmp_path))
    assert summary["r_squared"] is None
    assert summary["dissimilarity"] == {"index": None, "discrete": None, "means": None}
    assert summary["forking"] is False
    assert summary["delays"] == []
    json.dumps(summary, allow_nan=False)


def test_a_map_without_forks_is_not_said_to_fork(tmp_path: Path) -> None:
    write_results(tmp_path, 10, 4)
    forks = read_json(tmp_path / "forks.json")
    assert summarise(ExperimentResults.read(tmp_path))["forking"] is True
    write_json({**forks, "forks": []}, tmp_path / "forks.json")
    summary = summarise(ExperimentResults.read(tmp_path))
    assert (summary["linear"], summary["forking"]) == (False, False)
    (tmp_path / "forks.json").unlink()  # nobody looked, and runs differ
    assert summarise(ExperimentResults.read(tmp_path))["forking"] is True


def summary_file(tmp_path: Path, name: str, **changes: object) -> Path:
    summary = {
        "experiment": name,
        "n_runs": 40,
        "n_converged": 39,
        "n_states": 6,
        "r_squared": 0.9614,
        "p_value": 0.00001,
        "outcome": {
            "kind": "convergence_time",
            "name": "convergence time",
            "is_time": True,
            "larger_means": "later",
        },
        "dissimilarity": {"index": 0.1834, "discrete": 0.1, "means": None},
        "forking": True,
        "forks": {"states": [0, 2], "tested": [0, 2], "predicting": [2]},
        "detour_states": [0, 1, 3],
        "delays": [0, 3],
        "outlier_seeds": [7],
        "selection": {"verdict": "stable", "sentence": "The choice of 6 states is stable: it is."},
        "structure": "phases",
        "reproducibility": {"states": 0.9512, "routes": 1.0, "n_states": 0.6},
        "notes": [],
        "made_by": {},
    }
    path = tmp_path / name / "summary.json"
    write_json({**summary, **changes}, path)
    return path


def test_a_verdict_that_few_runs_cannot_give_has_a_question_mark(tmp_path: Path) -> None:
    few = summary_file(tmp_path, "few", structure="drift", structure_is_judged=False)
    enough = summary_file(tmp_path, "enough", structure="drift", structure_is_judged=True)
    before = summary_file(tmp_path, "before", structure="drift")
    none = summary_file(tmp_path, "none", structure=None, structure_is_judged=None)
    lines = terminal_table([few, enough, before, none]).splitlines()[1:]
    assert [line.split()[3] for line in lines] == ["drift?", "drift", "drift", "–"]


def test_terminal_table_is_aligned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [
        summary_file(tmp_path, "sparse_parities"),
        summary_file(
            tmp_path,
            "x",
            r_squared=None,
            p_value=None,
            forking=False,
            forks={"states": [], "tested": [], "predicting": []},
            detour_states=[],
            delays=[],
            outlier_seeds=None,
            selection=None,
            structure=None,
            reproducibility={"states": None, "routes": None, "n_states": None},
        ),
    ]
    assert cli.main(["summary", "--show", *map(str, paths)]) == 0
    shown = capsys.readouterr().out
    assert shown == f"{terminal_table(paths)}\n\n{terminal_findings(paths)}\n"
    head, first, second, _, *found = shown.splitlines()
    assert first.split()[12:15] == ["0", "3", "1"]
    assert first.split()[:12] == [
        "sparse_parities", "40", "39", "phases", "6", "stable", "0.95", "0.961", "<0.001", "0.183",
        "forking", "2",
    ]  # fmt: skip
    assert len(first) < 160
    assert found[0].startswith(
        "sparse_parities: 40 runs of training went through 6 states; 39 of them converged. The map "
    )
    assert found[-1].strip() == str(tmp_path / "x" / "report.html")
    assert second.split()[5:14] == ["–", "–", "–", "–", "0.183", "linear", "–", "–", "–"]
    for column in ("choice", "map", "delays"):
        at = head.index(column)
        assert first[at - 1] == second[at - 1] == " "
        assert first[at] != " "
        assert second[at] != " "


def test_broken_summaries_are_named(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_json({"experiment": "x"}, path)
    with pytest.raises(InputError, match=r"summary\.json: has no n_runs"):
        terminal_table([path])
    write_json([], path)
    with pytest.raises(InputError, match="has no experiment"):
        terminal_table([path])
    whole = summary_file(tmp_path, "x")
    write_json({k: v for k, v in read_json(whole).items() if k != "selection"}, whole)
    with pytest.raises(InputError, match="has no selection; rerun the summary stage"):
        terminal_table([whole])


@pytest.mark.parametrize(
    ("verdict", "choice"),
    [("stable", "stable"), ("fragile", "fragile"), ("not known", "fragile")],
)
def test_choice_is_firm_or_not(verdict: str, choice: str) -> None:
    assert _choice({"verdict": verdict}) == choice
    assert _choice({}) is None
    assert _choice({"verdict": verdict}, "phases") == choice
    assert _choice({"verdict": verdict}, "drift") == "fragile"
