"""Progress of long work: a line now and then, with rate and time left, fit for a log file."""

from __future__ import annotations

import logging
import time


class Progress:
    """Logs how far work is, at most every `interval` seconds, and at the end."""

    def __init__(
        self, total: float, unit: str, what: str, done: float = 0, interval: float = 5.0
    ) -> None:
        """Start the clock on `total` units (say 1000 "epoch") of `what`, `done` of them before."""
        self.total, self.unit, self.what, self.interval = total, unit, what, interval
        self._done_before = done
        self.start = self._last = time.monotonic()
        self._logger = logging.getLogger("training_maps")

    def update(self, done: float, detail: str = "") -> None:
        """Say that `done` of the total are done; `detail` is appended to the line."""
        now = time.monotonic()
        finished = done >= self.total
        if not finished and now - self._last < self.interval:
            return
        self._last = now
        elapsed = now - self.start
        rate = (done - self._done_before) / elapsed if elapsed > 0 else 0.0
        left = (self.total - done) / rate if rate > 0 else float("inf")
        timing = f"{duration(elapsed)} in all" if finished else f"{duration(left)} left"
        self._logger.info(
            "%s: %s %g of %g%s, %.3g %ss/s, %s",
            self.what,
            self.unit,
            done,
            self.total,
            f", {detail}" if detail else "",
            rate,
            self.unit,
            timing,
        )


class Count:
    """Counts pieces of work that each have a line of their own, and tells how many are left."""

    def __init__(self, total: int, what: str) -> None:
        """Start the clock on `total` pieces, each a `what`, such as "fit"."""
        self.total, self.what, self.done = total, what, 0
        self._start = time.monotonic()

    def one_more(self) -> str:
        """Count a piece that is done: "fit 3 of 25, 40 s left"; the last one has no time left."""
        self.done += 1
        told = f"{self.what} {self.done} of {self.total}"
        if self.done >= self.total:
            return told
        left = (time.monotonic() - self._start) / self.done * (self.total - self.done)
        return f"{told}, {duration(left)} left"


def duration(seconds: float) -> str:
    """A duration as people say it: 0.4 s, 48 s, 3 min 20 s, 2 h 5 min."""
    if seconds == float("inf"):
        return "unknown time"
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
