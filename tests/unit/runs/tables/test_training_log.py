"""Training logs that were logged elsewhere, and the command that reads tables of both kinds."""

from __future__ import annotations

import logging
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from tests.unit.runs.tables.test_metrics import write
from training_maps.runs.tables import read_logs
from training_maps.utils.errors import InputError


@pytest.fixture(autouse=True)
def _no_handlers_left():
    """The command line leaves a handler that writes to the test's own standard error."""
    yield
    logging.getLogger("training_maps").handlers.clear()


def test_logs_have_the_names_of_this_project(tmp_path):
    path = write(
        tmp_path,
        "seed,_step,epoch,_runtime,val/acc,train/loss,lr,model,a\n"
        "0,0,0,1,,2.5,0.1,mlp,7\n"
        "0,10,,2,,1.5,0.1,mlp,7\n"
        "0,20,2,3,0.25,1.25,0.2,mlp,7\n"
        "0,40,,3,0.5,inf,0.2,mlp,7\n"
        "0,50,,3,,,,,\n",
    )
    columns = {"eval_accuracy": "val/acc", "train_loss": "train/loss"}
    ((seed, found),) = read_logs(path, [0], columns=columns, leave_out=["a"])
    expected = pd.DataFrame(
        {
            "step": [0, 10, 20, 40],
            "epoch": [0.0, 1, 2, 4],
            "train_loss": [2.5, 1.5, 1.25, np.inf],
            "eval_accuracy": [np.nan, np.nan, 0.25, 0.5],
            "lr": [0.1, 0.1, 0.2, 0.2],
        }
    )
    assert seed == 0
    pd.testing.assert_frame_equal(found, expected)
    ((_, found),) = read_logs(path, [0], epoch="lr", columns=columns)
    assert found["epoch"].tolist() == [0.1, 0.1, 0.2, 0.2]
    with pytest.raises(InputError, match=r"no column 'val/loss' .*asked for as eval_loss"):
        dict(read_logs(path, [0], columns={"eval_loss": "val/loss"}))
    with pytest.raises(InputError, match="'epoch' is said with"):
        dict(read_logs(path, [0], columns={"epoch": "lr"}))


def test_what_is_wrong_with_columns_that_nobody_asked_for_costs_these_alone(tmp_path, caplog):
    path = write(
        tmp_path,
        "seed,step,epoch,eval_accuracy,eval_loss,stray,twice,lr\n"
        "0,0,0,0.5,,,1,0.1\n0,0,,,,,2,\n0,,1,,,7,,\n0,5,1,0.6,,,,0.2\n",
    )
    with caplog.at_level(logging.WARNING):
        ((_, found),) = read_logs(path, [0])
    expected = {"step": [0, 5], "eval_accuracy": [0.5, 0.6], "lr": [0.1, 0.2]}
    assert found.drop(columns="epoch").to_dict("list") == expected
    assert found["epoch"].isna().all()
    for words in (
        "line 4: column 'stray' has a value",
        "two values of 'twice'",
        "line 4: column 'ep",
    ):
        assert words in caplog.text
    with pytest.raises(InputError, match="line 4: column 'stray' has a value"):
        dict(read_logs(path, [0], columns={"train_loss": "stray"}))
    with pytest.raises(InputError, match="line 4: column 'epoch' has a value"):
        dict(read_logs(path, [0], epoch="epoch"))


def test_a_log_without_epochs_has_none(tmp_path, caplog):
    path = write(tmp_path, "seed,step,eval_accuracy,b\n0,0,1,2\n1,0,,2\n")
    ((_, found),) = read_logs(path, [0])
    assert list(found.columns) == ["step", "epoch", "eval_accuracy", "b"]
    assert found["epoch"].isna().all()
    with pytest.raises(InputError, match=r"seed 1: column 'eval_accuracy' \(eval_accuracy\) has"):
        dict(read_logs(path, [1], columns={"eval_accuracy": "eval_accuracy"}))
    with caplog.at_level(logging.INFO):
        dict(read_logs(write(tmp_path, "seed,step,acc\n0,0,1\n"), [0]))
    assert "the columns of the log are 'acc'; semantics.column says which is the" in caplog.text


def test_neither_torch_nor_rust_is_needed(tmp_path):
    path = write(tmp_path, "seed,step,a,eval_loss\n0,0,1,2\n")
    program = (
        "import sys; from training_maps.cli import main; "
        f"code = main(['tables', '--path', {path!r}, '--log-path', {path!r}, '--seeds', '0', "
        f"'--runs', {str(tmp_path / 'runs')!r}]); "
        "heavy = {'torch', 'training_maps._rust_metrics', 'tensorboard', 'sklearn'}; "
        "sys.exit(code or ' '.join(heavy & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
