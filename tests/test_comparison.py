"""The comparison of experiments: its table, its page, and the paper's rows beside it."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from tests.test_report import HOSTILE, Page, summary_file
from training_maps import cli
from training_maps.errors import InputError
from training_maps.files import read_json
from training_maps.report.comparison import (
    PAPER,
    comparison_table,
    read_summaries,
    render_comparison,
)


def test_compare_command(tmp_path: Path) -> None:
    fragile = {"verdict": "fragile", "sentence": "The choice of 6 states is fragile: & why."}
    paths = [
        summary_file(tmp_path, "sparse_parities"),
        summary_file(tmp_path, "my own", r_squared=None, selection=fragile),
    ]
    csv, html = tmp_path / "comparison.csv", tmp_path / "comparison.html"
    command = ["compare", "--summaries", *map(str, paths), "--csv", str(csv), "--html", str(html)]
    assert cli.main(command) == 0
    table = pd.read_csv(csv).set_index("experiment")
    assert table.loc["sparse_parities", "r_squared"] == 0.9614
    assert table.loc["sparse_parities", "paper_r_squared"] == 0.961
    assert table.loc["sparse_parities", "detour_states"] == "0 3"
    assert table["choice"].to_dict() == {"sparse_parities": "stable", "my own": "fragile"}
    assert pd.isna(table.loc["my own", "r_squared"])
    assert pd.isna(table.loc["my own", "paper_r_squared"])
    assert "nan" not in csv.read_text().lower()
    page = Page(html.read_text(encoding="utf-8"))
    links = [value for tag, name, value in page.attributes if (tag, name) == ("a", "href")]
    assert links == ["sparse_parities/report.html", "my%20own/report.html"]
    assert "my own 40 39 6 fragile" in page.text
    assert "sparse_parities: The choice of 6 states is stable: it is." in page.text
    assert "my own: The choice of 6 states is fragile: & why." in page.text
    assert "not in the paper" in page.text
    assert "0.961 <0.001 0.183 yes" in page.text


def test_comparison_without_the_papers_experiments_has_no_paper_columns(tmp_path: Path) -> None:
    path = summary_file(tmp_path, "mine", experiment=HOSTILE)
    html = render_comparison(read_summaries([path]), [tmp_path / "r.html"], tmp_path / "c.html")
    page = Page(html)
    assert "Table 1" not in page.text
    assert "<script" not in html
    assert re.sub(r"\s+", " ", HOSTILE) in page.text


def test_same_experiment_twice_is_refused(tmp_path: Path) -> None:
    paths = [summary_file(tmp_path / "a", "x"), summary_file(tmp_path / "b", "x")]
    with pytest.raises(InputError, match="both summaries of experiment x"):
        read_summaries(paths)


def test_paper_rows_are_those_of_its_table(tmp_path: Path) -> None:
    # Hu et al. 2023, Table 1.
    assert [row.r_squared for row in PAPER.values()] == [0.977, 0.514, 0.094, 0.905, 0.961, 0.049]
    assert [row.dissimilarity for row in PAPER.values()] == [
        0.496, 0.038, 0.028, 0.806, 0.183, 0.063
    ]  # fmt: skip
    # The paper's dissimilarities and forks agree: those that fork differ most.
    assert {n for n, row in PAPER.items() if row.forking} == {
        n for n, row in PAPER.items() if row.dissimilarity > 0.1
    }
    table = comparison_table([read_json(summary_file(tmp_path, "mnist"))])
    assert table.loc[0, "paper_p_value"] == "0.611"


def test_other_outcomes_forks_and_outliers_have_their_columns(tmp_path: Path) -> None:
    outcome = {"name": HOSTILE, "is_time": False, "larger_means": "worse"}
    paths = [
        summary_file(tmp_path, "a", outcome=outcome, outlier_seeds=[1, 2]),
        summary_file(tmp_path, "b", outcome=None, forks=None, outlier_seeds=None),
    ]
    summaries = read_summaries(paths)
    table = comparison_table(summaries)
    assert table["outcome"].tolist() == [HOSTILE, None]
    assert table["predictive_forks"].tolist() == ["2", ""]
    assert table["n_outliers"].tolist() == [2, None]
    text = Page(render_comparison(summaries, [tmp_path / "r.html"] * 2, tmp_path / "c.html")).text
    assert "explains the outcome that is named" in text
    named = re.sub(r"\s+", " ", HOSTILE)
    assert f"stable {named} 0.961" in text
    assert "yes 2 0, 3 2" in text
    assert "yes – 0, 3 –" in text
