"""Unfinished training: what it needs to go on after its job was killed, in a working folder.

    RUNS/.unfinished-0-7/state.pt                  networks, optimisers, generators, records so far
    RUNS/.unfinished-0-7/seed-3/checkpoints/       the checkpoints so far

The state is saved at a checkpoint, but not more often than every `SAVE_EVERY` seconds. It goes on
only where the same code trains the same networks in the same way on the same kind of device.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from training_maps.files import replace_when_whole

logger = logging.getLogger("training_maps")

SAVE_EVERY = 30.0
_STATE = "state.pt"


def working_folder(runs: Path, seeds: str) -> Path:
    """The working folder of the job that trains `seeds`, written short (0-7)."""
    name = seeds.replace(",", "_")
    if len(name) > 100:  # file systems allow some 255 characters
        name = hashlib.sha256(name.encode()).hexdigest()[:16]
    return runs / f".unfinished-{name}"


def save(folder: Path, identity: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Save the state of the training that `identity` describes; either whole or not at all."""
    with replace_when_whole(folder / _STATE) as aside:
        torch.save({"identity": _text(identity), **state}, aside)


def load(folder: Path, identity: Mapping[str, Any], device: str) -> dict[str, Any] | None:
    """The state to go on from, or None if there is none, or one of another training."""
    path = folder / _STATE
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        saved = state.pop("identity")
    except Exception as error:  # torch names no type of error for a file that is not its own
        logger.warning("%s cannot be read (%s): training starts anew", path, error)
        return None
    if saved != _text(identity):
        logger.info("%s is of a training with other settings or code: training starts anew", path)
        return None
    return state


def clear(folder: Path) -> None:
    """Remove a working folder and all that is in it."""
    shutil.rmtree(folder, ignore_errors=True)


def _text(identity: Mapping[str, Any]) -> str:
    return json.dumps(identity, sort_keys=True)
