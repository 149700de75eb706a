"""Whether two folders of results say the same, file for file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from training_maps.utils.files import table_metadata

# What tells of the way there, not of the results: times, and which jobs there were.
_LEFT_OUT = ("logs", "benchmarks")
_WHEN = re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d UTC\b")


def result_files(results: Path) -> dict[str, Path]:
    """All files of a folder of results, by their names below it; hidden ones too."""
    files = {path.relative_to(results): path for path in results.rglob("*") if path.is_file()}
    return {
        name.as_posix(): path
        for name, path in sorted(files.items())
        if not set(_LEFT_OUT) & set(name.parts)
    }


def differences(found: Path, expected: Path) -> list[str]:
    """What of `found` is not as in `expected`, a line a file; empty if both say the same.

    Tables are compared value for value, with their metadata; arrays to the bit; all else as text or
    bytes. A file that only one of them has is a difference, whatever its name.
    """
    ours, theirs = result_files(found), result_files(expected)
    told = [f"{name}: is missing" for name in theirs if name not in ours]
    told += [f"{name}: should not be there" for name in ours if name not in theirs]
    told += [
        f"{name}: says something else"
        for name, path in ours.items()
        if name in theirs and not _same(path, theirs[name])
    ]
    return told


def _same(one: Path, other: Path) -> bool:
    if one.suffix == ".npz":  # its zip archive holds times
        return _arrays(one) == _arrays(other)
    if one.suffix == ".parquet":
        same = pd.read_parquet(one).equals(pd.read_parquet(other))
        return same and table_metadata(one) == table_metadata(other)
    if one.suffix == ".html":  # it says when the map was made
        return _WHEN.sub("", one.read_text()) == _WHEN.sub("", other.read_text())
    if one.suffix == ".json":
        return bool(json.loads(one.read_text()) == json.loads(other.read_text()))
    if one.suffix == ".jsonl":
        lines = [path.read_text().splitlines() for path in (one, other)]
        return list(map(json.loads, lines[0])) == list(map(json.loads, lines[1]))
    return one.read_bytes() == other.read_bytes()


def _arrays(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as archive:
        return {
            name: (archive[name].dtype.str, archive[name].shape, archive[name].tobytes())
            for name in archive.files
        }
