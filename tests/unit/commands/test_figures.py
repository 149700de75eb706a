"""`training-maps figures`: every figure, at both widths, in every format."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.synthetic_results import write_results
from training_maps import cli
from training_maps.figures import (
    FIGURES,
)


def test_command_writes_every_figure_at_both_widths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_results(tmp_path / "x", n_runs=5, n_states=3)
    few = {name: FIGURES[name] for name in ("training_map", "convergence_times")}
    monkeypatch.setattr("training_maps.figures.catalogue.FIGURES", few)
    output = tmp_path / "figures"
    arguments = ["figures", "--results", str(tmp_path / "x"), "--output", str(output)]
    assert cli.main(arguments) == 0
    for width in ("column", "page"):
        written = {path.name for path in (output / width).iterdir()}
        assert written == {f"{name}.{suffix}" for name in few for suffix in ("svg", "pdf", "png")}
