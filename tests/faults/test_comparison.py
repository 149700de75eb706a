"""The comparison of results notices what is missing, too many, or other; times do not count."""

import os

import numpy as np
import pandas as pd
import pytest

from tests.faults.comparison import differences
from training_maps.utils.files import made_by, write_json, write_table


def write(folder, value=1.0, seed=3):
    (folder / "hmm").mkdir(parents=True)
    (folder / "logs").mkdir()
    (folder / "logs" / "map.log").write_text(f"at {folder}")
    write_table(pd.DataFrame({"x": [value, np.nan]}), folder / "a.parquet", made_by(seed=seed))
    write_table(pd.DataFrame({"x": [value]}), folder / "b.csv")
    write_json({"x": value}, folder / "c.json")
    (folder / "e.jsonl").write_text(f'{{"y": 1, "x": {float(value)!r}}}\n{{}}\n')
    np.savez(folder / "hmm" / "d.npz", x=[value])
    return folder


@pytest.fixture
def same(tmp_path):
    expected = write(tmp_path / "expected")
    os.utime(expected / "c.json", (1, 1))
    found = write(tmp_path / "found")
    (found / "e.jsonl").write_text('{"x": 1.0, "y": 1}\n{}\n')  # names in another order
    return found, expected


def test_the_same_is_the_same(same):
    assert differences(*same) == []


def test_each_kind_of_file_that_says_something_else_is_named(same, tmp_path):
    _, expected = same
    told = differences(write(tmp_path / "other", np.nextafter(1, 2)), expected)
    files = ("a.parquet", "b.csv", "c.json", "e.jsonl", "hmm/d.npz")
    assert told == [f"{name}: says something else" for name in files]
    told = differences(write(tmp_path / "other seed", seed=4), expected)
    assert told == ["a.parquet: says something else"]  # what made it counts too


def test_files_that_are_missing_or_too_many_are_named(same):
    found, expected = same
    (found / "b.csv").rename(found / ".b-unfinished.csv")
    assert differences(found, expected) == [
        "b.csv: is missing",
        ".b-unfinished.csv: should not be there",
    ]
