"""A power cut leaves whole files or none, and costs nothing that a stage said was finished."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.properties.test_broken_files import COMMANDS, call, whole  # noqa: F401  (a fixture)
from tests.support.power_cuts import Disk, watched
from training_maps.runs.checkpoints import read_manifest
from training_maps.training import resume
from training_maps.training.loop import Recording, train
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import make_task
from training_maps.utils import files

PARITIES = make_task("sparse_parities", {"n_bits": 10, "n_train": 45, "hidden_size": 16})
RECIPE = Recipe(
    "adamw", learning_rate=0.01, batch_size=20, length=12, checkpoint_every=4, unit="step"
)


def half_written(disk: Disk) -> list[str]:
    """Files that some power cut would leave with a content that they never had."""
    written = disk.written()
    return sorted(
        {
            str(path)
            for n in range(len(disk.events) + 1)
            for quick in (False, True)
            for path, content in disk.after_cut(n, quick=quick).items()
            if content not in written[path]
        }
    )


def lost(disk: Disk) -> list[str]:
    """Files that a power cut after the end would cost."""
    kept = disk.after_cut(len(disk.events), quick=False)
    return [
        str(path)
        for path in disk.written()
        if path.exists() and kept.get(path) != path.read_bytes()
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_leaves_whole_files_or_none(command, whole, tmp_path):  # noqa: F811
    folder = tmp_path / "results"
    shutil.copytree(whole, folder)
    with contextlib.chdir(folder), watched(folder) as disk:
        assert call(command) == 0
    assert disk.written()
    assert not half_written(disk)
    assert not lost(disk)


def test_without_syncing_files_would_be_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "sync", lambda path: None)
    with watched(tmp_path) as disk:
        files.write_json({"a": 1}, tmp_path / "a.json")
    assert half_written(disk) == lost(disk) == [str(tmp_path / "a.json")]


def test_where_folders_cannot_be_synced_files_are_written_all_the_same(tmp_path, monkeypatch):
    fsync = files.os.fsync

    def refused(handle):
        if Path(f"/proc/self/fd/{handle}").readlink().is_dir():
            raise OSError(files.errno.EINVAL, "Invalid argument")
        fsync(handle)

    monkeypatch.setattr(files.os, "fsync", refused)
    files.write_json({"a": 1}, tmp_path / "new/a.json")
    assert files.read_json(tmp_path / "new/a.json") == {"a": 1}


def test_what_the_disk_does_not_take_is_no_result(tmp_path, monkeypatch):
    """A full network share says so when the file is synced, not before."""

    def full(handle):
        raise OSError(files.errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        files.write_json({"a": 1}, tmp_path / "a.json")
    assert caught.value.filename == str(tmp_path / "a.json")
    assert not list(tmp_path.iterdir())


def trained(runs: Path) -> None:
    train(PARITIES, "sparse_parities", RECIPE, [0, 1], Recording(runs), device="cpu")


def outcome(runs: Path, seed: int) -> tuple[list[tuple[int, str | None]], str]:
    manifest = read_manifest(runs / f"seed-{seed}" / "checkpoints.json")
    assert all(checkpoint.path.is_file() for checkpoint in manifest.checkpoints)
    log = pd.read_parquet(runs / f"seed-{seed}" / "training_log.parquet")
    return [(c.step, c.sha256) for c in manifest.checkpoints], log.to_csv()


@pytest.mark.parametrize("quick", [False, True], ids=["slow disk", "quick disk"])
def test_training_goes_on_after_a_power_cut(tmp_path, monkeypatch, quick, caplog):
    """Whenever the power goes, training ends as if nothing had happened."""
    monkeypatch.setattr(resume, "SAVE_EVERY", 0.0)
    caplog.set_level("INFO")
    runs = tmp_path / "runs"
    with watched(tmp_path) as disk:
        trained(runs)
    assert not half_written(disk)
    undisturbed = [outcome(runs, seed) for seed in (0, 1)]
    for n in range(1, len(disk.events), 3):
        shutil.rmtree(runs)
        for path, content in disk.after_cut(n, quick=quick).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        trained(runs)
        assert [outcome(runs, seed) for seed in (0, 1)] == undisturbed, n
    assert "going on from step 8" in caplog.text
