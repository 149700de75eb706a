"""The one exception that users meet.

Everything that can be wrong with what a user gave (a config, a checkpoint, a table) is an
`InputError`, whose message names the file, seed, step or key at fault and what was expected. The
command line prints that message alone; a traceback means a bug of ours.
"""

from __future__ import annotations


class InputError(ValueError):
    """What the user gave cannot be used; the message says what, where and what to do."""


class UnreadableCheckpoint(InputError):
    """A checkpoint is missing, truncated, corrupt or changed; the run's others may be whole."""
