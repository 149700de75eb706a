"""What is recorded of a run while it trains: a line of JSON a checkpoint, appended as it happens.

A process may be killed at any moment: what was appended before stays, a line cut off is dropped,
and a run that is resumed from an earlier step takes the later lines back. `read_journal` makes the
tables of metrics and of the training log that other stages read.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from training_maps.utils.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

#: The file in a run's folder.
FILE = "recorded.jsonl"


@dataclass(frozen=True)
class Line:
    """What is recorded of one checkpoint.

    Attributes:
        step: optimiser updates.
        epoch: passes over the training set; None if not told.
        metrics: by column; empty from the checkpoint on at which a value is not finite.
        logged: what else was told, by name.
        non_finite: the tensor that is not finite, "" for a metric; None if all are.
    """

    step: int
    epoch: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    logged: Mapping[str, float] = field(default_factory=dict)
    non_finite: str | None = None

    def to_json(self) -> str:
        """The line; numbers that are not finite are null."""
        data = {
            "step": self.step,
            "epoch": _finite(self.epoch),
            "metrics": {name: _finite(value) for name, value in self.metrics.items()},
            "logged": {name: _finite(value) for name, value in self.logged.items()},
            "non_finite": self.non_finite,
        }
        return json.dumps(data, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The line of its text; ValueError if it is none."""
        data = json.loads(text)
        if not isinstance(data, dict) or not isinstance(data.get("step"), int):
            raise ValueError("no line of a journal")
        numbers = {
            key: {name: math.nan if v is None else float(v) for name, v in data[key].items()}
            for key in ("metrics", "logged")
        }
        return cls(data["step"], data["epoch"], **numbers, non_finite=data["non_finite"])


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


class Journal:
    """A journal open for writing; one process at a time."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Open the journal in a run's folder, or begin one; a line cut off at its end is removed.

        Raises:
            InputError: if another process writes it.
        """
        self.path = Path(folder) / FILE
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._handle)
            raise InputError(
                f"{self.path}: another process records this run; give each run its own folder"
            ) from None
        except OSError:
            pass  # the file system knows no locks
        lines, self._ends = _whole_lines(self.path.read_bytes())
        self.lines: list[Line] = lines
        os.ftruncate(self._handle, self._ends[-1] if self._ends else 0)

    def append(self, line: Line) -> None:
        """Add a line; those of the same and of later steps are taken back first."""
        kept = sum(1 for one in self.lines if one.step < line.step)
        del self.lines[kept:], self._ends[kept:]
        start = self._ends[-1] if self._ends else 0
        os.ftruncate(self._handle, start)
        text = f"{line.to_json()}\n".encode()
        os.lseek(self._handle, start, os.SEEK_SET)
        written = 0
        while written < len(text):
            written += os.write(self._handle, text[written:])
        with suppress(OSError):  # not all file systems can
            os.fsync(self._handle)
        self.lines.append(line)
        self._ends.append(start + len(text))

    def close(self) -> None:
        """Let others write it."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _whole_lines(content: bytes) -> tuple[list[Line], list[int]]:
    """The lines up to the first that is not whole, and where each ends."""
    lines: list[Line] = []
    ends: list[int] = []
    start = 0
    while (end := content.find(b"\n", start)) >= 0:
        try:
            lines.append(Line.from_json(content[start:end]))
        except (ValueError, TypeError, LookupError, AttributeError):
            break
        start = end + 1
        ends.append(start)
    return lines, ends


def read_journal(folder: str | os.PathLike[str]) -> list[Line]:
    """The whole lines of a journal that may be written meanwhile.

    Raises:
        InputError: if it cannot be read.
    """
    path = Path(folder) / FILE
    try:
        return _whole_lines(path.read_bytes())[0]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def tables_of(lines: list[Line]) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any] | None]:
    """The table of metrics, the training log, and where a value was not finite, if anywhere.

    The metrics have `step` and a column each, up to there; the log has `step`, `epoch` and what was
    logged at any checkpoint, NaN where it was not.
    """
    import pandas as pd

    bad = next((line for line in lines if line.non_finite is not None), None)
    good = [line for line in lines if bad is None or line.step < bad.step]
    columns = list(dict.fromkeys(name for line in good for name in line.metrics))
    names = list(dict.fromkeys(name for line in lines for name in line.logged))
    metrics = {"step": np.array([line.step for line in good], dtype=np.int64)}
    metrics |= {c: np.array([x.metrics.get(c, math.nan) for x in good], float) for c in columns}
    log = {
        "step": np.array([line.step for line in lines], dtype=np.int64),
        "epoch": np.array([math.nan if x.epoch is None else x.epoch for x in lines], float),
    }
    log |= {n: np.array([x.logged.get(n, math.nan) for x in lines], float) for n in names}
    where = None if bad is None else {"step": bad.step, "tensor": bad.non_finite or None}
    return pd.DataFrame(metrics), pd.DataFrame(log), where
