"""What each source of runs takes, and which of its runs are there."""

import re

import pandas as pd
import pytest

from training_maps import cli
from training_maps.config.sources import check_files, find_seeds, has_training_log, log_columns
from training_maps.utils.errors import InputError
from training_maps.utils.files import read_json


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with checkpoints of seeds 1, 2 and 10, and state paths of 0, 1 and 2."""
    monkeypatch.chdir(tmp_path)
    for seed in (10, 1, 2):
        folder = tmp_path / f"run{seed}"
        folder.mkdir()
        (folder / "5.pt").touch()
    (tmp_path / "paths.csv").write_text(
        "step,state,seed\n0,0,2\n9,1,2\n0,0,0\n0,0,1\n4,1,1\n8,2,1\n"
    )
    return tmp_path


CHECKPOINTS = {"source": "checkpoints", "checkpoints": {"path": "run{seed}/{step}.pt"}}
STATE_PATHS = {"source": "state_paths", "state_paths": {"path": "paths.csv"}}


@pytest.mark.parametrize(
    ("settings", "wanted", "seeds"),
    [
        (CHECKPOINTS, "all", [1, 2, 10]),
        (CHECKPOINTS, [2, 10], [2, 10]),
        (STATE_PATHS, "all", [0, 1, 2]),
        (STATE_PATHS, [1], [1]),
        ({"source": "training"}, [3, 4], [3, 4]),
        ({"source": "hub"}, [3], [3]),
    ],
)
def test_seeds_are_those_that_are_there(here, settings, wanted, seeds):
    assert find_seeds({**settings, "seeds": wanted}, "experiment x") == seeds


@pytest.mark.parametrize(
    ("settings", "wanted", "message"),
    [
        (CHECKPOINTS, [1, 3, 4], "experiment x: there are no checkpoints of seeds 3,4; looked for "
         "run3/*.pt; there is no run3: "),
        ({**CHECKPOINTS, "checkpoints": {"path": "ran{seed}/{step}.pt"}}, "all",
         "experiment x: there are no checkpoints at all; looked for ran*/*.pt"),
        (STATE_PATHS, [2, 3], "no state paths of seed 3; paths.csv has seeds 0-2"),
        ({**STATE_PATHS, "state_paths": {"path": "no.csv"}}, "all", "no.csv: cannot be read"),
    ],
)  # fmt: skip
def test_missing_runs_are_named(here, settings, wanted, message):
    with pytest.raises(InputError, match=re.escape(message)):
        find_seeds({**settings, "seeds": wanted}, "experiment x")


@pytest.mark.parametrize(
    ("source", "log", "expected"),
    [
        ("training", None, True),
        ("checkpoints", {"path": None, "columns": {}}, False),
        ("checkpoints", {"path": "log.csv", "columns": {}}, True),
        ("state_paths", {"path": None, "columns": {"eval_loss": "x"}}, False),
        ("metrics", {"path": None, "columns": {}}, False),
        ("metrics", {"path": None, "columns": {"eval_loss": "x"}}, True),
    ],
)
def test_who_has_a_training_log(source, log, expected):
    settings = {"source": source} if log is None else {"source": source, "training_log": log}
    assert has_training_log(settings) is expected


@pytest.mark.parametrize(
    ("source", "semantics", "expected"),
    [
        ("metrics", {"column": "mean_return", "outcome": None}, {"mean_return": "mean_return"}),
        ("metrics", {"column": "bias", "outcome": "table"}, {}),
        ("metrics", {"column": None, "outcome": None}, {}),
        ("checkpoints", {"column": "mean_return", "outcome": None}, {}),
    ],
)
def test_of_tables_of_metrics_the_outcome_s_column_is_the_log(source, semantics, expected):
    """So that a return in them is no metric, and `semantics.column` alone says what it is."""
    settings = {"source": source, "training_log": {"path": None, "columns": {}}}
    settings["semantics"] = semantics
    assert log_columns(settings) == expected
    assert has_training_log(settings) is bool(expected)
    settings["training_log"] = {"path": None, "columns": {"eval_loss": "x"}}
    assert log_columns(settings) == {"eval_loss": "x"}


def test_state_paths_become_a_map(here, capsys):
    arguments = ["state_paths", "--table", "paths.csv", "--experiment", "x"]
    outputs = ["--output", "map.json", "--state-paths", "ordered.csv"]
    assert cli.main([*arguments, *outputs]) == 0
    assert pd.read_csv("ordered.csv").to_numpy().tolist() == [
        [0, 0, 0], [1, 0, 0], [1, 4, 1], [1, 8, 2], [2, 0, 0], [2, 9, 1],
    ]  # fmt: skip
    found = read_json("map.json")
    assert found["experiment"] == "x"
    assert found["selected_model"] is None
    assert found["metrics"] == []
    assert [(e["from"], e["to"], e["n_runs"]) for e in found["transitions"]] == [
        (0, 1, 2),
        (1, 2, 1),
    ]
    # Of state 0's two checkpoints that another follows, both are followed by state 1; of state 1's
    # one, that one by state 2.
    assert [e["probability"] for e in found["transitions"]] == [1.0, 1.0]
    assert cli.main([*arguments, "--seeds", "1", *outputs]) == 0
    assert set(pd.read_csv("ordered.csv")["seed"]) == {1}
    assert cli.main([*arguments, "--seeds", "1,5-7", *outputs]) == 1
    assert "paths.csv: has no rows of seeds 5-7" in capsys.readouterr().err


SEMANTICS = {"semantics": {"outcome": "convergence"}}


@pytest.mark.parametrize(
    ("name", "made", "message"),
    [
        ("{step}.onnx", "file", "checkpoints.path: seed 1: run1/5.onnx: is not read as it is"),
        (
            "{step}.xyz",
            "file",
            "checkpoints.path: seed 1: run1/5.xyz: is no checkpoint by its",
        ),
        ("c-{step}", "folder", "checkpoints.path: seed 1: run1/c-5: holds no checkpoint; expected"),
    ],
)
def test_checkpoints_that_no_job_could_read_are_refused_once(here, name, made, message):
    for seed in (1, 2):
        path = here / f"run{seed}" / name.replace("{step}", "5")
        path.mkdir() if made == "folder" else path.touch()
    settings = {**CHECKPOINTS, **SEMANTICS, "seeds": [1, 2]}
    check_files(settings, [], "experiment x")
    settings["checkpoints"] = {"path": f"run{{seed}}/{name}"}
    with pytest.raises(InputError, match=re.escape(message)):
        check_files(settings, [], "experiment x")
    if made == "folder":  # of one that is whole, the others may be left out
        (here / "run1" / "c-7").mkdir()
        (here / "run1" / "c-7" / "model.safetensors").touch()
        with pytest.raises(InputError, match="seed 2"):
            check_files(settings, [], "experiment x")


@pytest.mark.parametrize(
    ("section", "asked", "message"),
    [
        ("training_log", {"columns": {"eval_accuracy": "val/ac"}},
         "no column 'val/ac' (did you mean 'val/acc'?), which is asked for as training_log.columns."
         "eval_accuracy"),
        ("training_log", {"epoch": "epok"}, "which is asked for as training_log.epoch"),
        ("tables", {"metrics": ["los"]}, "(did you mean 'loss'?), which is asked for as tables."),
    ],
)  # fmt: skip
def test_columns_that_no_table_has_are_refused_once(here, section, asked, message):
    for seed in (1, 2):
        (here / f"log{seed}.csv").write_text("step,loss,val/acc\n0,1,2\n")
    settings = {**SEMANTICS, "source": "metrics", "seeds": [1, 2], "training_log": {},
                "tables": {"path": "log{seed}.csv"}}  # fmt: skip
    check_files(settings, [], "experiment x")
    settings[section] = {**settings[section], **asked}
    with pytest.raises(InputError, match=r"experiment x: log1\.csv: ") as error:
        check_files(settings, [], "experiment x")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"observations": {"log_columns": ["gradient_nrm"]}},
         "observations.log_columns: gradient_nrm: the training log has no column gradient_nrm (did "
         "you mean gradient_norm?); it has eval_accuracy, gradient_norm, loss"),
        ({"semantics": {"outcome": None, "column": "los"}}, "semantics.column: los: "),
        # A column that has got another name is not there by its own.
        ({"semantics": {"outcome": None, "column": "val/acc"}}, "semantics.column: val/acc: "),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["csv", "events"])
def test_columns_of_the_log_that_nobody_logged_are_refused_once(here, kind, asked, message):
    if kind == "csv":
        (here / "log1.csv").write_text("step,loss,val/acc,gradient_norm\n0,1,2,3\n")
        path = "log{seed}.csv"
    else:
        board = pytest.importorskip("torch.utils.tensorboard")
        path = "events{seed}"
        with board.SummaryWriter(str(here / "events1")) as writer:
            for tag in ("loss", "val/acc", "gradient_norm"):
                writer.add_scalar(tag, 1.0, 0)
    log = {"path": path, "columns": {"eval_accuracy": "val/acc"}}
    settings = {**SEMANTICS, "source": "hub", "seeds": [1], "training_log": log, "observations": {}}
    good = {"observations": {"log_columns": ["gradient_norm"]}}
    check_files({**settings, **good, "semantics": {"outcome": None, "column": "loss"}}, [], "x")
    with pytest.raises(InputError, match=r"^x: ") as error:
        check_files({**settings, **asked}, [], "x")
    assert message in str(error.value)


def test_large_event_files_are_left_to_the_jobs(here, monkeypatch):
    (here / "events1").mkdir()
    (here / "events1" / "events.out.tfevents.1.host").write_bytes(b"broken")
    log = {"path": "events{seed}", "columns": {"eval_accuracy": "val/acc"}}
    settings = {**SEMANTICS, "source": "hub", "seeds": [1], "training_log": log, "observations": {}}
    monkeypatch.setattr("training_maps.config.sources._LARGE", 5)
    check_files(settings, [], "x")
