"""`training-maps tables`: from what was logged elsewhere to tables of each run."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.unit.runs.tables.test_metrics import write
from training_maps.cli import main
from training_maps.utils.files import table_metadata

pytestmark = pytest.mark.usefixtures("restore_logging")


def test_command(tmp_path, capsys):
    path = write(
        tmp_path,
        "run,_step,loss,val/acc,l1\n1,0,3,0.1,7\n0,0,2,0.2,8\n0,5,1,0.3,9\n",
    )
    log = ["--log-path", path, "--log-seed", "run", "--log-columns", "eval_accuracy=val/acc"]
    call = ["tables", "--path", path, "--seed", "run", "--runs", str(tmp_path / "runs")]
    assert main([*call, *log, "--seeds", "0,1"]) == 0
    found = pd.read_parquet(tmp_path / "runs/seed-0/metrics.parquet")
    assert found.to_dict("list") == {"step": [0, 5], "loss": [2, 1], "l1": [8, 9]}
    assert table_metadata(tmp_path / "runs/seed-0/metrics.parquet")["source"] == path
    found = pd.read_parquet(tmp_path / "runs/seed-0/training_log.parquet")
    assert found.drop(columns="epoch").to_dict("list") == {
        "step": [0, 5],
        "eval_accuracy": [0.2, 0.3],
    }
    assert main([*call, *log, "--seeds", "0-2"]) == 1
    assert "no rows of seeds 2" in capsys.readouterr().err
    assert main(["tables", "--seeds", "0", "--runs", str(tmp_path)]) == 1
    assert main([*call, *log, "--seeds", "0", "--log-columns", "val/acc"]) == 1
    assert "expected NAME=COLUMN" in capsys.readouterr().err
