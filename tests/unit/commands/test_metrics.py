"""`training-maps metrics`: the table of a run, and what of a diverged one."""

import hashlib
import subprocess
import sys

import pandas as pd
import pytest

from tests.support.small_runs import STEPS, diverge, network, write_run
from training_maps.cli import main
from training_maps.metrics.compute import run_metrics
from training_maps.utils.files import table_metadata


@pytest.fixture
def manifest(tmp_path):
    return write_run(tmp_path, {step: network(step) for step in STEPS})


def test_the_command(manifest, tmp_path, capsys):
    output = tmp_path / "metrics.parquet"
    arguments = [
        "metrics",
        "--checkpoints",
        str(manifest),
        "--threads",
        "2",
        "--output",
        str(output),
    ]
    assert main(arguments) == 0
    pd.testing.assert_frame_equal(pd.read_parquet(output), run_metrics(manifest), check_exact=True)
    assert table_metadata(output)["seed"] == 3
    assert table_metadata(output)["non_finite"] is None
    assert "metrics of seed 3: 5 checkpoints in " in capsys.readouterr().err
    first = hashlib.sha256(output.read_bytes()).hexdigest()
    assert main(arguments) == 0
    assert hashlib.sha256(output.read_bytes()).hexdigest() == first


def test_the_command_does_without_pandas(manifest, tmp_path):
    # One job a run: importing pandas would take longer than the metrics of most runs.
    code = (
        "import sys; from training_maps.cli import main; assert not main(sys.argv[1:]); "
        "print(sorted({'pandas', 'scipy', 'torch'} & set(sys.modules)))"
    )
    options = ["metrics", "--checkpoints", manifest, "--output", tmp_path / "metrics.parquet"]
    run = subprocess.run([sys.executable, "-c", code, *options], capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stderr


def test_the_command_on_a_diverged_run(manifest, tmp_path, capsys):
    diverge(manifest, 100)
    output = tmp_path / "metrics.parquet"
    arguments = ["metrics", "--checkpoints", str(manifest), "--output", str(output)]
    assert main(arguments) == 1
    assert not output.exists()
    message = capsys.readouterr().err
    assert "seed 3, step 100" in message
    assert "'output.weight' holds NaN" in message
    assert "Traceback" not in message
    assert main([*arguments, "--non-finite", "cut"]) == 0
    assert table_metadata(output)["non_finite"] == {"step": 100, "tensor": "output.weight"}
    table = pd.read_parquet(output)
    assert table["step"].tolist() == [0, 5, 10]
    assert table.notna().all(axis=None)
    assert "is not finite at step 100; the table ends before it" in capsys.readouterr().err
