"""`training-maps compare`: the table and the page."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.unit.report.test_page import Page
from tests.unit.report.test_summary import summary_file
from training_maps import cli

pytestmark = pytest.mark.usefixtures("restore_logging")


def test_compare_command(tmp_path: Path) -> None:
    fragile = {"verdict": "fragile", "sentence": "The choice of 6 states is fragile: & why."}
    paths = [
        summary_file(tmp_path, "sparse_parities"),
        summary_file(tmp_path, "my own", r_squared=None, selection=fragile),
    ]
    csv, html = tmp_path / "comparison.csv", tmp_path / "comparison.html"
    about = json.dumps({"sparse_parities": {"paper": "sparse_parities"}, "my own": {"paper": None}})
    command = ["compare", "--summaries", *map(str, paths), "--csv", str(csv), "--html", str(html)]
    assert cli.main([*command, "--about", about]) == 0
    table = pd.read_csv(csv).set_index("experiment")
    assert table.loc["sparse_parities", "r_squared"] == 0.9614
    assert table.loc["sparse_parities", "paper_r_squared"] == 0.961
    assert table.loc["sparse_parities", "detour_states"] == "0 1 3"
    assert table.loc["sparse_parities", "delays"] == "0 3"
    assert table["choice"].to_dict() == {"sparse_parities": "stable", "my own": "fragile"}
    assert pd.isna(table.loc["my own", "r_squared"])
    assert pd.isna(table.loc["my own", "paper_r_squared"])
    assert "nan" not in csv.read_text().lower()
    page = Page(html.read_text(encoding="utf-8"))
    links = [value for tag, name, value in page.attributes if (tag, name) == ("a", "href")]
    assert links == ["sparse_parities/report.html", "my%20own/report.html"]
    assert "my own 40 39 phases 6 fragile" in page.text
    assert "sparse_parities: The choice of 6 states is stable: it is." in page.text
    assert "my own: The choice of 6 states is fragile: & why." in page.text
    assert "not a setting of the paper" in page.text
    assert "0.961 <0.001 0.183 yes" in page.text
