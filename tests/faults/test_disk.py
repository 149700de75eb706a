"""A full disk is reported with the file, and nothing half-written is left on it."""

import errno
import os
import resource
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from tests.support.synthetic_results import write_results
from training_maps import cli
from training_maps.runs.checkpoints import read_manifest, write_checkpoint
from training_maps.training import resume
from training_maps.training.loop import Recording, train
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import make_task
from training_maps.utils.files import explained, replace_when_whole, write_json, write_table

NUMBERS = np.random.default_rng(0).normal(size=20_000)
pytestmark = pytest.mark.usefixtures("restore_logging")
TASK = make_task("sparse_parities", {"n_bits": 10, "n_train": 45, "hidden_size": 16})
RECIPE = Recipe(batch_size=20, length=60, checkpoint_every=2, unit="step")


def write_figure(path):
    from matplotlib.figure import Figure

    from training_maps.figures.save import save_figure

    figure = Figure()
    figure.subplots().plot(NUMBERS)
    save_figure(figure, path)


def write_arrays(path):
    with replace_when_whole(path) as aside, aside.open("wb") as file:
        np.savez_compressed(file, numbers=NUMBERS)


WRITERS = {
    "table.csv": lambda path: write_table(pd.DataFrame({"x": NUMBERS}), path),
    "table.parquet": lambda path: write_table(pd.DataFrame({"x": NUMBERS}), path),
    "map.json": lambda path: write_json(NUMBERS.tolist(), path),
    "states-3.npz": write_arrays,
    "step-000010.safetensors": lambda path: write_checkpoint(path, {"w": NUMBERS}),
    "state.pt": lambda path: resume.save(path.parent, {}, {"w": torch.from_numpy(NUMBERS)}),
    "figure.svg": write_figure,
}


@pytest.mark.parametrize("name", WRITERS)
def test_on_a_full_disk_the_file_is_named_and_the_old_one_stays(name, small_disk):
    path = small_disk.folder / name
    path.write_text("old")
    with pytest.raises(OSError, match="No space left") as failure:
        WRITERS[name](path)
    assert explained(failure.value).startswith(f"{path}: the disk is full. Make room on it")
    assert [there.name for there in small_disk.folder.iterdir()] == [name]
    assert path.read_text() == "old"
    small_disk.resize(4000)
    WRITERS[name](path)
    assert [there.name for there in small_disk.folder.iterdir()] == [name]
    assert path.stat().st_size > 64_000


@pytest.mark.parametrize("name", ["table.csv", "map.json", "state.pt"])
def test_a_disk_that_can_hold_no_more_files_is_told_from_a_full_one(name, small_disk):
    small_disk.resize(4000)
    path = small_disk.folder / name
    path.write_text("old")
    small_disk.allow_no_more_files()
    with pytest.raises(OSError, match="No space left") as failure:
        WRITERS[name](path)
    told = explained(failure.value)
    assert told.startswith(f"{path}: the disk has room, and can hold no more files (`df -i`)")
    assert [there.name for there in small_disk.folder.iterdir()] == [name]
    assert path.read_text() == "old"


LIMITED = """
import sys
from tests.faults.test_disk import WRITERS
from pathlib import Path
from training_maps.utils.files import explained
path = Path(sys.argv[1])
try:
    WRITERS[path.name](path)
except OSError as error:
    print(explained(error))
"""


@pytest.mark.parametrize("name", ["table.parquet", "state.pt"])
def test_a_limit_on_the_size_of_files_is_told_too(name, tmp_path):
    # What everybody can have of a full disk: a process that may write no large files.
    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    command = [sys.executable, "-B", "-c", LIMITED, str(tmp_path / name)]
    told = subprocess.run(command, preexec_fn=limited, capture_output=True, text=True, check=True)
    assert told.stdout.startswith(f"{tmp_path / name}: the file is larger than this process may")
    assert not list(tmp_path.iterdir())


def run_stage(capsys, *arguments):
    """The exit status of a stage, and what it told."""
    status = cli.main([*map(str, arguments)])
    told = capsys.readouterr().err
    assert "Traceback" not in told
    return status, told


