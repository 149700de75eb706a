"""Linear algebra on one thread: within the context, and not after it."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from training_maps.utils.threads import one_thread

pytestmark = pytest.mark.skipif(not threadpool_info(), reason="NumPy has no thread pool here")


def threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_one_thread_within_and_as_many_as_before_after_it():
    np.eye(2) @ np.eye(2)
    with threadpool_limits(2):
        with one_thread():
            assert threads() == {1}
            with one_thread():
                assert threads() == {1}
            assert threads() == {1}
        assert threads() == {2}
