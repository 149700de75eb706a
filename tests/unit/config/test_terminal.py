"""What is let through of what Snakemake says."""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable
from enum import Enum

import pytest

from training_maps.config.terminal import Terse, quieten

Event = Enum("Event", ["RUN_INFO", "JOB_FINISHED", "PROGRESS", "JOB_ERROR"])


def record(text: str, level: int = logging.INFO, event: Event | None = None) -> logging.LogRecord:
    made = logging.LogRecord("snakemake", level, "", 0, text, (), None)
    made.event = event
    return made


def test_chatter_is_left_out_and_news_are_not() -> None:
    terse = Terse()
    assert not terse.filter(record("Select jobs to execute..."))
    assert not terse.filter(record("Finished jobid: 3", event=Event.JOB_FINISHED))
    assert not terse.filter(record("Some jobs were triggered by provenance information, see ..."))
    assert terse.filter(record("3 of 4 steps (75%) done", event=Event.PROGRESS))
    assert terse.filter(record("Error in rule x", event=Event.JOB_ERROR))
    assert terse.filter(record("Select jobs to execute...", level=logging.ERROR))


def test_the_table_of_jobs_is_told_once() -> None:
    terse = Terse()
    table = record("Job stats: ...", event=Event.RUN_INFO)
    assert [terse.filter(table) for _ in range(3)] == [True, False, False]


def test_a_run_with_nothing_to_do_ends_with_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    at_end: list[Callable[[], None]] = []
    monkeypatch.setattr(atexit, "register", at_end.append)

    def show() -> None:
        """Print what was found."""

    terse = Terse(show)
    assert terse.filter(record("Building DAG of jobs..."))
    assert at_end == []
    for _ in range(2):
        assert terse.filter(record("Nothing to be done (all requested files are present)."))
    assert at_end == [show]


def test_only_the_terminal_is_quietened() -> None:
    logger = logging.getLogger("snakemake.logging")
    before = list(logger.handlers)
    terminal, other = logging.NullHandler(), logging.NullHandler()
    terminal.name, other.name = "DefaultStreamHandler", "DefaultLogFileHandler"
    logger.handlers[:] = [terminal, other]
    try:
        quieten(lambda: None)
        assert [type(one) for one in terminal.filters] == [Terse]
        assert other.filters == []
    finally:
        logger.handlers[:] = before
