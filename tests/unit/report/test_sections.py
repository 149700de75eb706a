"""The page's blocks on forks, phase transitions, the regression and outliers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.support.plain_figures import plain_figures
from tests.support.simulated_runs import detour, simulate
from tests.support.synthetic_results import write_analysis, write_path_results, write_results
from tests.unit.report.test_page import HOSTILE, Page, check_self_contained
from training_maps.figures.symbols import metric_symbol
from training_maps.report import sections
from training_maps.report.headline import headline
from training_maps.report.page import render_report
from training_maps.report.summary import summarise
from training_maps.results import ExperimentResults
from training_maps.utils import wording
from training_maps.utils.files import read_json, write_json


@pytest.fixture(scope="module", autouse=True)
def _plain() -> Iterator[None]:
    with plain_figures():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_results(tmp_path_factory.mktemp("blocks"), 15, 4, n_censored=2)


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    return Page(render_report(ExperimentResults.read(folder))).text


def section(text: str, begin: str, end: str) -> str:
    return text[text.rindex(begin) : text.rindex(end)]


def test_forks_are_told_with_their_means_and_tests(folder: Path, text: str) -> None:
    results = ExperimentResults.read(folder)
    assert results.forks["forks"]
    for fork in results.forks["forks"]:
        for branch in fork["branches"]:
            low, high = branch["interval_epoch"] or (None, None)
            numbers = (
                f"{branch['to']} {branch['n_runs']} {wording.share(branch['share'])} "
                f"{wording.amount(branch['mean_epoch'])} {wording.interval((low, high))} "
                f"{branch['n_converged_before']}"
            )
            assert numbers in text
        verdict = "predicts" if fork["predicts_convergence"] else "is not seen to predict"
        p = wording.equals_p(fork["p_value_adjusted"])
        assert f"{verdict} when a run converges ({p})" in text
    for note in results.forks["notes"]:
        assert note["text"] in text


def test_a_fork_that_predicts_is_in_headline_and_summary(tmp_path: Path) -> None:
    results = ExperimentResults.read(write_analysis(tmp_path, *simulate(detour, 20, 1)))
    summary = summarise(results)
    found = {"states": [0], "tested": [0], "predicting": [0]}
    assert summary["forks"] == {**found, "found_again": [None]}
    said = headline(summary, significant=True)
    assert "The branch that a run takes from state 0 predicts when it converges." in said
    text = Page(render_report(results, "step")).text
    assert "predicts when a run converges (p = 0.010)" in text
    assert "There is no fork" not in text
    none = {**summary, "forks": {**summary["forks"], "predicting": []}}
    no_evidence = "We found no evidence that the branch a run takes predicts when it converges"
    assert f"{no_evidence}." in headline(none, True)
    assert f"{no_evidence} (8 runs: too few to tell)." in headline({**none, "n_runs": 8}, True)


def test_a_linear_map_has_a_sentence_on_forks_and_no_block(tmp_path: Path) -> None:
    write_results(tmp_path, 6, 3, forking=False)
    html = render_report(ExperimentResults.read(tmp_path))
    assert 'id="forks"' not in html
    assert "#forks" not in html
    assert Page(html).text.count("There is no fork") == 1


def test_forks_without_convergence_are_told_but_not_compared(tmp_path: Path) -> None:
    results = ExperimentResults.read(write_path_results(tmp_path))
    html = render_report(results)
    text = section(Page(html).text, "A fork is a state", "Convergence times")
    assert "It is not known when runs converge, so the branches cannot be compared." in text
    assert "mean convergence" not in text
    assert 'aria-label="Convergence times of the branches' not in html
    for fork in results.forks["forks"]:
        for branch in fork["branches"]:
            assert f"{branch['to']} {branch['n_runs']} {wording.share(branch['share'])}" in text


def test_runs_that_end_at_a_fork_are_told(folder: Path) -> None:
    results = ExperimentResults.read(folder)
    results.forks["forks"] = [
        {"state": 0, "seeds_ending": []},
        {"state": 2, "seeds_ending": [3]},
        {"state": 5, "seeds_ending": [4, 5]},
    ]
    assert sections.forks_ending(results) == [
        "1 run ends in state 2, and takes no branch there.",
        "2 runs end in state 5, and take no branch there.",
    ]


def test_phases_are_told_with_what_coincides_beside_chance(folder: Path, text: str) -> None:
    results = ExperimentResults.read(folder)
    for phase in results.phases["phases"].values():
        assert phase["sentence"] in text
        for row in [row for row in phase["coincidences"] if row["n_runs"]][:6]:
            name = (
                row["state"] if row["transition"] is None else "{} → {}".format(*row["transition"])
            )
            assert (
                f"{name} {row['n_runs']} {row['expected_at_random']:.1f} "
                f"{row['expected_of_other_runs']:.1f} {wording.p_value(row['p_value'])}" in text
            )
    order = results.phases["order"]
    assert f"{order['memorisation first']} memorise first" in text
    for note in results.phases["notes"]:
        assert note["text"] in text


def test_order_in_words(folder: Path) -> None:
    results = ExperimentResults.read(folder)
    order = results.phases["order"]
    order.update(dict.fromkeys(order, 0))
    assert sections.order_sentence(results) == ""
    order.update({"memorisation first": 3})
    assert sections.order_sentence(results) == "All 3 runs memorise first."
    order.update({"together": 1, "neither": 2, "not known": 9})
    assert sections.order_sentence(results) == (
        "Of 6 runs, 3 memorise first, 1 does both at about the same time and 2 do neither."
    )


def test_without_logs_the_reason_stands_for_the_phases(tmp_path: Path) -> None:
    results = ExperimentResults.read(write_path_results(tmp_path))
    text = section(Page(render_report(results)).text, "Memorisation and", "Convergence times")
    assert "There are no training logs, which phases are found in." in text
    assert "histograms" not in text


def test_the_regression_is_told_with_what_stands_behind_it(folder: Path, text: str) -> None:
    results = ExperimentResults.read(folder)
    for row in results.coefficients.itertuples():
        assert wording.true_minus(row.explanation) in text
        numbers = [row.coefficient, row.interval_low, row.interval_high, row.standard_error]
        first, low, high, error = (wording.decimal(number) for number in numbers)
        assert f"{first} {low} to {high} {error}" in text
    found = results.regression
    low, high = found["r_squared_interval"]
    assert f"R² {found['r_squared']:.3f} ({low:.3f} to {high:.3f})" in text
    assert f"leave-one-seed-out R² {wording.decimal(found['leave_one_out_r_squared'])}" in text
    assert f"F statistic {found['f_statistic']:.2f}" in text
    assert f"R², outcomes shuffled {found['shuffled']['mean_r_squared']:.3f}" in text
    assert "likelihood ratio" not in text


def _with_regression(folder: Path, **changes: object) -> ExperimentResults:
    path = write_results(folder, 15, 4) / "regression.json"
    write_json({**read_json(path), **changes}, path)
    return ExperimentResults.read(folder)


def test_a_tobit_model_is_named(tmp_path: Path) -> None:
    changes = {"method": "Tobit", "f_statistic": None, "likelihood_ratio": 12.345}
    text = Page(render_report(_with_regression(tmp_path, **changes))).text
    assert "A Tobit regression of convergence time" in text
    assert "p (likelihood ratio)" in text
    assert "likelihood ratio 12.35" in text or "likelihood ratio 12.34" in text
    assert "F statistic" not in text


def test_another_outcome_is_called_by_its_name(tmp_path: Path) -> None:
    name = f"final {HOSTILE}"
    outcome = {"kind": "final", "name": name, "unit": "as logged", "is_time": False}
    outcome["larger_means"] = "worse"
    results = _with_regression(
        tmp_path,
        outcome=outcome,
        detour_states=[],
        column="eval_loss",
        direction="below",
        threshold=0.25,
        alternatives={"sentence": "The forest loses -0.1."},
    )
    html = render_report(results)
    page = Page(html)
    check_self_contained(html, page)
    told = re.sub(r"\s+", " ", name)
    assert f"States and {told}" in page.text
    assert f"R² of {told} on the shares of states" in page.text
    assert f"goes with a worse {told}" in page.text
    assert "Delays and the paper's detours are defined for times only." in page.text
    assert "No state is seen to delay" not in page.text
    assert "first checkpoint with evaluation loss < 0.25" in page.text
    assert "The forest loses −0.1." in page.text
    (named,) = re.findall('href="#detours">([^<]*)<', html)
    assert named.startswith("States and ")
    assert "convergence" not in named


def test_outliers_are_named_with_their_distances(tmp_path: Path) -> None:
    write_results(tmp_path, 12, 4)
    table = pd.read_csv(tmp_path / "outliers.csv")
    table.assign(is_outlier=table["seed"].isin([2, 5])).to_csv(tmp_path / "outliers.csv")
    results = ExperimentResults.read(tmp_path)
    text = Page(render_report(results)).text
    assert "2 runs (seeds 2 and 5) do not behave like the rest." in text
    assert "These 2 runs do not behave like the rest" in text
    distances = results.dissimilarity.set_index(["seed_a", "seed_b"])
    for seed in (2, 5):
        (way,) = [p["states"] for p in results.training_map["paths"] if seed in p["seeds"]]
        mine = [seed in pair for pair in distances.index]
        means = distances.loc[mine, ["index", "discrete", "means"]].mean()
        numbers = " ".join(f"{value:.3f}" for value in means)
        assert f"{seed} {wording.route(way)} {numbers}" in text
    summary = summarise(results)
    assert summary["outlier_seeds"] == [2, 5]


@pytest.mark.parametrize(
    ("n_runs", "seeds", "said"),
    [(3, None, "3 runs are too few to tell outliers"), (12, [], "there are no outliers")],
)
def test_no_outliers_is_a_sentence(
    tmp_path: Path, n_runs: int, seeds: list[int] | None, said: str
) -> None:
    write_results(tmp_path, n_runs, 2)
    table = pd.read_csv(tmp_path / "outliers.csv").assign(is_outlier=False)
    table.to_csv(tmp_path / "outliers.csv", index=False)
    results = ExperimentResults.read(tmp_path)
    assert summarise(results)["outlier_seeds"] == seeds
    text = Page(render_report(results)).text
    assert said in text
    assert "triangle" not in text


def test_features_by_gradient_have_their_direction(tmp_path: Path) -> None:
    path = write_results(tmp_path, 6, 3) / "training_map.json"
    data = read_json(path)
    data["feature_ranking"] = "posterior_gradient"
    for state in data["states"]:
        for sign, feature in zip((1, -1, None), state["features"], strict=True):
            feature["posterior_gradient"] = sign
    write_json(data, path)
    results = ExperimentResults.read(tmp_path)
    text = Page(render_report(results)).text
    assert "the largest gradients of its posterior probability" in text
    assert "inverse covariance" not in section(text, "States Features", "Transitions")
    for state in data["states"]:
        up, down, neither = (metric_symbol(feature["metric"]) for feature in state["features"])
        assert f"{up}↑ (" in text
        assert f"{down}↓ (" in text
        assert f"{neither} (" in text


def test_results_of_before_have_no_new_blocks(folder: Path, tmp_path: Path) -> None:
    write_results(tmp_path, 6, 3)
    for name in ("forks.json", "run_paths.csv", "phase_transitions.csv", "phase_transitions.json",
                 "outcomes.csv", "outliers.csv", "dissimilarity_per_run.csv"):  # fmt: skip
        (tmp_path / name).unlink()
    results = ExperimentResults.read(tmp_path)
    html = render_report(results)
    for block in ("forks", "phases"):
        assert f'id="{block}"' not in html
        assert f"#{block}" not in html
    text = Page(html).text
    for absent in ("Outlier runs", "There is no fork", "Below each state is", "left out, one"):
        assert absent not in text
    summary = summarise(results)
    assert summary["forks"] is None
    assert summary["outlier_seeds"] is None


def test_what_other_seeds_would_show_is_told_part_by_part(folder: Path, text: str) -> None:
    found = read_json(folder / "reproducibility.json")
    shown = section(text, "Would other seeds show it?", "Metrics")
    for sentence in found["sentences"]:
        assert wording.true_minus(sentence) in shown
    for row in found["found"]["states"]:
        assert f"state {row['state']} {wording.share(row['share'])}" in shown
    results = ExperimentResults.read(folder)
    assert results.found_again("states") == {
        row["state"]: row["share"] for row in found["found"]["states"]
    }
    assert results.rarely_found == {
        part
        for kind in ("states", "transitions")
        for part, share in results.found_again(kind).items()
        if share < 0.5
    }
    agreement = found["agreement"]
    assert summarise(results)["reproducibility"] == {
        name: max(value, 0) for name, value in agreement.items()
    }
    off = {"reproducibility": {"halves": 0}}
    assert "Would other seeds" not in Page(render_report(results, settings=off)).text


def test_without_halves_nothing_is_said_of_other_seeds(tmp_path: Path) -> None:
    write_results(tmp_path, 6, 3)
    (tmp_path / "reproducibility.json").unlink()
    results = ExperimentResults.read(tmp_path)
    assert results.rarely_found == frozenset()
    assert summarise(results)["reproducibility"] == dict.fromkeys(("states", "routes", "n_states"))
    html = render_report(results)
    assert "Would other seeds" not in html
    assert "is faint" not in html
