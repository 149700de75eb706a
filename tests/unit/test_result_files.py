"""Files of results: what is missing, empty or of another kind is refused by name."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from training_maps.result_files import (
    read_keys,
    read_map,
    read_observations,
    read_optional,
    read_optional_keys,
    unique,
)
from training_maps.utils.errors import InputError
from training_maps.utils.files import write_json
from training_maps.utils.notes import Note


def test_keys_that_are_missing_are_named_and_so_is_the_stage(tmp_path: Path) -> None:
    file = tmp_path / "forks.json"
    write_json({"forks": []}, file)
    with pytest.raises(InputError, match=r"forks\.json: has no notes; rerun the forks stage"):
        read_optional_keys(file, ("forks", "notes"))
    assert read_optional_keys(tmp_path / "none.json", ("forks",)) == {}


@pytest.mark.parametrize(
    ("data", "fault"),
    [([1], "no JSON object"), ({"states": {}}, "not a list"), ({"phases": []}, "not an object")],
)
def test_what_is_of_another_kind_is_refused(tmp_path: Path, data: object, fault: str) -> None:
    write_json(data, tmp_path / "x.json")
    with pytest.raises(InputError, match=fault):
        read_keys(tmp_path / "x.json", ())


def test_a_map_without_states_is_none(tmp_path: Path) -> None:
    keys = ("experiment", "metrics", "linear", "selected_model", "states", "transitions", "paths")
    write_json({key: [] for key in keys} | {"selected_model": None}, tmp_path / "training_map.json")
    with pytest.raises(InputError, match="has no states"):
        read_map(tmp_path / "training_map.json")


def test_a_table_that_is_missing_is_empty_with_its_columns(tmp_path: Path) -> None:
    table = read_optional(tmp_path / "outliers.csv", {"seed": "int", "is_outlier": "bool"})
    assert table.empty
    assert list(table.columns) == ["seed", "is_outlier"]
    pd.DataFrame({"seed": [1], "is_outlier": [True]}).to_csv(tmp_path / "outliers.csv", index=False)
    table = read_optional(tmp_path / "outliers.csv", {"seed": "int", "is_outlier": "bool"})
    assert table["is_outlier"].tolist() == [True]


def test_observations_say_who_was_held_out(tmp_path: Path) -> None:
    assert read_observations(tmp_path / "none.parquet") == ((), ())
    table = pd.DataFrame({"seed": [0, 1, 1], "split": ["train", "validation", "validation"]})
    table.to_parquet(tmp_path / "observations.parquet")
    assert read_observations(tmp_path / "observations.parquet")[0] == (1,)


def test_notes_are_told_once() -> None:
    a, b = Note("a", "A."), Note("b", "B.")
    assert unique((a, b), (b,), ()) == (a, b)
