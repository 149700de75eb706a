"""Logs that are one JSON document: a list of rows, what holds one, or a list for each quantity.

[{"step": 0, "loss": 2.3}, ...]                     rows
{"log_history": [{"step": 4, "loss": 0.7}, ...]}    transformers' trainer_state.json
{"loss": [2.3, 1.9, ...], "val_loss": [...]}        Keras' history.history: an entry an epoch
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training_maps.utils.errors import InputError

_HISTORY = "log_history"
# What Trainer adds at the end: means over all of training, under names that a step's values have.
_SUMMARY = "train_runtime"
_MEAN = "train_loss"


def rows_of(document: Any, path: Path) -> tuple[list[Mapping[str, Any]], str, str | None] | None:
    """The rows of a document, what one of them is called, and the column of steps if it says so.

    Returns:
        None if it is an object of numbers and texts: one line of JSON lines.

    Raises:
        InputError: if it is anything else without rows.
    """
    if isinstance(document, list):
        return _checked(document, path, "its list"), "entry", None
    if not isinstance(document, Mapping):
        raise InputError(f"{path}: holds {type(document).__name__}; expected rows, or an object")
    lists = {name: value for name, value in document.items() if _is_rows(value)}
    if _HISTORY in lists:
        rows = [_without_means(row) for row in _checked(lists[_HISTORY], path, _HISTORY)]
        return rows, f"{_HISTORY}, entry", None
    if len(lists) == 1:
        ((name, value),) = lists.items()
        return _checked(value, path, name), f"{name}, entry", None
    if lists:
        raise InputError(
            f"{path}: holds rows under {', '.join(lists)}; write the one to use to its own file"
        )
    history = {name: value for name, value in document.items() if isinstance(value, list)}
    if not history:
        return None
    return _of_epochs(history, path), "epoch", None if "step" in history else "step"


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, Mapping) for v in value)


def _checked(rows: Sequence[Any], path: Path, what: str) -> list[Mapping[str, Any]]:
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            raise InputError(
                f"{path}: entry {number} of {what} is no object; expected rows such as "
                '{"step": 0, "loss": 2.3}'
            )
    return list(rows)


def _without_means(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row of `log_history`; the mean loss of the whole training is no loss of its last step."""
    return {name: v for name, v in row.items() if not (name == _MEAN and _SUMMARY in row)}


def _of_epochs(history: Mapping[str, Sequence[Any]], path: Path) -> list[Mapping[str, Any]]:
    """Rows of lists by name, each with an entry an epoch; the step counts epochs that are done."""
    lengths = {name: len(values) for name, values in history.items()}
    if len(set(lengths.values())) > 1:
        shortest, longest = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.get)  # type: ignore[arg-type]
        raise InputError(
            f"{path}: '{shortest}' has {lengths[shortest]} entries and '{longest}' has "
            f"{lengths[longest]}; expected one an epoch of each"
        )
    return [
        {"step": number, **dict(zip(history, values, strict=True))}
        for number, values in enumerate(zip(*history.values(), strict=True), start=1)
    ]
