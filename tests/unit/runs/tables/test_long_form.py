"""Long tables: a row a value."""

from __future__ import annotations

from pathlib import Path

import pytest

from training_maps.runs.tables import find_table_seeds, read_metrics
from training_maps.runs.tables.long_form import wide_form
from training_maps.runs.tables.sheets import read_sheet
from training_maps.utils.errors import InputError

LONG = "seed,step,metric,value\n0,0,loss,0.5\n0,0,norm,3\n0,1,loss,.4\n0,1,norm,3.1\n"


def metrics(folder: Path, text: str, seeds: tuple[int, ...] = (0,), name: str = "long.csv"):  # type: ignore[no-untyped-def]
    (folder / name).write_text(text)
    return {s: t.to_dict("list") for s, t in read_metrics(str(folder / name), list(seeds))}


def test_each_quantity_is_a_column(tmp_path: Path) -> None:
    found = metrics(tmp_path, LONG)
    assert found[0] == {"step": [0, 1], "loss": [0.5, 0.4], "norm": [3, 3.1]}
    assert find_table_seeds(str(tmp_path / "long.csv")) == [0]


@pytest.mark.parametrize("names", ["Metric,Value", "variable,value", "key,value", "tag,val"])
def test_as_melt_mlflow_and_others_call_the_columns(names: str, tmp_path: Path) -> None:
    long = LONG.replace("metric,value", names)
    assert metrics(tmp_path, long)[0]["norm"] == [3, 3.1]
    name = "l" * 60
    found = metrics(tmp_path, long.replace("loss", name))[0]
    assert list(found) == ["step", name, "norm"]


def test_json_lines_in_long_form(tmp_path: Path) -> None:
    text = "".join(
        f'{{"seed": {s}, "step": {t}, "metric": "{m}", "value": {s + t}}}\n'
        for s in (1, 2) for t in (0, 5) for m in ("a", "b")
    )  # fmt: skip
    found = metrics(tmp_path, text, (2,), "x.jsonl")
    assert found == {2: {"step": [0, 5], "a": [2, 7], "b": [2, 7]}}


def test_a_long_table_by_other_names_is_explained(tmp_path: Path) -> None:
    long = LONG.replace("metric,value", "what,amount")
    with pytest.raises(InputError, match=r"differ in column 'what' \('loss' and 'norm'\).*pivot"):
        metrics(tmp_path, long)


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 3: has a value, and no name in 'metric'"):
        metrics(tmp_path, "seed,step,metric,value\n0,0,loss,1\n0,1,,2\n")
    with pytest.raises(InputError, match="'metric' names 'step', as another column is called"):
        metrics(tmp_path, LONG.replace("norm", "step"))
    with pytest.raises(InputError, match=r"two values of 'loss' at step 0, 0\.5 and 3"):
        metrics(tmp_path, LONG.replace("norm", "loss"))


def test_a_wide_table_stays_as_it_is(tmp_path: Path) -> None:
    for text in ("seed,step,value\n0,0,1\n", "seed,step,name,value\n0,0,1,1\n"):
        (tmp_path / "a.csv").write_text(text)
        sheet = read_sheet(tmp_path / "a.csv")
        assert wide_form(sheet) is sheet
