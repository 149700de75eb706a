"""Linear algebra on one thread."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


def one_thread() -> AbstractContextManager[Any]:
    """A context in which NumPy's linear algebra runs on one thread, for the same results always.

    More would not be faster: the matrices are narrow.
    """
    return _thread_pools().limit(limits=1)


@cache
def _thread_pools() -> ThreadpoolController:
    """The thread pools of this process; finding them takes many milliseconds."""
    return ThreadpoolController()
