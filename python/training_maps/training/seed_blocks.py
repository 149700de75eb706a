"""Blocks of seeds that may be too large for the memory: trained whole, or in parts.

What a part has finished stays in its working folder until all parts are finished, so that a job
that is killed meanwhile goes on with the part that it was at.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from training_maps.training import resume
from training_maps.training.devices import is_out_of_memory
from training_maps.utils.errors import InputError
from training_maps.utils.seeds import format_seeds

if TYPE_CHECKING:
    from training_maps.training.records import Recorder

logger = logging.getLogger("training_maps")


class Training(Protocol):
    """The training of some seeds, from where it was left to its end."""

    recorder: Recorder
    settings: dict[str, Any]

    def run(self) -> None:
        """Train to the end."""


Prepare = Callable[[list[int], Path], Training]


def train_block(
    seeds: list[int], runs: Path, prepare: Prepare, identity: Mapping[str, Any]
) -> None:
    """Train a block of seeds, in parts if there is not enough memory, and put its runs in place.

    Args:
        seeds: the block.
        runs: the folder of all runs.
        prepare: makes the training of some seeds in a working folder.
        identity: what unfinished training must have in common with this one.

    Raises:
        InputError: if one seed alone does not fit into memory.
    """
    folder = resume.working_folder(runs, format_seeds(seeds))
    for recorder, settings in _trained(seeds, folder, prepare, identity):
        recorder.finish(settings)
    resume.clear(folder)


def _trained(
    seeds: list[int], folder: Path, prepare: Prepare, identity: Mapping[str, Any]
) -> list[tuple[Recorder, Mapping[str, Any]]]:
    """Train seeds to the end: what is recorded of them, part by part, and their settings."""
    parts = resume.parts(folder, identity)
    if parts is not None:
        logger.info("seeds %s: going on in parts", format_seeds(seeds))
    else:
        try:
            training = prepare(seeds, folder)
            training.run()
            return [(training.recorder, training.settings)]
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            if len(seeds) == 1:
                raise InputError(
                    f"seed {seeds[0]}: its network alone does not fit into memory ({reason}). Use "
                    "a machine or a GPU with more of it, or a smaller batch_size or network; on a "
                    "shared GPU, wait until others leave it"
                ) from error
        # The memory of that attempt is given back only when nothing refers to it any more.
        training = None  # type: ignore[assignment]
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        parts = halves(seeds)
        logger.warning(
            "seeds %s: not enough memory to train them side by side (%s). The block is split: "
            "seeds %s are trained one part after another",
            format_seeds(seeds), reason, " and ".join(map(format_seeds, parts)),
        )  # fmt: skip
        resume.split(folder, identity, seeds, parts)
    found = []
    for part in parts:
        own = resume.working_folder(folder, format_seeds(part))
        found += _trained(part, own, prepare, identity)
    return found


def halves(seeds: list[int]) -> list[list[int]]:
    """Two parts of a block: the first seeds, as many as the rest or one more, and the rest."""
    middle = (len(seeds) + 1) // 2
    return [seeds[:middle], seeds[middle:]]
