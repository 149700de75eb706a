"""The comparison of experiments: its table, its page, and the paper's numbers beside it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.synthetic_results import write_results
from tests.unit.report.test_page import HOSTILE, Page
from tests.unit.report.test_summary import summary_file
from training_maps import cli
from training_maps.report.comparison import (
    Compared,
    comparison_table,
    pair_sentence,
    read_experiments,
    render_comparison,
)
from training_maps.report.summary import summarise
from training_maps.results import ExperimentResults
from training_maps.utils.errors import InputError
from training_maps.utils.files import read_json, write_json


def experiment(folder: Path, name: str, **options: Any) -> Path:
    """The summary of made-up results, all of which lie beside it."""
    write_results(folder / name, experiment=name, **options)
    summary = folder / name / "summary.json"
    write_json(summarise(ExperimentResults.read(folder / name)), summary)
    return summary


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ("[]", "must be a JSON object of objects"),
        ('{"x": 1}', "must be a JSON object of objects"),
        ("{", "is not valid JSON"),
        ('{"x": {"paper": "cifar1000"}}', "the paper has no cifar1000"),
        ('{"x": {"wrong": 1}}', "does not know wrong"),
    ],
)
def test_what_is_told_of_experiments_is_checked(
    tmp_path: Path, about: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = summary_file(tmp_path, "x")
    command = ["compare", "--summaries", str(path), "--csv", str(tmp_path / "c.csv")]
    assert cli.main([*command, "--html", str(tmp_path / "c.html"), "--about", about]) != 0
    assert message in capsys.readouterr().err


def test_coefficients_histograms_and_pairs_are_those_of_the_results(tmp_path: Path) -> None:
    base = experiment(tmp_path, "plain", n_runs=20, n_states=5, n_censored=2)
    variant = experiment(tmp_path, "steady", n_runs=20, n_states=3, forking=False)
    about = {
        "plain": {"paper": "modular_addition"},
        "steady": {"compare_with": "plain", "description": "with layer norm"},
    }
    experiments = read_experiments([base, variant], about)
    html = render_comparison(experiments, tmp_path / "comparison.html")
    page = Page(html)
    assert "Stabilised and destabilised" in page.text
    assert "The map of plain forks, that of steady is linear." in page.text
    # Two maps: a circle for each state of both.
    assert html.count('class="disc"') == 5 + 3
    results = ExperimentResults.read(tmp_path / "plain")
    section = page.text[page.text.index("Coefficients where maps fork") :]
    for row in results.coefficients.to_dict("records"):
        number = f"{row['coefficient']:.2f}".replace("-", "−")
        assert f"{row['state']} {'detour ' if row['is_detour'] else ''}{number}" in section
    # The paper's Table 2, and nothing for the linear map.
    assert "0 −0.15 1 0.98 2 detour 1.19 3 −0.20 4 0.18 5 detour 0.95" in section
    assert section.index("plain") < section.index("Convergence times")
    assert "steady" not in section[: section.index("Convergence times")]
    assert html.count("Histogram of the convergence times of") == 2
    assert "2 never" in html or "times-0" in html
    assert "with layer norm. Linear: 3 states, 2 transitions, 1 route of 20 runs" in page.text
    assert "<script" not in html
    assert not re.search(r'(src|href)="(https?:)?//', html)


def test_a_pair_of_which_one_is_missing_is_left_out(tmp_path: Path) -> None:
    only = experiment(tmp_path, "steady", n_runs=5, n_states=3)
    about = {"steady": {"compare_with": "plain"}}
    (one,) = read_experiments([only], about)
    assert one.compare_with == "plain"
    assert "Stabilised" not in Page(render_comparison([one], tmp_path / "c.html")).text
    with_itself = read_experiments([only], {"steady": {"compare_with": "steady"}})
    assert "Stabilised" not in Page(render_comparison(with_itself, tmp_path / "c.html")).text


def test_names_and_descriptions_of_any_kind_stay_text(tmp_path: Path) -> None:
    paths = [
        experiment(tmp_path, "a", n_runs=6, n_states=3),
        experiment(tmp_path, "b", n_runs=6, n_states=3),
    ]
    a, b = read_experiments(paths)
    named = Compared({**a.summary, "experiment": HOSTILE}, a.folder, None, "b", "step", HOSTILE)
    html = render_comparison([named, b], tmp_path / "c.html")
    assert "<script" not in html
    assert "<img" not in html
    text = Page(html).text
    assert text.count(re.sub(r"\s+", " ", HOSTILE).strip()) >= 5


@pytest.mark.parametrize(
    ("forking", "distances", "sentence"),
    [
        (
            (True, True),
            (0.5, 0.25),
            "The map of a forks, and so does that of b. Runs of b differ less from each other than "
            "those of a (dissimilarity 0.250 and 0.500).",
        ),
        ((False, False), (None, 1.0), "The map of a is linear, and so is that of b."),
        (
            (False, True),
            (0.5, 0.5),
            "The map of a is linear, that of b forks. Runs of b differ as much from each other as "
            "those of a (dissimilarity 0.500 and 0.500).",
        ),
    ],
)
def test_sentence_of_a_pair(
    forking: tuple[bool, bool], distances: tuple[float | None, float], sentence: str
) -> None:
    a, b = (
        {"experiment": name, "forking": forks, "dissimilarity": {"index": distance}}
        for name, forks, distance in zip("ab", forking, distances, strict=True)
    )
    assert pair_sentence(a, b) == sentence


def test_a_map_without_forks_is_not_compared_as_one(tmp_path: Path) -> None:
    none = {"states": [], "tested": [], "predicting": []}
    summaries = [
        read_json(summary_file(tmp_path, name, forking=False, linear=False, forks=none))
        for name in "ab"
    ]
    said = pair_sentence(*summaries)
    assert said.startswith("The map of a has no fork, nor has that of b.")
    table = comparison_table(read_experiments([tmp_path / "a" / "summary.json"]))
    assert table["shape"].tolist() == ["no fork"]
    assert table["forking"].tolist() == [False]


def test_comparison_without_the_papers_experiments_has_no_paper_columns(tmp_path: Path) -> None:
    path = summary_file(tmp_path, "mine", experiment=HOSTILE)
    html = render_comparison(read_experiments([path]), tmp_path / "c.html")
    page = Page(html)
    assert "Table 1" not in page.text
    assert "<script" not in html
    assert re.sub(r"\s+", " ", HOSTILE) in page.text


def test_same_experiment_twice_is_refused(tmp_path: Path) -> None:
    paths = [summary_file(tmp_path / "a", "x"), summary_file(tmp_path / "b", "x")]
    with pytest.raises(InputError, match="both summaries of experiment x"):
        read_experiments(paths)


def test_other_outcomes_forks_and_outliers_have_their_columns(tmp_path: Path) -> None:
    outcome = {"kind": "table", "name": HOSTILE, "is_time": False, "larger_means": "worse"}
    paths = [
        summary_file(tmp_path, "a", outcome=outcome, outlier_seeds=[1, 2]),
        summary_file(tmp_path, "b", outcome=None, forks=None, outlier_seeds=None),
    ]
    experiments = read_experiments(paths)
    table = comparison_table(experiments)
    assert table["outcome"].tolist() == [HOSTILE, None]
    assert table["predictive_forks"].tolist() == ["2", ""]
    assert table["n_outliers"].tolist() == [2, None]
    text = Page(render_comparison(experiments, tmp_path / "c.html")).text
    assert "explains the outcome that is named" in text
    named = re.sub(r"\s+", " ", HOSTILE)
    assert f"stable 0.95 {named} 0.961" in text
    assert "forking 2 0, 3 2" in text
    assert "forking – 0, 3 –" in text
