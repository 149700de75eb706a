"""What several test modules use."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest

# One thread a process: results do not depend on it, and the tests share few cores. Set before numpy
# and torch are imported, and passed on to the commands that tests start.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
# Training's threads wait without spinning, which on shared cores costs more than what they compute.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@pytest.fixture
def restore_logging() -> Iterator[None]:
    """Undo what the command line does to the package's logger."""
    yield
    logger = logging.getLogger("training_maps")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.propagate = True
