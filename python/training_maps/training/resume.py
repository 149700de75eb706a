"""Unfinished training: what it needs to go on after its job was killed, in a working folder.

    RUNS/.unfinished-0-7/state.pt                  networks, optimisers, generators
    RUNS/.unfinished-0-7/seed-3/records.jsonl      what was recorded so far (`record_log`)
    RUNS/.unfinished-0-7/seed-3/checkpoints/       the checkpoints so far
    RUNS/.unfinished-0-7/parts.json                the block was split, and into what
    RUNS/.unfinished-0-7/.unfinished-0-3/          the working folder of such a part

The state is saved at a checkpoint, but not more often than every `SAVE_EVERY` seconds. It goes on
only where the same code trains the same networks in the same way on the same kind of device.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from training_maps.runs.checkpoints import run_folder
from training_maps.training.devices import is_out_of_memory
from training_maps.training.side_by_side import of_rows
from training_maps.utils.files import read_json, replace_when_whole, write_json
from training_maps.utils.seeds import format_seeds

logger = logging.getLogger("training_maps")

SAVE_EVERY = 30.0
_STATE = "state.pt"
_PARTS = "parts.json"


def working_folder(runs: Path, seeds: str) -> Path:
    """The working folder of the job that trains `seeds`, written short (0-7)."""
    name = seeds.replace(",", "_")
    if len(name) > 100:  # file systems allow some 255 characters
        name = hashlib.sha256(name.encode()).hexdigest()[:16]
    return runs / f".unfinished-{name}"


def save(folder: Path, identity: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Save the state of the training that `identity` describes; either whole or not at all."""
    # In memory first: torch's own writer hides what the disk says behind a message of its own.
    content = io.BytesIO()
    torch.save({"identity": _text(identity), **state}, content)
    with replace_when_whole(folder / _STATE) as aside:
        aside.write_bytes(content.getbuffer())


def load(folder: Path, identity: Mapping[str, Any], device: str) -> dict[str, Any] | None:
    """The state to resume from, or None if there is none, or one of another training."""
    path = folder / _STATE
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        saved = state.pop("identity")
    except Exception as error:  # torch names no type of error for a file that is not its own
        # A share that is lost for a moment must not cost what was trained.
        if is_out_of_memory(error) or getattr(error, "errno", None) is not None:
            raise
        logger.warning("%s cannot be read (%s): training starts from the beginning", path, error)
        return None
    if saved != _text(identity):
        logger.info(
            "%s is of a training with other settings or code: training starts from the beginning",
            path,
        )
        return None
    return state


def split(
    folder: Path, identity: Mapping[str, Any], seeds: list[int], parts: Sequence[list[int]]
) -> None:
    """Hand what is saved of a block of networks side by side to its parts, each in its own folder.

    Args:
        folder: the block's working folder; those of the parts are in it.
        identity: of the training, without the seeds.
        seeds: those of the block.
        parts: those of each part.
    """
    whole = folder / _STATE
    state = torch.load(whole, map_location="cpu", weights_only=True) if whole.is_file() else None
    for part in parts:
        own = working_folder(folder, format_seeds(part))
        clear(own)
        own.mkdir(parents=True)
        if state is not None:
            of_part = {**json.loads(state["identity"]), "seeds": part}
            save(own, of_part, _of_seeds(state, [seeds.index(seed) for seed in part]))
        for seed in part:
            if run_folder(folder, seed).is_dir():
                run_folder(folder, seed).rename(run_folder(own, seed))
    write_json({"identity": _text(identity), "parts": list(parts)}, folder / _PARTS)
    whole.unlink(missing_ok=True)


def parts(folder: Path, identity: Mapping[str, Any]) -> list[list[int]] | None:
    """The parts that a block was split into by the training of `identity`, or None."""
    path = folder / _PARTS
    if not path.is_file():
        return None
    found = read_json(path)
    return found["parts"] if found["identity"] == _text(identity) else None


def _of_seeds(state: Mapping[str, Any], rows: list[int]) -> dict[str, Any]:
    """The state of some of the seeds of a block, by their places in it."""
    listed = {name: json.loads(state[name]) for name in ("records", "positions")}
    return {
        "step": state["step"],
        "networks": of_rows(state["networks"], rows),
        "noise": state["noise"],
        **{name: json.dumps([values[row] for row in rows]) for name, values in listed.items()},
    }


def clear(folder: Path) -> None:
    """Remove a working folder and all that is in it."""
    shutil.rmtree(folder, ignore_errors=True)


def _text(identity: Mapping[str, Any]) -> str:
    return json.dumps(identity, sort_keys=True)
