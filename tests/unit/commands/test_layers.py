"""`training-maps layers`: tables of checkpoints' layers, on the screen or in a file."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.support.small_runs import STEPS, network, write_run
from training_maps.cli import main
from training_maps.metrics.compute import layer_metrics
from training_maps.metrics.weightwatcher_table import weightwatcher_table
from training_maps.utils.files import read_table


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "a", {step: network(step) for step in STEPS}).parent


def test_a_run_is_printed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["layers", str(run)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:6] == ["step", "tensor", "block", "kind", "rows", "cols"]
    assert lines[1].split()[:6] == ["0", "hidden.weight", "0", "mlp", "30", "20"]
    assert len(lines) == 1 + 2 * len(STEPS)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_weightwatchers_table_is_written(run: Path, suffix: str) -> None:
    output = run / f"table.{suffix}"
    files = sorted((run / "checkpoints").iterdir())[:2]
    arguments = ["--weightwatcher", "--left-out", "output.*", "--output", str(output)]
    assert main(["layers", *map(str, files), *arguments]) == 0
    table = read_table(output)
    assert table["checkpoint"].tolist() == [str(file) for file in files]
    assert table["step"].tolist() == [0, 5]
    expected = weightwatcher_table(files[1]).query("longname == 'hidden'")
    assert table["alpha"].iloc[1] == expected["alpha"].iloc[0]


def test_another_suffix_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["layers", str(run), "--output", "table.txt"]) == 1
    assert "expected a name in .csv or .parquet" in capsys.readouterr().err


def test_metrics_are_those_of_python(run: Path) -> None:
    assert main(["layers", str(run), "--output", str(run / "t.parquet")]) == 0
    pd.testing.assert_frame_equal(read_table(run / "t.parquet"), layer_metrics(run))
