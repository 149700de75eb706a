"""Progress of long work: how often a line is written, and what it says."""

import logging

import pytest

from training_maps.utils import progress
from training_maps.utils.progress import Count, Progress, duration


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, "training_maps")
    return lambda: [record.getMessage() for record in caplog.records]


def test_a_line_now_and_then_and_one_at_the_end(clock, lines):
    told = Progress(1000, "epoch", "seeds 0-7", interval=5)
    for second in range(1, 11):
        clock[0] = 100.0 + second
        told.update(100 * second)
    assert len(lines()) == 2  # after 5 seconds, and at the end
    middle, end = lines()
    assert middle == "seeds 0-7: epoch 500 of 1000, 100 epochs/s, 5.0 s left"
    assert end == "seeds 0-7: epoch 1000 of 1000, 100 epochs/s, 10 s in all"


def test_what_was_done_before_is_not_this_ones_speed(clock, lines):
    told = Progress(1000, "epoch", "it", done=500, interval=0)
    clock[0] = 110.0
    told.update(600, "loss 0.5")
    assert lines() == ["it: epoch 600 of 1000, loss 0.5, 10 epochs/s, 40 s left"]


def test_where_nothing_moves_nobody_knows_how_long(clock, lines):
    told = Progress(10, "file", "it", interval=0)
    told.update(0)
    clock[0] = 101.0
    told.update(0)
    assert [line.endswith("0 files/s, unknown time left") for line in lines()] == [True, True]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"), (0.44, "0.4 s"), (9.94, "9.9 s"), (10, "10 s"), (59.4, "59 s"),
        (59.6, "1 min 0 s"), (200, "3 min 20 s"), (3599.6, "1 h 0 min"), (7500, "2 h 5 min"),
        (float("inf"), "unknown time"),
    ],
)  # fmt: skip
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_pieces_are_counted_and_the_time_that_the_rest_takes(clock):
    count = Count(4, "fit")
    clock[0] = 110.0
    assert count.one_more() == "fit 1 of 4, 30 s left"
    clock[0] = 140.0
    assert count.one_more() == "fit 2 of 4, 40 s left"
    assert [count.one_more(), count.one_more()][1] == "fit 4 of 4"
