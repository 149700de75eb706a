"""The page of placed runs: whole by itself, everything escaped, and every number finite."""

import dataclasses
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from tests.support.placed_runs import log_of, metrics_of, small_reference
from training_maps.placing.page import page, write_page
from training_maps.placing.place import NewRun, place_run


def placed(name="run 7", until=None, shift=0.0):
    table = metrics_of(150, np.random.default_rng([9, 7]))
    table.loc[12:, "var_w"] += shift
    return place_run(small_reference(), NewRun(name, table.iloc[:until], log_of(150)))


@pytest.fixture(scope="module")
def text():
    return page(small_reference(), [placed(), placed("other", shift=0.6)])


def test_it_asks_for_no_file_and_runs_no_script(text):
    assert not re.search(r"(src|href)=|<script|@import|url\(", text)
    assert 'http-equiv="refresh"' not in text
    assert "default-src 'none'; style-src 'unsafe-inline'" in text


def test_it_loads_itself_again_where_a_run_goes_on():
    assert '<meta http-equiv="refresh" content="30">' in page(small_reference(), [placed()], 30)


def test_each_run_has_its_section(text):
    assert text.count("<section>") == 1
    assert text.count('<section class="warned">') == 1
    assert text.count('class="chart"') == 6
    assert "From step 120 on it leaves" in text
    assert text.count('class="bad"') >= 1


def test_charts_are_whole_and_finite(text):
    for chart in re.findall(r"<svg class=.*?</svg>", text, re.DOTALL):
        ET.fromstring(chart)
        assert "nan" not in chart
        assert "inf" not in chart.replace("infinity", "")
    for points in re.findall(r'points="([^"]*)"', text):
        numbers = [float(x) for pair in points.split() for x in pair.split(",")]
        assert all(-1 <= x <= 861 for x in numbers)


def test_names_are_escaped():
    text = page(small_reference(), [placed("<b>&")])
    assert "&lt;b&gt;&amp;" in text
    assert "<b>&" not in text


def test_a_run_of_two_checkpoints_and_a_map_without_outcome():
    reference = dataclasses.replace(small_reference(), forecast=None)
    table = metrics_of(150, np.random.default_rng(1)).iloc[:2]
    text = page(reference, [place_run(reference, NewRun("run", table))])
    assert text.count('class="chart"') == 2


def test_the_map_is_drawn_where_it_was_drawn_before():
    reference = small_reference()
    drawn = {**reference.training_map, "svg": "<svg id='map'></svg>", "colours": {"0": "#332288"}}
    text = page(dataclasses.replace(reference, training_map=drawn), [placed()])
    assert "<svg id='map'>" in text
    assert "#332288" in text


def test_it_is_written_whole(tmp_path):
    write_page(tmp_path / "page.html", small_reference(), [placed(until=5)])
    assert (tmp_path / "page.html").read_text().endswith("</html>\n")
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