def test_training_on_a_full_disk_goes_on_when_there_is_room(
    small_disk, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(resume, "SAVE_EVERY", 0.0)
    command = (
        "train", "--task", "sparse_parities", "--set", "n_bits=10", "n_train=45", "hidden_size=16",
        "--recipe", "batch_size=20", "length=60", "checkpoint_every=2", "unit=step",
        "--seeds", "0,1", "--device", "cpu", "--log", small_disk.folder / "train.log", "--runs",
    )  # fmt: skip
    assert run_stage(capsys, *command, tmp_path / "undisturbed")[0] == 0
    small_disk.resize(150)
    runs = small_disk.folder / "runs"
    status, told = run_stage(capsys, *command, runs)
    assert status == 1
    assert f"{runs}/.unfinished-0,1".replace(",", "_") in told
    assert "the disk is full. Make room on it, then run the command again" in told
    assert not list(runs.glob("seed-*"))
    small_disk.resize(4000)
    status, told = run_stage(capsys, *command, runs)
    assert status == 0
    assert "going on from step" in told
    for seed in (0, 1):
        found, expected = (
            read_manifest(folder / f"seed-{seed}" / "checkpoints.json")
            for folder in (runs, tmp_path / "undisturbed")
        )
        assert [c.sha256 for c in found.checkpoints] == [c.sha256 for c in expected.checkpoints]
    assert sorted(path.name for path in runs.iterdir()) == ["seed-0", "seed-1"]


def test_stages_on_a_full_disk_say_so(small_disk, tmp_path, capsys):
    train(TASK, "parities", RECIPE, [0], Recording(tmp_path / "runs"), device="cpu")
    results = write_results(tmp_path / "results")
    small_disk.fill()
    for name, command in {
        "metrics.parquet": ("metrics", "--checkpoints", tmp_path / "runs/seed-0", "--output"),
        "report.html": ("report", "--results", results, "--output"),
    }.items():
        output = small_disk.folder / name
        status, told = run_stage(capsys, *command, output, "--log", small_disk.folder / "a.log")
        assert status == 1
        assert f"{output}: the disk is full. Make room on it, then run the command again" in told
    assert {path.name for path in small_disk.folder.iterdir()} <= {"filler", "a.log"}


def test_a_read_only_folder_is_told(small_disk, capsys, tmp_path):
    train(TASK, "parities", RECIPE, [0], Recording(tmp_path), device="cpu")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk.folder)], check=True)
    for log in ([], ["--log", small_disk.folder / "logs" / "metrics.log"]):
        status, told = run_stage(
            capsys, "metrics", "--checkpoints", tmp_path / "seed-0",
            "--output", small_disk.folder / "metrics.parquet", *log,
        )  # fmt: skip
        assert status == 1
        assert "the file system is read-only. Let this user read and write there" in told
        assert str(small_disk.folder) in told


@pytest.mark.parametrize(
    "number", [errno.EIO, errno.ESTALE, errno.EDQUOT, errno.ENOENT, errno.EACCES]
)
def test_what_a_share_says_when_it_is_lost_is_told(number, tmp_path, capsys, monkeypatch):
    train(TASK, "parities", RECIPE, [0], Recording(tmp_path), device="cpu")
    output = tmp_path / "metrics.parquet"

    def lost(self, target):
        raise OSError(number, os.strerror(number), str(self), None, str(target))

    monkeypatch.setattr("pathlib.Path.replace", lost)
    status, told = run_stage(
        capsys, "metrics", "--checkpoints", tmp_path / "seed-0", "--output", output
    )
    assert status == 1
    assert f"{output}: " in told
    assert os.strerror(number) in told
    assert not list(tmp_path.glob("*metrics*"))


def test_a_folder_that_vanishes_in_the_midst_is_told(tmp_path, capsys, monkeypatch):
    # As a network share that is unmounted while training is under way.
    runs = tmp_path / "share" / "runs"
    original = resume.save
    monkeypatch.setattr(resume, "SAVE_EVERY", 0.0)

    def unmount(*arguments):
        original(*arguments)
        if runs.exists():
            runs.parent.rename(tmp_path / "elsewhere")
            (tmp_path / "share").touch()

    monkeypatch.setattr(resume, "save", unmount)
    status, told = run_stage(
        capsys, "train", "--task", "sparse_parities", "--recipe", "length=2", "--seeds", "0",
        "--device", "cpu", "--runs", runs,
    )  # fmt: skip
    assert status == 1
    assert str(runs) in told
    assert "run the command again" in told


def test_an_error_that_is_not_of_the_disk_is_not_explained_away():
    assert explained(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")) is None
    assert explained(OSError("something else")) is None


def test_a_state_that_cannot_be_read_just_now_is_not_given_up(tmp_path, monkeypatch):
    resume.save(tmp_path, {}, {"step": 3})

    def lost(*_, **__):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(tmp_path / "state.pt"))

    with monkeypatch.context() as patch:
        patch.setattr(torch, "load", lost)
        with pytest.raises(OSError, match="Stale"):
            resume.load(tmp_path, {}, "cpu")
    assert resume.load(tmp_path, {}, "cpu") == {"step": 3}
