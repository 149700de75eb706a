"""Files are whole or not there, and broken ones are named."""

import errno
import json
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from training_maps.utils import files
from training_maps.utils.errors import InputError
from training_maps.utils.files import (
    made_by,
    read_json,
    read_table,
    replace_when_whole,
    table_metadata,
    write_json,
    write_table,
)


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "result.txt"
    target.write_text("old")

    def interrupted():
        with replace_when_whole(target) as aside:
            aside.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_whole_write_replaces_the_file_with_usual_permissions(tmp_path):
    target = tmp_path / "new" / "result.txt"
    with replace_when_whole(target) as aside:
        aside.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_tables_keep_every_digit(tmp_path, name):
    table = pd.DataFrame({"step": [0, 10], "value": [1 / 3, 1e-300]})
    write_table(table, tmp_path / name, made_by(seed=3))
    pd.testing.assert_frame_equal(read_table(tmp_path / name), table, check_exact=True)


def test_a_parquet_table_says_what_made_it(tmp_path):
    write_table(pd.DataFrame({"a": [1]}), tmp_path / "t.parquet", made_by(seed=3))
    metadata = table_metadata(tmp_path / "t.parquet")
    assert metadata["seed"] == 3
    assert metadata["training_maps"]


def test_a_table_by_its_columns_is_the_same_as_from_pandas(tmp_path):
    columns = {
        "step": np.arange(11),
        "value": np.array([1 / 3, np.nan, np.inf, -0.0, *range(7)]),
        "every_second": np.arange(22.0)[::2],
        "empty": np.full(11, np.nan),
    }
    for name, table in (("columns", columns), ("pandas", pd.DataFrame(columns))):
        write_table(table, tmp_path / f"{name}.parquet", {"seed": 3})
    by_columns, from_pandas = (
        pq.read_table(tmp_path / f"{name}.parquet") for name in ("columns", "pandas")
    )
    assert by_columns.equals(from_pandas)  # NaN equals nothing, so they are nulls in both
    assert by_columns["value"].null_count == 1
    assert table_metadata(tmp_path / "columns.parquet") == {"seed": 3}
    found = read_table(tmp_path / "columns.parquet")
    pd.testing.assert_frame_equal(found, pd.DataFrame(columns), check_exact=True)


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json({"r_squared": float("nan")}, tmp_path / "x.json")
    assert not list(tmp_path.iterdir())


def test_json_round_trip(tmp_path):
    write_json({"a": [1, None, "ü"]}, tmp_path / "x.json")
    assert read_json(tmp_path / "x.json") == {"a": [1, None, "ü"]}
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": [1, None, "ü"]}


@pytest.mark.parametrize("name", ["x.csv", "x.parquet", "x.json"])
def test_a_missing_file_is_named(tmp_path, name):
    read = read_json if name.endswith("json") else read_table
    with pytest.raises(InputError, match=name):
        read(tmp_path / name)


@pytest.mark.parametrize("name", ["x.csv", "x.parquet", "x.json"])
def test_a_broken_file_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b'a,b\n"')
    read = read_json if name.endswith("json") else read_table
    with pytest.raises(InputError, match=name):
        read(tmp_path / name)


@pytest.mark.parametrize("content", [b"", bytes(5000)], ids=["empty", "zeros"])
@pytest.mark.parametrize("name", ["x.csv", "x.parquet", "x.json"])
def test_what_a_power_cut_leaves_is_to_be_removed(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    read = read_json if name.endswith("json") else partial(read_table, columns=["step"])
    with pytest.raises(InputError, match=rf"{name}: is empty, .*; remove it and run again"):
        read(tmp_path / name)


def test_a_table_of_more_values_than_fit_is_refused_unread(tmp_path, monkeypatch):
    write_table(pd.DataFrame({"step": range(5), "l2": 1.0}), tmp_path / "t.parquet")
    monkeypatch.setattr(files, "MOST_CELLS", 9)
    with pytest.raises(InputError, match=r"t\.parquet: .*5 rows of 2 columns, more than the 9"):
        read_table(tmp_path / "t.parquet")


def test_a_missing_column_is_named(tmp_path):
    write_table(pd.DataFrame({"step": [1]}), tmp_path / "t.csv")
    with pytest.raises(InputError, match=r"t\.csv: has no column seed, state; it has step"):
        read_table(tmp_path / "t.csv", columns=["seed", "step", "state"])


def test_what_a_killed_writer_left_is_removed_by_the_next_one(tmp_path):
    target = tmp_path / "metrics.parquet"
    command = (
        "import os, sys; from training_maps.utils.files import replace_when_whole\n"
        "with replace_when_whole(sys.argv[1]) as aside:\n"
        "    aside.write_text('half'); os.kill(os.getpid(), 9)"
    )
    for _ in range(2):
        killed = subprocess.run([sys.executable, "-B", "-c", command, target], check=False)
        assert killed.returncode == -9
        assert [path.name for path in tmp_path.iterdir()] == [".metrics-unfinished.parquet"]
    write_json([], target)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.parquet"]


def test_what_another_writer_is_writing_is_left_alone(tmp_path):
    target = tmp_path / "result.txt"
    with replace_when_whole(target) as first:
        first.write_text("first")
        with replace_when_whole(target) as second:
            assert second != first
            second.write_text("second")
            assert second.suffix == ".txt"
        assert target.read_text() == "second"
        assert first.read_text() == "first"
    assert target.read_text() == "first"
    assert list(tmp_path.iterdir()) == [target]


def test_many_writers_of_one_file_at_a_time_leave_one_whole_file(tmp_path):
    target = tmp_path / "result.txt"

    def write(number):
        for _ in range(50):
            with replace_when_whole(target) as aside:
                aside.write_text(str(number) * 1000)

    with ThreadPoolExecutor(8) as writers:
        list(writers.map(write, range(8)))
    assert list(tmp_path.iterdir()) == [target]
    text = target.read_text()
    assert text == text[0] * 1000


def test_where_files_cannot_be_locked_nothing_is_taken_for_abandoned(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", unsupported)
    other = tmp_path / ".result-unfinished.txt"
    other.write_text("of a writer that may be alive")
    with replace_when_whole(tmp_path / "result.txt") as aside:
        aside.write_text("whole")
    assert (tmp_path / "result.txt").read_text() == "whole"
    assert other.exists()
