"""`training-maps summary`: what it wants."""

from __future__ import annotations

import pytest

from training_maps import cli

pytestmark = pytest.mark.usefixtures("restore_logging")


def test_summary_command_wants_something_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["summary"]) == 1
    assert "--show" in capsys.readouterr().err
