"""The one exception that users meet.

Everything that can be wrong with what a user gave (a config, a checkpoint, a table) is an
`InputError`, whose message names the file, seed, step or key at fault and what was expected. The
command line prints that message alone; a traceback means a bug of ours.
"""

from __future__ import annotations

from typing import Any

_LONGEST_SHOWN = 100


class InputError(ValueError):
    """What the user gave cannot be used; the message says what, where and what to do."""


def shown(value: Any) -> str:
    """A value as messages show it: as Python writes it, but no more than a reader can take."""
    try:
        text = repr(value)
    except ValueError:  # a number of thousands of digits
        return "a huge number"
    if len(text) <= _LONGEST_SHOWN:
        return text
    return f"{text[: _LONGEST_SHOWN - 20]}...{text[-15:]}"


class UnreadableCheckpoint(InputError):
    """A checkpoint is missing, truncated, corrupt or changed; the run's others may be whole."""
