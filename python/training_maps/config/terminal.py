"""What Snakemake says on the terminal, less what nobody reads; its log file keeps all of it."""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable

#: Texts of Snakemake (9) that repeat each other, or advise what would do harm here.
_CHATTER = (
    "Select jobs to execute",
    "Rules claiming more threads",
    "Using shell:",
    "Assuming unrestricted shared filesystem",
    "Group jobs: inactive",
    # The advice to wipe metadata would leave results that other settings made.
    "Some jobs were triggered by provenance information",
)
# By their events: what a line of our own, or the count of steps that follows, says as well.
_EVENTS = ("JOB_STARTED", "JOB_FINISHED", "RESOURCES_INFO")
_NOTHING = "Nothing to be done"


class Terse(logging.Filter):
    """Lets through what Snakemake's user wants to know, and the table of jobs once."""

    def __init__(self, when_nothing: Callable[[], None] | None = None) -> None:
        """`when_nothing` is called at the end of a run that had nothing to do."""
        super().__init__()
        self._when_nothing = when_nothing
        self._has_table = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is for the terminal."""
        text = str(record.msg)
        event = str(getattr(getattr(record, "event", None), "name", ""))
        if record.levelno >= logging.WARNING:
            return True
        if text.startswith(_NOTHING) and self._when_nothing is not None:
            atexit.register(self._when_nothing)
            self._when_nothing = None
        if event == "RUN_INFO":
            again, self._has_table = self._has_table, True
            return not again
        return event not in _EVENTS and not text.startswith(_CHATTER)


def quieten(when_nothing: Callable[[], None]) -> None:
    """Quieten the terminal of the Snakemake that runs; loggers of plugins are left as they are."""
    for handler in logging.getLogger("snakemake.logging").handlers:
        if handler.name == "DefaultStreamHandler":
            handler.addFilter(Terse(when_nothing))
