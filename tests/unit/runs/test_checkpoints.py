"""Checkpoints on disk, and the manifest that stands for them."""

import hashlib
import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from training_maps.runs.checkpoints import (
    Checkpoint,
    Run,
    find_run,
    read_manifest,
    step_file,
    write_checkpoint,
    write_manifest,
)
from training_maps.utils.errors import InputError


@pytest.fixture
def run(tmp_path):
    """A run of three checkpoints on disk, with its manifest."""
    folder = tmp_path / "seed-3"
    checkpoints = []
    for step in (0, 5, 20):
        path = folder / "checkpoints" / step_file(step, 20)
        digest = write_checkpoint(path, {"w": np.full((2, 2), step, np.float32)}, seed=3, step=step)
        checkpoints.append(Checkpoint(step, step / 5, path, digest))
    run = Run(3, tuple(checkpoints), "task", {"learning_rate": 0.1})
    write_manifest(run, folder / "checkpoints.json")
    return run


def test_a_checkpoint_is_what_safetensors_reads(run):
    path = run.checkpoints[1].path
    assert path.name == "step-000005.safetensors"
    np.testing.assert_array_equal(load_file(path)["w"], np.full((2, 2), 5, np.float32))
    assert hashlib.sha256(path.read_bytes()).hexdigest() == run.checkpoints[1].sha256
    with safe_open(path, "numpy") as file:
        assert json.loads(file.metadata()["training_maps"])["seed"] == 3


def test_a_slice_of_a_larger_array_is_written_right(tmp_path):
    stacked = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    write_checkpoint(tmp_path / "x.safetensors", {"w": stacked[1].T})
    np.testing.assert_array_equal(load_file(tmp_path / "x.safetensors")["w"], stacked[1].T)


def test_names_sort_as_steps_do():
    steps = [0, 9, 10, 99999, 1000000]
    names = [step_file(step, 1000000) for step in steps]
    assert sorted(names) == names


def test_the_manifest_round_trips(run, tmp_path):
    assert read_manifest(tmp_path / "seed-3" / "checkpoints.json") == run


def test_a_run_is_found_by_manifest_or_by_files(run, tmp_path):
    folder = tmp_path / "seed-3"
    for where in (folder, folder / "checkpoints", folder / "checkpoints.json"):
        assert find_run(where) == run
    (folder / "checkpoints.json").unlink()
    for where in (folder, folder / "checkpoints"):
        found = find_run(where)
        assert [checkpoint.step for checkpoint in found.checkpoints] == [0, 5, 20]


def test_nothing_found_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no checkpoint found"):
        find_run(tmp_path)


def test_broken_manifests_are_named(run, tmp_path):
    path = tmp_path / "seed-3" / "checkpoints.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "checkpoints": data["checkpoints"] * 2}))
    with pytest.raises(InputError, match=r"checkpoints\.json: step 0 is there twice"):
        read_manifest(path)
    path.write_text(json.dumps({**data, "checkpoints": []}))
    with pytest.raises(InputError, match="no checkpoint found"):
        read_manifest(path)
    path.write_text('{"seed": 3}')
    with pytest.raises(InputError, match="is not a manifest of checkpoints"):
        read_manifest(path)
