"""One function a kind of file: it reads made-up bytes as the workflow does, checks the property.

The property is always the same: what an independent reader confirms, or one `InputError` that
names the file. Anything else that is raised is a finding; so is more than two seconds or two
gigabytes, which the fuzzer itself watches.
"""

from __future__ import annotations

import csv
import io
import json
import struct
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from training_maps.config.resolve import check_file
from training_maps.config.schema import load_schema
from training_maps.runs import formats
from training_maps.runs.tables.event_files import read_events
from training_maps.runs.tables.sheets import read_sheet
from training_maps.utils.errors import InputError

_T = TypeVar("_T")
# One for all cases: to make it takes longer than most of them.
_FOLDER = tempfile.TemporaryDirectory()


def _read(read: Callable[[Path], _T], name: str, content: bytes) -> _T | None:
    """What `read` makes of a file of this content; None if it is refused, by its name."""
    path = Path(_FOLDER.name) / name
    path.write_bytes(content)
    try:
        return read(path)
    except InputError as error:
        told = str(error)
    assert str(path.parent) in told or path.name in told, told
    return None


def _sheet(name: str, content: bytes) -> int | None:
    """Rows of a table, which its columns agree on; None if it is refused."""
    sheet = _read(read_sheet, name, content)
    if sheet is None:
        return None
    for column in sheet.columns.values():
        assert len(column.values) == len(column.present) == sheet.n_rows
    return sheet.n_rows


def csv_table(content: bytes) -> None:
    """CSV: Python's own reader finds as many rows that are not empty.

    Neither minds a text that goes on behind its closing quote.
    """
    rows = _sheet("history.csv", content)
    if rows is not None:
        lines = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        assert rows == sum(bool(line) for line in lines) - 1


def json_lines(content: bytes) -> None:
    """JSON lines."""
    _sheet("log.jsonl", content)


def parquet(content: bytes) -> None:
    """Parquet: as many rows as its footer says."""
    rows = _sheet("table.parquet", content)
    if rows is not None:
        assert rows == pq.ParquetFile(pa.BufferReader(content)).metadata.num_rows


def events(content: bytes) -> None:
    """TensorBoard's event files."""
    _read(read_events, "events.out.tfevents.1", content)


def event_payloads(content: bytes) -> None:
    """Event files whose checksums are right, whatever is in them; an empty line ends a record."""
    events(b"".join(_record(payload) for payload in content.split(b"\n\n")))


def torch_file(content: bytes) -> None:
    """A torch checkpoint."""
    _read(formats.describe, "model.pt", content)


def shards(content: bytes) -> None:
    """An index of shards: none that it names lies elsewhere."""
    for shard in (
        _read(formats.read_index, "model.safetensors.index.json", content) or {}
    ).values():
        assert shard.is_relative_to(_FOLDER.name)
        assert ".." not in shard.parts


def experiment(content: bytes) -> None:
    """An experiment's YAML, against the schema."""
    _read(lambda path: check_file(path, _schema()), "mine.yaml", content)


@cache
def _schema() -> dict[str, Any]:
    return load_schema()


TARGETS: dict[str, Callable[[bytes], None]] = {
    "csv": csv_table,
    "json": json_lines,
    "parquet": parquet,
    "events": events,
    "event_payloads": event_payloads,
    "torch": torch_file,
    "shards": shards,
    "experiment": experiment,
}


def seeds() -> dict[str, list[bytes]]:
    """Small whole files of each kind, which the fuzzers begin with."""
    table = pa.table({"seed": [0, 0, 1], "step": [0, 10, 0], "l2": [1.5, float("nan"), 2e300]})
    payloads = _payloads([(0, "loss", 1.5), (10, "loss", 0.5)])
    parquet_bytes, torch_bytes = io.BytesIO(), io.BytesIO()
    pq.write_table(table, parquet_bytes)
    torch.save({"model": {"a.weight": torch.ones(2, 3)}, "step": 7}, torch_bytes)
    return {
        "csv": [
            b"seed,step,l2\n0,0,1.5\n0,10,\n1,0,nan\n",
            b'step;"a b"\n0;1e5\n',
            b"\xef\xbb\xbfa,b\n1,2",
        ],
        "json": [
            b'{"step": 0, "loss": 1.5}\n{"step": 10, "loss": null}\n',
            b'[{"step": 1, "x": {"y": 2}}]',
        ],
        "parquet": [parquet_bytes.getvalue()],
        "events": [b"".join(map(_record, payloads))],
        "event_payloads": [b"\n\n".join(payloads)],
        "torch": [torch_bytes.getvalue()],
        "shards": [
            json.dumps({"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}).encode()
        ],
        "experiment": [
            b"seeds: 0-9\ntraining: {task: sparse_parities, length: 100}\nhmm: {n_states: 2-4}\n"
        ],
    }


def _payloads(scalars: list[tuple[int, str, float]]) -> list[bytes]:
    """The records of an event file."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    records = [Event(file_version="brain.Event:2")]
    for step, tag, value in scalars:
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
        records.append(Event(step=step, summary=summary))
    return [record.SerializeToString() for record in records]


def _record(payload: bytes) -> bytes:
    """A record as it is on disk: its length and itself, each with a checksum."""
    length = struct.pack("<Q", len(payload))
    return length + _checksum(length) + payload + _checksum(payload)


def _checksum(content: bytes) -> bytes:
    """The masked CRC-32C of event files."""
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    return struct.pack("<I", masked_crc32c(content))
