"""A run's checkpoints on disk: a folder of numbered steps, and the manifest that stands for them.

    runs/seed-3/checkpoints/step-000320.safetensors      one file a checkpoint
    runs/seed-3/checkpoints.json                         the manifest, written last

`step` counts optimiser updates; step 0 is the initialisation. The manifest is written when every
checkpoint is, so a run without one is not finished. It holds each file's SHA-256, so that a file
that changed afterwards is noticed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from training_maps.utils.errors import InputError
from training_maps.utils.files import made_by, read_json, replace_when_whole, write_json

MANIFEST = "checkpoints.json"
FOLDER = "checkpoints"
_STEP_FILE = re.compile(r"step-(\d+)\.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint: its step, epoch, file or folder, and what its content was.

    Of those written here that is the digest; of existing runs' the size in bytes and
    the time of the last change in nanoseconds, as `file_state` gives them.
    """

    step: int
    epoch: float | None
    path: Path
    sha256: str | None = None
    size: int | None = None
    modified: int | None = None


@dataclass(frozen=True)
class Run:
    """The checkpoints of one run, in the order of their steps."""

    seed: int | None
    checkpoints: tuple[Checkpoint, ...]
    task: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


def run_folder(runs: str | os.PathLike[str], seed: int) -> Path:
    """The folder of one seed's run below the folder of all runs."""
    return Path(runs) / f"seed-{seed}"


def step_file(step: int, last_step: int) -> str:
    """A checkpoint's file name, zero-padded so that names sort as steps do up to `last_step`."""
    return f"step-{step:0{max(6, len(str(last_step)))}d}.safetensors"


def write_checkpoint(
    path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray], **metadata: Any
) -> str:
    """Write `tensors` as safetensors; return the file's SHA-256 as hexadecimal digits.

    `metadata` goes into the file's header, as JSON under one key: safetensors writes several keys
    in an order that changes from call to call, and equal runs are to give equal files.
    """
    from safetensors.numpy import save

    header = {"training_maps": json.dumps(made_by(**metadata))}
    content = save({name: np.asarray(array, order="C") for name, array in tensors.items()}, header)
    with replace_when_whole(path) as aside:
        aside.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def write_manifest(run: Run, path: str | os.PathLike[str]) -> None:
    """Write the manifest of a finished run.

    Files below the manifest's folder are named relative to it, others by their whole path.
    """
    folder = Path(path).parent
    checkpoints = [
        {
            "step": checkpoint.step,
            "epoch": checkpoint.epoch,
            "file": _as_listed(checkpoint.path, folder),
            "sha256": checkpoint.sha256,
            **(
                {}
                if checkpoint.size is None
                else {"size": checkpoint.size, "modified": checkpoint.modified}
            ),
        }
        for checkpoint in run.checkpoints
    ]
    write_json(
        {
            "seed": run.seed,
            "task": run.task,
            "settings": dict(run.settings),
            "checkpoints": checkpoints,
            "made_by": made_by(),
        },
        path,
    )


def read_manifest(path: str | os.PathLike[str]) -> Run:
    """Read a manifest.

    Raises:
        InputError: if it is missing, broken, or lists no checkpoint or one step twice.
    """
    data = read_json(path)
    folder = Path(path).parent
    try:
        checkpoints = [
            Checkpoint(
                int(row["step"]),
                row["epoch"],
                folder / row["file"],
                row["sha256"],
                row.get("size"),
                row.get("modified"),
            )
            for row in data["checkpoints"]
        ]
        run = Run(
            data["seed"],
            tuple(sorted(checkpoints, key=lambda checkpoint: checkpoint.step)),
            data["task"],
            data["settings"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: is not a manifest of checkpoints ({type(error).__name__}: {error}); "
            "delete it to have the run trained again"
        ) from error
    _check_steps(run.checkpoints, path)
    return run


def file_state(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Size in bytes and time of the last change in nanoseconds of a checkpoint that is on disk.

    Those of all files in it, summed and the latest, if it is a folder; likewise the folder that an
    index of shards is in.

    Raises:
        InputError: if it cannot be read.
    """
    path = Path(path)
    if path.name.endswith(".index.json"):
        path = path.parent
    try:
        files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
        states = [file.stat() for file in files]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    size = sum(state.st_size for state in states)
    return size, max((state.st_mtime_ns for state in states), default=0)


def _as_listed(path: Path, folder: Path) -> str:
    """How a manifest in `folder` names a checkpoint."""
    try:
        return path.relative_to(folder).as_posix()
    except ValueError:
        return path.absolute().as_posix()


def find_run(folder: str | os.PathLike[str]) -> Run:
    """The run in `folder`: what its manifest lists, else every step-*.safetensors found there.

    `folder` is a run's folder, its folder of checkpoints, or the manifest itself.

    Raises:
        InputError: if nothing is found there.
    """
    folder = Path(folder)
    if folder.is_file():
        return read_manifest(folder)
    for manifest in (folder / MANIFEST, folder.parent / MANIFEST):
        if manifest.is_file() and (manifest.parent == folder or folder.name == FOLDER):
            return read_manifest(manifest)
    inner = folder / FOLDER
    searched = inner if inner.is_dir() else folder
    steps = {path: _STEP_FILE.fullmatch(path.name) for path in searched.glob("*.safetensors")}
    checkpoints = [
        Checkpoint(int(match.group(1)), None, path) for path, match in steps.items() if match
    ]
    checkpoints.sort(key=lambda checkpoint: checkpoint.step)
    _check_steps(checkpoints, searched)
    return Run(None, tuple(checkpoints))


def _check_steps(
    checkpoints: tuple[Checkpoint, ...] | list[Checkpoint], where: str | os.PathLike[str]
) -> None:
    """Refuse a run without checkpoints, or with two of the same step."""
    if not checkpoints:
        raise InputError(f"{where}: no checkpoint found; expected files step-STEP.safetensors")
    steps = [checkpoint.step for checkpoint in checkpoints]
    twice = (
        {step for step in steps if steps.count(step) > 1} if len(set(steps)) < len(steps) else ()
    )
    if twice:
        raise InputError(f"{where}: step {min(twice)} is there twice; expected one file a step")
