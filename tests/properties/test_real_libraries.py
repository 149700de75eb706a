"""Six tiny runs of each real library that is installed, brought in in at most 8 lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real_libraries import LIBRARIES

MODULES = {
    "lightning": "pytorch_lightning", "trainer": "transformers", "sb3": "stable_baselines3",
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # what the libraries warn of is their business
@pytest.mark.parametrize("library", LIBRARIES)
def test_what_is_read_is_what_the_library_says(library: str, tmp_path: Path) -> None:
    pytest.importorskip(
        MODULES.get(library, library), reason="not installed: python -m tests.real_libraries"
    )
    LIBRARIES[library](tmp_path)
