"""The loss landscape of kept checkpoints; the twin is what training itself records."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from tools import kept_landscape as tool

from training_maps.cli import main
from training_maps.metrics.compute import run_metrics
from training_maps.metrics.definitions import LANDSCAPE
from training_maps.runs.checkpoints import find_run
from training_maps.training.kept_landscape import kept_landscape, use_threads
from training_maps.training.loop import Recording, train
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import make_task
from training_maps.utils.errors import InputError

SETTINGS = {"n_bits": 4, "n_relevant_bits": 2, "n_train": 40, "n_eval": 5, "hidden_size": 6}
COLUMNS = ("hessian_max", "l2", *LANDSCAPE[1:])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same two runs: what was recorded in training, and their checkpoints."""
    folder = tmp_path_factory.mktemp("runs")
    task = make_task("sparse_parities", SETTINGS)
    recipe = Recipe(
        learning_rate=0.1, batch_size=8, length=2, checkpoint_every=1, train_examples_evaluated=32
    )
    recording = Recording(folder / "recorded", "metrics", columns=COLUMNS)
    for one in (recording, Recording(folder / "kept/runs")):
        train(task, "sparse_parities", recipe, [3, 5], one, device="cpu")
    return folder


@pytest.mark.parametrize("seed", [3, 5])
def test_it_is_what_training_records(runs, seed):
    recorded = pd.read_parquet(runs / f"recorded/seed-{seed}/metrics.parquet")
    run = find_run(runs / f"kept/runs/seed-{seed}")
    found = kept_landscape(run, recorded["step"].tolist())
    assert list(found) == list(LANDSCAPE)
    for column in LANDSCAPE:  # a block of two seeds is rounded otherwise than one alone
        np.testing.assert_allclose(found[column], recorded[column], rtol=1e-3, err_msg=column)
    last = recorded["step"].iloc[-1]
    alone = kept_landscape(run, [last])
    assert {name: values[-1] for name, values in found.items()} == {
        name: values[0] for name, values in alone.items()
    }


def test_the_command_puts_it_beside_the_other_metrics(runs, tmp_path):
    output = tmp_path / "metrics.parquet"
    manifest = runs / "kept/runs/seed-3/checkpoints.json"
    options = ["metrics", "--checkpoints", str(manifest), "--output", str(output), "--threads", "1"]
    assert main([*options, "--columns", *COLUMNS]) == 0
    table = pd.read_parquet(output)
    recorded = pd.read_parquet(runs / "recorded/seed-3/metrics.parquet")
    assert list(table.columns) == list(recorded.columns) == ["step", *COLUMNS]
    pd.testing.assert_frame_equal(table, recorded, rtol=1e-3)
    np.testing.assert_array_equal(table["l2"], run_metrics(manifest, columns=["l2"])["l2"])
    assert main([*options, "--columns", "gradient_norm"]) == 0
    alone = pd.read_parquet(output)
    assert list(alone.columns) == ["step", "gradient_norm"]
    np.testing.assert_array_equal(alone["gradient_norm"], table["gradient_norm"])


def test_a_run_whose_task_nobody_names_is_refused(runs, capsys, tmp_path):
    run = find_run(runs / "kept/runs/seed-3")
    with pytest.raises(InputError, match="only a run that was trained here has"):
        kept_landscape(dataclasses.replace(run, task=None), [0])
    with pytest.raises(InputError, match="seed 3: has no checkpoint of step 1"):
        kept_landscape(run, [0, 1])
    checkpoints = runs / "kept/runs/seed-3/checkpoints"
    (tmp_path / "elsewhere").symlink_to(checkpoints)
    options = ["metrics", "--checkpoints", str(tmp_path / "elsewhere")]
    assert main([*options, "--output", str(tmp_path / "t"), "--columns", "hessian_max"]) == 1
    assert "only a run that was trained here has, by its manifest" in capsys.readouterr().err


def test_threads_are_those_asked_for():
    before = torch.get_num_threads()
    try:
        use_threads(3)
        assert torch.get_num_threads() == 3
        use_threads(None)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_the_tool_adds_runs_that_are_not_measured_yet(runs, tmp_path, monkeypatch):
    file = tmp_path / "landscape.parquet"
    tool.measure(runs / "kept", file, 2)
    table = pd.read_parquet(file)
    assert table.groupby("seed")["step"].agg(list).to_dict() == {3: [0, 10], 5: [0, 10]}
    found = kept_landscape(find_run(runs / "kept/runs/seed-5"), [0, 10])
    for column in LANDSCAPE:
        np.testing.assert_array_equal(table.loc[table["seed"] == 5, column], found[column])
    table[table["seed"] == 3].to_parquet(file, index=False)
    measured = []
    monkeypatch.setattr(
        tool,
        "kept_landscape",
        lambda run, steps: measured.append(run.seed) or kept_landscape(run, steps),
    )
    tool.measure(runs / "kept", file, 2)
    assert measured == [5]
    pd.testing.assert_frame_equal(pd.read_parquet(file), table)
