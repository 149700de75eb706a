"""Files of logged values as they are: cells, columns, and where a row stands."""

from __future__ import annotations

import gzip
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from training_maps.runs.tables.sheets import Column, RowsOfValues, read_sheet
from training_maps.utils.errors import InputError

CSV = 'step,loss,note\n0,2.5,\n1,NaN,"two\nlines"\n2,,done\n\n3,-inf,null\n'


def write(path: Path, text: str) -> Path:
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def same(column: Column, values: list[float], present: list[bool]) -> None:
    np.testing.assert_array_equal(column.values, values)
    assert column.present.tolist() == present


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "A.CSV"])
def test_cells_of_a_csv_file(tmp_path: Path, name: str) -> None:
    sheet = read_sheet(write(tmp_path / name, CSV))
    assert sheet.n_rows == 4
    assert list(sheet.columns) == ["step", "loss", "note"]
    nan = np.nan
    same(sheet.columns["step"], [0, 1, 2, 3], [True] * 4)
    # NaN and infinity were logged; an empty cell was not.
    same(sheet.columns["loss"], [2.5, nan, nan, -np.inf], [True, True, False, True])
    assert sheet.columns["loss"].texts is None
    note = sheet.columns["note"]
    same(note, [nan] * 4, [False, True, True, False])
    assert note.texts == (1, "two\nlines")
    assert note.n_texts == 2
    assert not note.has_numbers
    assert sheet.columns["loss"].has_numbers


def test_a_row_is_found_on_its_line_though_cells_have_several(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", CSV)
    sheet = read_sheet(path)
    assert [sheet.locate(row) for row in range(4)] == ["line 2", "line 4", "line 5", "line 7"]
    assert sheet.where(1) == f"{path}, line 4"


def test_tabs_and_marks_of_byte_order(tmp_path: Path) -> None:
    sheet = read_sheet(write(tmp_path / "a.tsv", "\ufeffstep\tloss\n0\t1,5\n"))
    assert list(sheet.columns) == ["step", "loss"]
    assert sheet.columns["loss"].texts == (0, "1,5")


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json", "a.jsonl.gz"])
def test_json_lines(tmp_path: Path, name: str) -> None:
    lines = (
        '{"step": 0, "loss": 1.5}\n\n{"step": 1, "lr": "1e-3", "ok": true}\n{"loss": null}\n'
        '{"loss": "NaN", "big": 1e400, "list": [1, 2]}\n'
    )
    sheet = read_sheet(write(tmp_path / name, lines))
    assert sheet.n_rows == 4
    nan = np.nan
    same(sheet.columns["step"], [0, 1, nan, nan], [True, True, False, False])
    same(sheet.columns["loss"], [1.5, nan, nan, nan], [True, False, False, True])
    same(sheet.columns["lr"], [nan, 1e-3, nan, nan], [False, True, False, False])
    same(sheet.columns["big"], [nan, nan, nan, np.inf], [False, False, False, True])
    assert sheet.columns["ok"].texts == (1, "true")
    assert sheet.columns["list"].texts == (3, "[1, 2]")
    assert [sheet.locate(row) for row in range(4)] == ["line 1", "line 3", "line 4", "line 5"]


def test_parquet_columns_of_every_type(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "step": np.array([2**53, 1, 0]),
            "loss": [0.5, None, np.inf],
            "half": np.array([1, 2, 3], np.float16),
            "text": ["1.5", None, "x"],
            "kind": pd.Categorical(["2", None, "b"]),
            "flag": [True, False, True],
            "when": [datetime(2020, 1, 1), None, None],
            "none": [None, None, None],
        }
    )
    table.to_parquet(tmp_path / "a.parquet")
    sheet = read_sheet(tmp_path / "a.parquet")
    nan, columns = np.nan, sheet.columns
    same(columns["step"], [2**53, 1, 0], [True] * 3)
    same(columns["loss"], [0.5, nan, np.inf], [True, False, True])
    same(columns["half"], [1, 2, 3], [True] * 3)
    for name, first in (("text", 1.5), ("kind", 2)):
        same(columns[name], [first, nan, nan], [True, False, True])
        assert columns[name].n_texts == 1
        assert columns[name].has_numbers
    assert columns["flag"].texts == (0, "True")
    assert columns["flag"].n_texts == 3
    same(columns["when"], [nan] * 3, [True, False, False])
    same(columns["none"], [nan] * 3, [False] * 3)
    assert columns["none"].texts is None
    assert sheet.locate(2) == "row 3"


def test_rows_may_each_name_other_columns() -> None:
    rows = RowsOfValues()
    rows.add({"a": 1})
    rows.add({"b": " 2.5 ", "a": None})
    rows.add({"a": "x" * 99, "b": 10**400})
    columns = rows.columns()
    same(columns["a"], [1, np.nan, np.nan], [True, False, True])
    same(columns["b"], [np.nan, 2.5, np.inf], [False, True, True])
    assert columns["a"].texts is not None
    row, text = columns["a"].texts
    assert row == 2
    assert len(text) <= 40
    assert RowsOfValues().columns() == {}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", "has no rows|cannot be read"),
        ("a.csv", "step,loss\n", "has no rows"),
        ("a.csv", "step,step\n0,1\n", "two columns called 'step'"),
        ("a.csv", "step,loss\n0,1\n1\n", "line 3: has 1 fields where the header has 2"),
        ("a.csv", 'step,note\n0,a\n10,"b\n20,c\n', "line 3: a quote is opened here and never"),
        ("a.jsonl", '{"step": 0}\n{"step": 1', "line 2: is not JSON"),
        ("a.jsonl", "[1, 2]\n", r"line 1: expected an object.*got \[1, 2\]"),
        ("a.jsonl", "\n", "has no rows"),
        ("a.parquet", "no parquet", "cannot be read as a table"),
        ("a.xlsx", "x", "is no table that is known by its name"),
        ("a.parquet.gz", "x", "is no table that is known by its name"),
    ],
)
def test_what_is_no_table_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = write(tmp_path / name, text)
    with pytest.raises(InputError, match=message) as caught:
        read_sheet(path)
    assert str(caught.value).startswith(str(path))


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv: cannot be read \(No such file"):
        read_sheet(tmp_path / "none.csv")
    (tmp_path / "a.csv").write_bytes(b"step,loss\n0,\xff\n")
    with pytest.raises(InputError, match=r"UTF-?8"):
        read_sheet(tmp_path / "a.csv")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(CSV.encode())[:-12])
    with pytest.raises(InputError, match=r"b\.csv\.gz: "):
        read_sheet(tmp_path / "b.csv.gz")
