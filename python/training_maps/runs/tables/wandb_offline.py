"""Weights & Biases' offline runs: what a run logged, from the file that `wandb sync` would send.

    wandb/offline-run-DATE_TIME-ID/run-ID.wandb

The file is a log in LevelDB's format: after seven bytes, blocks of 32 KiB with pieces of records,
each with a checksum (4 bytes), its length (2) and whether it is whole (1), or a first (2), a middle
(3) or a last piece (4). A record is a message in Protocol Buffers' encoding; of its fields, only
the run (with its config) and the history are read here. No package is needed, and no network.
"""

from __future__ import annotations

import json
import logging
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training_maps.runs.tables.sheets import RowsOfValues, Sheet
from training_maps.utils.errors import InputError

logger = logging.getLogger("training_maps")

_ENDING = ".wandb"
_SEEDS = ("seed", "random_seed")
_MARK, _BLOCK, _HEAD = b":W&B", 1 << 15, 7
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
# Numbers of fields: in a record, in a run's record, in a config, and in a history.
_HISTORY, _CONFIG, _RUN = 2, 5, 17
_RUNS_CONFIG, _UPDATE = 4, 1
_ITEM, _STEP, _NUMBER = 1, 2, 1
_KEY, _NESTED, _BOOLEAN, _INTEGER, _DOUBLE, _JSON = 1, 2, 4, 5, 6, 16


def offline_files(path: Path) -> list[Path]:
    """The runs' files that `path` stands for: itself, those in the folder, or a folder below."""
    if path.is_dir():
        return sorted(path.glob(f"*{_ENDING}")) or sorted(path.glob(f"*run-*/run-*{_ENDING}"))
    return [path] if path.suffix == _ENDING else []


def read_offline(path: Path) -> Sheet:
    """The history of one run, or of all in a folder, with `seed` from their configs.

    Raises:
        InputError: if a file is no such log, nothing was logged, or two runs have one seed.
    """
    rows = RowsOfValues()
    places: list[str] = []
    runs: dict[Any, Path] = {}
    for file in offline_files(path):
        config: dict[str, Any] = {}
        history = []
        for record in _records(file):
            for number, value in _fields(record):
                if number == _RUN:
                    config |= _config(_all(value, _RUNS_CONFIG))
                elif number == _CONFIG:
                    config |= _config([value])
                elif number == _HISTORY:
                    history.append(_history(value))
        seed = next((config[name] for name in _SEEDS if name in config), None)
        if history and seed is not None and runs.setdefault(seed, file) != file:
            raise InputError(
                f"{path}: seed {seed} has {runs[seed].name} and {file.name}; remove one"
            )
        for number, row in enumerate(history, start=1):
            rows.add({**({} if seed is None else {"seed": seed}), **row})
            places.append(f"{file.name}, call {number} of wandb.log")
    if not places:
        raise InputError(f"{path}: its offline runs have logged nothing")
    return Sheet(path, rows.n_rows, rows.columns(), lambda row: places[row])


def _history(message: bytes) -> dict[str, Any]:
    """A call of `wandb.log`: value by name, and `_step`."""
    row: dict[str, Any] = {}
    for number, value in _fields(message):
        if number == _STEP:
            row["_step"] = next((v for n, v in _fields(value) if n == _NUMBER), 0)
        elif number == _ITEM:
            name, content = _item(value)
            if isinstance(content, int | float | str) or content is None:
                row[name] = content
    return row


def _config(messages: list[bytes]) -> dict[str, Any]:
    return dict(_item(update) for message in messages for update in _all(message, _UPDATE))


def _item(message: bytes) -> tuple[str, Any]:
    """Name and value of one entry; names of nested ones are joined by dots, as W&B shows them."""
    fields = list(_fields(message))
    name = ".".join(v.decode() for n, v in fields if n in (_KEY, _NESTED))
    for number, value in fields:
        if number == _JSON:
            return name, json.loads(value)
        if number == _INTEGER:
            return name, (value >> 1) ^ -(value & 1)
        if number == _DOUBLE:
            return name, struct.unpack("<d", value)[0]
        if number == _BOOLEAN:
            return name, bool(value)
    return name, None


def _all(message: bytes, wanted: int) -> list[bytes]:
    return [value for number, value in _fields(message) if number == wanted]


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value of each field: a whole number, or bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        if kind == 2:
            length, at = _varint(message, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of kind {kind}")
        if at + length > len(message):
            raise ValueError("a field that is longer than its message")
        yield tag >> 3, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError("a number without an end")
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _records(file: Path) -> Iterator[bytes]:
    """The records of a log; one that a killed run left without its end is skipped."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    if not content.startswith(_MARK):
        raise InputError(f"{file}: is no offline run of Weights & Biases")
    at, pieces = _HEAD, b""
    while at + _HEAD <= len(content):
        room = _BLOCK - at % _BLOCK
        if room < _HEAD:
            at += room
            continue
        length, kind = struct.unpack_from("<HB", content, at + 4)
        piece = content[at + _HEAD : at + _HEAD + length]
        if len(piece) < length:
            break
        if kind not in (_WHOLE, _FIRST, _MIDDLE, _LAST) or length + _HEAD > room:
            raise InputError(
                f"{file}: is damaged at byte {at}; copy it again, or leave the run out"
            )
        at += _HEAD + length
        pieces = piece if kind in (_WHOLE, _FIRST) else pieces + piece
        if kind in (_WHOLE, _LAST):
            yield _checked(file, pieces, at)
    if at < len(content):
        logger.warning("%s: ends within a record, as a killed run leaves it", file)


def _checked(file: Path, record: bytes, at: int) -> bytes:
    try:
        for number, value in _fields(record):
            if number == _HISTORY:
                _history(value)
    except (ValueError, UnicodeDecodeError, TypeError, AttributeError) as error:
        raise InputError(f"{file}: the record before byte {at} is damaged ({error})") from error
    return record
