"""Weights & Biases' offline runs, written here as the library (0.31) writes them."""

from __future__ import annotations

import json
import logging
import struct
from pathlib import Path
from typing import Any

import pytest

from training_maps.runs.tables import input_files, read_metrics
from training_maps.runs.tables.wandb_offline import read_offline
from training_maps.utils.errors import InputError


def varint(value: int) -> bytes:
    found = b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])


def field(number: int, value: int | bytes | float) -> bytes:
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    return varint(number << 3) + varint(value)


def item(name: str, value: Any, typed: bool = False) -> bytes:
    key = field(1, name.encode())
    if typed and isinstance(value, float):
        return key + field(6, value)
    if typed:
        return key + field(5, value << 1)
    return key + field(16, json.dumps(value).encode())


def history(number: int, row: dict[str, Any], typed: bool = False) -> bytes:
    items = b"".join(field(1, item(name, value, typed)) for name, value in row.items())
    return field(1, number) + field(2, items + field(2, field(1, row["_step"])))


def run_record(config: dict[str, Any]) -> bytes:
    updates = b"".join(field(1, item(name, value)) for name, value in config.items())
    return field(1, 1) + field(17, field(1, b"id") + field(4, updates))


def log(records: list[bytes]) -> bytes:
    """The records in blocks of 32 KiB, in pieces where one does not fit."""
    content = b":W&B" + b"&B\0"
    for record in records:
        first = True
        while first or record:
            room = 32768 - len(content) % 32768
            if room < 7:
                content += b"\0" * room
                continue
            piece, record = record[: room - 7], record[room - 7 :]
            kind = (1 if not record else 2) if first else (4 if not record else 3)
            content += b"\0" * 4 + struct.pack("<HB", len(piece), kind) + piece
            first = False
    return content


def write(folder: Path, seed: int, records: list[bytes]) -> Path:
    path = folder / f"offline-run-20240101_00000{seed}-id{seed}" / f"run-id{seed}.wandb"
    path.parent.mkdir(parents=True)
    path.write_bytes(log(records))
    return path


def run(folder: Path, seed: int, n: int = 3, typed: bool = False) -> Path:
    rows = [{"loss": seed + k / 2, "_step": k, "_timestamp": 1.5e9, "note": "x" * 5000}
            for k in range(n)]  # fmt: skip
    if typed:
        rows = [{name: value for name, value in row.items() if name != "note"} for row in rows]
    config = run_record({"_wandb": {}, "seed": seed, "lr": 0.1})
    return write(folder, seed, [config, *(history(k + 2, r, typed) for k, r in enumerate(rows))])


def test_all_runs_of_a_folder(tmp_path: Path) -> None:
    for seed in (1, 4):
        run(tmp_path / "wandb", seed, 30)  # several blocks
    tables = dict(read_metrics(str(tmp_path / "wandb"), [1, 4]))
    for seed in (1, 4):
        assert tables[seed].to_dict("list") == {
            "step": list(range(30)), "loss": [seed + k / 2 for k in range(30)],
        }  # fmt: skip
    assert len(input_files(str(tmp_path / "wandb"), [1])) == 2


def test_one_run_by_its_file_or_folder(tmp_path: Path) -> None:
    path = run(tmp_path, 3, typed=True)
    for pattern in (path.parent, path):
        name = str(pattern).replace("id3", "id{seed}").replace("000003", "00000*")
        ((_, table),) = read_metrics(name, [3])
        assert table["loss"].tolist() == [3, 3.5, 4]


def test_a_run_that_was_killed_ends_before_that(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = run(tmp_path, 0)
    path.write_bytes(path.read_bytes()[:-20])
    with caplog.at_level(logging.WARNING):
        assert read_offline(path).n_rows == 2
    assert "ends within a record, as a killed run leaves it" in caplog.text


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    first = run(tmp_path / "a", 0)
    second = tmp_path / "a" / "offline-run-20240101_000009-other" / "run-other.wandb"
    second.parent.mkdir()
    second.write_bytes(first.read_bytes())
    with pytest.raises(InputError, match=r"seed 0 has run-\w+.wandb and run-\w+.wandb"):
        read_offline(tmp_path / "a")
    empty = write(tmp_path / "b", 0, [run_record({"seed": 0})])
    with pytest.raises(InputError, match="have logged nothing"):
        read_offline(empty)
    empty.write_bytes(b"a text")
    with pytest.raises(InputError, match="is no offline run"):
        read_offline(empty)
    broken = bytearray(first.read_bytes())
    broken[13] = 9
    empty.write_bytes(broken)
    with pytest.raises(InputError, match="is damaged at byte 7"):
        read_offline(empty)
    damaged = log([b"\xff" * 12])
    empty.write_bytes(damaged)
    with pytest.raises(InputError, match=r"the record before byte \d+ is damaged"):
        read_offline(empty)
