"""TensorBoard's event files: the scalars of one run, from the folder that its writer made.

The files are read by the `tensorboard` package, which is an extra of this one. A folder may hold
several files, as a run that was resumed leaves them; they are read in the order in which they were
begun, and what a session's start record makes void is left out. Subfolders (of `add_scalars`, for
one) are runs of their own and are not read.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

from training_maps.runs.tables.sheets import RowsOfValues, Sheet
from training_maps.utils.errors import InputError

logger = logging.getLogger("training_maps")

_MARK = "tfevents"
_STEP = "step"
# A record is its length (8 bytes), a checksum of that (4), the event, and a checksum of it (4).
_LENGTH, _AROUND = 8, 16
_LONGEST_EVENT = 1 << 30


def event_files(path: Path) -> list[Path]:
    """The event files that `path` stands for: itself, or those in the folder; perhaps none."""
    if path.is_dir():
        found = [file for file in path.iterdir() if _MARK in file.name and file.is_file()]
        return sorted(found, key=_begun)
    return [path] if _MARK in path.name else []


def read_events(path: Path) -> Sheet:
    """The scalars of a folder of event files, or of one file; a column each, and `step`.

    Scalars logged one after another at the same step share a row.

    Raises:
        InputError: if there are no event files or no scalars in them, a file is damaged, or the
            package that reads them is not installed.
    """
    files = event_files(path)
    if not files:
        raise InputError(
            f"{path}: is a folder without TensorBoard event files (*{_MARK}*); name a table, or "
            "the folder that holds a run's event files itself"
        )
    rows: list[dict[str, float]] = []
    places: list[tuple[Path, int]] = []
    of_scalars: set[str] = set()
    purged = 0
    for file in files:
        row: dict[str, float] = {}
        for record, (step, tag, value) in _scalars(file, of_scalars):
            if tag is None:
                purged += _purge(rows, places, step)
                row = {}
                continue
            if tag == _STEP:
                raise InputError(f"{file}: has a scalar called {_STEP!r}, as steps themselves are")
            if tag in row or row.get(_STEP) != step:
                row = {_STEP: step}
                rows.append(row)
                places.append((file, record))
            row[tag] = value
    if not rows:
        raise InputError(f"{path}: its event files hold no scalars")
    if purged:
        logger.info(
            "%s: the run was resumed from an earlier step; %d rows of what was given up then are "
            "left out, as TensorBoard does",
            path,
            purged,
        )
    values = RowsOfValues()
    for row in rows:
        values.add(row)

    def locate(row: int) -> str:
        return f"{places[row][0].name}, event {places[row][1]}"

    return Sheet(path, values.n_rows, values.columns(), locate, _STEP)


def _begun(file: Path) -> list[tuple[int, str]]:
    """Orders files by when they were begun: events.out.tfevents.SECOND.HOST.PROCESS.NUMBER."""
    parts = re.split(r"(\d+)", file.name)
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts]


def _purge(rows: list[dict[str, float]], places: list[tuple[Path, int]], step: int) -> int:
    """Remove rows from `step` on, in place; returns how many those are."""
    kept = [i for i, row in enumerate(rows) if row[_STEP] < step]
    removed = len(rows) - len(kept)
    rows[:] = [rows[i] for i in kept]
    places[:] = [places[i] for i in kept]
    return removed


def _scalars(
    file: Path, of_scalars: set[str]
) -> Iterator[tuple[int, tuple[int, str | None, float]]]:
    """Number of the event, from 1, and step, tag and value of each scalar of an event file.

    A tag of None is the record of a session's start, as a writer with `purge_step` makes it: what
    was logged before it from that step on counts no more, to TensorBoard's own reader either.
    `of_scalars` are the tags that earlier files say to be scalars, and is added to.
    """
    try:  # half a second, and not installed by everyone
        from google.protobuf.message import DecodeError
        from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.util.tensor_util import make_ndarray
    except ImportError as error:
        raise InputError(
            f"{file}: to read TensorBoard's event files takes the package tensorboard ({error}); "
            "install it with: pip install 'training-maps[tensorboard]'"
        ) from error
    read = 0
    for number, record in enumerate(RawEventFileLoader(str(file)).Load(), start=1):
        read += len(record) + _AROUND
        try:
            event = Event.FromString(record)
        except DecodeError as error:
            raise InputError(f"{file}: record {number} is no event of TensorBoard's") from error
        if event.HasField("session_log") and event.session_log.status == SessionLog.START:
            yield number, (event.step, None, 0.0)
        for value in event.summary.value:
            # Only the first event of a tag says what kind of summary the tag is.
            if value.metadata.plugin_data.plugin_name == "scalars":
                of_scalars.add(value.tag)
            if value.HasField("simple_value"):
                yield number, (event.step, value.tag, value.simple_value)
            elif value.tag in of_scalars and value.HasField("tensor"):
                yield number, (event.step, value.tag, float(make_ndarray(value.tensor).item()))
    size = file.stat().st_size
    if read < size:
        _check_rest(file, read, size)


def _check_rest(file: Path, read: int, size: int) -> None:
    """A last record that was cut off is skipped, as a killed job leaves it; others are not."""
    with file.open("rb") as stream:
        stream.seek(read)
        head = stream.read(_LENGTH)
    length = int.from_bytes(head, "little")
    if len(head) == _LENGTH and (
        length > _LONGEST_EVENT or read + length + _AROUND <= size
    ):  # fmt: skip
        raise InputError(
            f"{file}: is damaged at byte {read} of {size}; copy it again, or leave the run out"
        )
    logger.warning(
        "%s: ends within a record, at byte %d of %d, as a killed job leaves it; what comes before "
        "is used",
        file,
        read,
        size,
    )
