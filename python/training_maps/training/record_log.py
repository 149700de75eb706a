"""What was recorded of one run so far, on disk as it comes: lines are added, none is written again.

    RUNS/.unfinished-0-7/seed-3/records.jsonl

The saved state of a training says how long the file was then (`resume`). What a job added later,
before it was killed, is cut off when training goes on from that state.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training_maps.utils.files import make_folder, sync, sync_folder


@dataclass
class Record:
    """What has been recorded of one seed's run so far."""

    seed: int
    log: list[dict[str, float]] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    metrics: list[dict[str, float]] = field(default_factory=list)
    layers: list[NDArray[np.float64]] = field(default_factory=list, compare=False)
    """Of each row of metrics those of each matrix, (n_matrices, n_columns), where they are kept."""
    non_finite: dict[str, Any] | None = None
    further: int | None = None
    """Checkpoints still to come before the run ends early; None until it is sure to."""


_LISTS = ("log", "digests", "metrics", "layers")


class RecordLog:
    """The file that one run's record is kept in while it trains."""

    def __init__(self, path: Path) -> None:
        """Begin the file at `path` anew, with the first line that is added."""
        self.path, self._size = path, 0
        self._saved = dict.fromkeys(_LISTS, 0)

    def add(self, record: Record) -> dict[str, Any]:
        """Write what is new in `record`, and return what is to be saved with the state."""
        new = {name: getattr(record, name)[done:] for name, done in self._saved.items()}
        if any(new.values()):
            self._append(json.dumps(new, default=np.ndarray.tolist).encode() + b"\n")
            self._saved = {name: len(getattr(record, name)) for name in _LISTS}
        return {
            "seed": record.seed,
            "non_finite": record.non_finite,
            "further": record.further,
            "size": self._size,
        }

    def _append(self, line: bytes) -> None:
        """Add a line after what is saved; the disk has it before a state says that it is there."""
        make_folder(self.path.parent)
        with self.path.open("r+b" if self._size else "wb") as file:
            file.truncate(self._size)
            file.seek(self._size)
            file.write(line)
            end = file.tell()
        sync(self.path)
        if not self._size:
            sync_folder(self.path.parent)
        self._size = end

    def read(self, saved: dict[str, Any]) -> Record | None:
        """The record as it was when `add` returned `saved`, or None if it is not there any more."""
        record = Record(saved["seed"], non_finite=saved["non_finite"], further=saved["further"])
        size = saved["size"]
        content = self.path.read_bytes()[:size] if size and self.path.is_file() else b""
        if len(content) < size:
            return None
        try:
            lines = [json.loads(line) for line in content.splitlines()]
        except ValueError:  # what a disk lost of it may be zeros
            return None
        for line in lines:
            for name, values in line.items():
                taken = [np.array(one) for one in values] if name == "layers" else values
                getattr(record, name).extend(taken)
        self._size = size
        self._saved = {name: len(getattr(record, name)) for name in _LISTS}
        return record
