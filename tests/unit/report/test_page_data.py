"""The data behind the report's page, decoded and held against the result files."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.support.synthetic_results import METRICS, write_path_results, write_results
from training_maps.report import page_data as module
from training_maps.report.page_data import page_data, to_script
from training_maps.results import ExperimentResults
from training_maps.utils.files import read_json, write_table

N_RUNS, N_CHECKPOINTS = 9, 40
OUTLIER = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_results(
        tmp_path_factory.mktemp("data") / "x",
        N_RUNS,
        3,
        n_checkpoints=N_CHECKPOINTS,
        n_censored=1,
        back_edges=True,
    )
    outliers = pd.read_csv(folder / "outliers.csv")
    outliers.assign(is_outlier=outliers["seed"] == OUTLIER).to_csv(folder / "outliers.csv")
    return folder


@pytest.fixture(scope="module")
def data(folder: Path) -> dict[str, Any]:
    return page_data(ExperimentResults.read(folder), "epoch")


def decoded(text: str, kind: str = "<f4") -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype=kind)


def axis(data: dict[str, Any], number: int) -> np.ndarray:
    return decoded(data["axes"][number], "<f8")


def test_states_of_each_run_are_those_of_the_table(folder: Path, data: dict[str, Any]) -> None:
    paths = pd.read_csv(folder / "state_paths.csv")
    assert sorted(run["seed"] for run in data["runs"]) == list(range(N_RUNS))
    for run in data["runs"]:
        states = paths[paths["seed"] == run["seed"]].sort_values("step")["state"].to_numpy()
        again = np.repeat(run["states"], np.diff([*run["starts"], N_CHECKPOINTS]))
        np.testing.assert_array_equal(again, states)
        np.testing.assert_array_equal(axis(data, run["axis"]), 10.0 * np.arange(N_CHECKPOINTS))
        assert run["outlier"] == (run["seed"] == OUTLIER)
    assert len(data["axes"]) == 1  # the same times are there once


def test_curves_and_metrics_are_those_of_the_files(folder: Path, data: dict[str, Any]) -> None:
    seen = pd.read_parquet(folder / "observations.parquet")
    assert [metric["column"] for metric in data["metrics"]] == METRICS
    for run in data["runs"]:
        seed = run["seed"]
        log = pd.read_parquet(folder / "runs" / f"seed-{seed}" / "training_log.parquet")
        assert set(run["log"]["curves"]) == set(log.columns) - {"step", "epoch"}
        for name, text in run["log"]["curves"].items():
            np.testing.assert_array_equal(decoded(text), log[name].to_numpy("float32"))
        rows = seen[seen["seed"] == seed]
        for name, text in zip(METRICS, run["metrics"]["values"], strict=True):
            np.testing.assert_array_equal(decoded(text), rows[name].to_numpy("float32"))
    assert data["notes"] == []


def test_convergence_is_that_of_the_table(folder: Path, data: dict[str, Any]) -> None:
    table = pd.read_csv(folder / "convergence.csv").set_index("seed")
    for run in data["runs"]:
        row = table.loc[run["seed"]]
        assert run["converged"]["yes"] == row["converged"]
        assert run["converged"]["time"] == row["epoch"]
    assert not data["runs"][-1]["converged"]["yes"]


def test_facts_hold_every_number_of_the_map(folder: Path, data: dict[str, Any]) -> None:
    tmap = read_json(folder / "training_map.json")
    delays = pd.read_csv(folder / "delays.csv").set_index("state")["is_delay"]
    forks = {fork["state"] for fork in read_json(folder / "forks.json")["forks"]}
    for fact, state in zip(data["states"], tmap["states"], strict=True):
        assert fact["state"] == state["state"]
        assert ("delay" in fact["marks"]) == delays[state["state"]]
        assert ("fork" in fact["marks"]) == (state["state"] in forks)
        assert dict(fact["rows"])["runs"] == f"{state['n_runs']} of {N_RUNS}"
    for fact, edge in zip(data["edges"], tmap["transitions"], strict=True):
        assert (fact["from"], fact["to"]) == (edge["from"], edge["to"])
        assert dict(fact["rows"])["uses"] == str(edge["n_uses"])
    for route, path in zip(data["routes"], tmap["paths"], strict=True):
        assert route["seeds"] == path["seeds"]


def test_a_long_page_has_fewer_points_and_says_so(
    folder: Path, data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FEWEST_POINTS", 10)
    monkeypatch.setattr(module, "MOST_METRIC_VALUES", N_RUNS * N_CHECKPOINTS * len(METRICS) // 2)
    thin = page_data(ExperimentResults.read(folder), "epoch")
    assert thin["notes"] == [
        "To keep this page small, it has the metrics only of every 2nd checkpoint."
    ]
    for run, whole in zip(thin["runs"], data["runs"], strict=True):
        assert run["log"]["curves"] == whole["log"]["curves"]
        np.testing.assert_array_equal(axis(thin, run["metrics"]["axis"]), np.arange(0, 400, 20.0))
        for text, full in zip(run["metrics"]["values"], whole["metrics"]["values"], strict=True):
            np.testing.assert_array_equal(decoded(text), decoded(full)[::2])


def test_of_many_runs_outliers_and_an_even_choice_keep_their_curves(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FEWEST_POINTS", N_CHECKPOINTS)
    monkeypatch.setattr(module, "MOST_LOG_VALUES", 4 * 4 * N_CHECKPOINTS)
    thin = page_data(ExperimentResults.read(folder), "epoch")
    assert thin["notes"] == [
        "To keep this page small, it has loss and accuracy only of 4 of 9 runs."
    ]
    kept = [run["seed"] for run in thin["runs"] if "log" in run]
    assert len(kept) == 4
    assert OUTLIER in kept
    assert thin["runs"][0]["seed"] in kept  # the fastest
    assert thin["runs"][-1]["seed"] in kept  # the slowest
    assert all("metrics" in run for run in thin["runs"])
    monkeypatch.setattr(module, "MOST_LOG_VALUES", 1)
    fewest = page_data(ExperimentResults.read(folder), "epoch")
    assert [run["seed"] for run in fewest["runs"] if "log" in run] == [OUTLIER]


def test_what_is_missing_is_left_out(tmp_path: Path) -> None:
    data = page_data(ExperimentResults.read(write_path_results(tmp_path)), "step")
    assert data["metrics"] == []
    assert all(set(run) <= {"seed", "axis", "starts", "states", "outlier"} for run in data["runs"])
    assert "coefficient" not in dict(data["states"][0]["rows"])


def test_infinite_losses_and_gaps_are_no_json_numbers(tmp_path: Path) -> None:
    folder = write_results(tmp_path, 2, 2)
    path = folder / "runs" / "seed-1" / "training_log.parquet"
    log = pd.read_parquet(path)
    log.loc[3, "eval_loss"] = np.inf
    log.loc[5, "eval_loss"] = np.nan
    write_table(log, path)
    data = page_data(ExperimentResults.read(folder), "epoch")
    (run,) = [run for run in data["runs"] if run["seed"] == 1]
    values = decoded(run["log"]["curves"]["eval_loss"])
    assert values[3] == np.inf
    assert np.isnan(values[5])
    json.loads(str(to_script(data)))


def test_nothing_in_the_script_can_end_it() -> None:
    names = ["</script><script>alert(1)</script>", "<!--", "]]>", "\u2028", "&amp;", "μ", '"', "\\"]
    text = str(to_script({"names": names}))
    assert json.loads(text) == {"names": names}
    assert not set("<>&\u2028\u2029") & set(text)
    with pytest.raises(ValueError, match="JSON"):
        to_script({"value": float("nan")})


def test_of_very_many_runs_some_can_be_chosen_and_it_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 4)
    data = page_data(ExperimentResults.read(folder), "epoch")
    seeds = [run["seed"] for run in data["runs"]]
    assert len(seeds) == 4
    assert data["n_runs"] == N_RUNS
    assert data["outliers"] == [OUTLIER]
    assert OUTLIER in seeds
    chosen = [seed for route in data["routes"] for seed in route["seeds"]]
    assert sorted(chosen) == sorted(seeds)
    paths = read_json(folder / "training_map.json")["paths"]
    of_all = {tuple(path["states"]): len(path["seeds"]) for path in paths}
    for route in data["routes"]:
        assert route["n_runs"] == of_all[tuple(route["states"])]
        assert paths[route["row"]]["states"] == route["states"]
    assert data["notes"][0].startswith("The runs to choose from")
    assert f"are 4 of {N_RUNS}" in data["notes"][0]
