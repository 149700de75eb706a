"""Stable-Baselines3's monitor.csv."""

from __future__ import annotations

from pathlib import Path

import pytest

from training_maps.runs.tables import read_logs, read_metrics
from training_maps.runs.tables.episodes import with_steps
from training_maps.runs.tables.sheets import read_sheet
from training_maps.utils.errors import InputError

MONITOR = '#{"t_start": 1.5, "env_id": "CartPole-v1"}\nr,l,t\n21.0,21,0.5\n15.5,15,0.7\n9,9,0.8\n'


def test_steps_are_the_sums_of_lengths(tmp_path: Path) -> None:
    (tmp_path / "0.monitor.csv").write_text(MONITOR)
    path = str(tmp_path / "{seed}.monitor.csv")
    ((_, table),) = read_metrics(path, [0])
    assert table.to_dict("list") == {"step": [21, 36, 45], "r": [21, 15.5, 9], "l": [21, 15, 9]}
    ((_, log),) = read_logs(path, [0], columns={"eval_accuracy": "r"})
    assert log["eval_accuracy"].tolist() == [21, 15.5, 9]


def test_lines_are_counted_with_the_comment(tmp_path: Path) -> None:
    (tmp_path / "0.csv").write_text(MONITOR.replace("15.5", "many"))
    with pytest.raises(InputError, match=r"0.csv, line 4: column 'r' is 'many'"):
        list(read_metrics(str(tmp_path / "{seed}.csv"), [0], metrics=["r"]))
    (tmp_path / "0.csv").write_text(MONITOR + "1,2\n")
    with pytest.raises(InputError, match=r"0.csv, line 6: has 2 fields where the header has 3"):
        list(read_metrics(str(tmp_path / "{seed}.csv"), [0]))


def test_other_tables_stay_as_they_are(tmp_path: Path) -> None:
    for text in ("step,r,l,t\n0,1,1,1\n", "r,l\n1,1\n", "r,l,t\n1,,1\n", "r,l,t\n1,x,1\n"):
        (tmp_path / "a.csv").write_text(text)
        sheet = read_sheet(tmp_path / "a.csv")
        assert with_steps(sheet) is sheet
