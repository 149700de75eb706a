"""What all tests of this folder share."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _no_handlers_left() -> Iterator[None]:
    """The command line leaves a handler that writes to the test's own standard error."""
    yield
    logging.getLogger("training_maps").handlers.clear()
