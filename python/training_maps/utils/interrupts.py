"""Ctrl-C that does not wait: for commands whose longest step nothing can break off.

One decomposition of a large matrix takes LAPACK many seconds, and so does torch to be left in an
orderly way. A command that leaves nothing half-written meanwhile can simply end.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def ends_soon_after_interrupt(seconds: float = 0.8) -> Iterator[None]:
    """In this context, Ctrl-C raises KeyboardInterrupt, and the process ends soon.

    If it has not ended by itself `seconds` later, the system ends it (SIGALRM), whatever it is
    doing and without any cleaning up, so that it must not write files. Meant for a command,
    not for a notebook; does nothing but in a process's main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
