"""The command line: one message for what the user got wrong, and quick to start."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from safetensors.numpy import save_file

from training_maps import cli

pytestmark = pytest.mark.usefixtures("restore_logging")
ANALYSIS_STAGES = sorted(set(cli.STAGES) - {"train"})


def test_an_unknown_stage_is_refused(capsys):
    assert cli.main(["trian"]) == 2
    assert "there is no trian; did you mean train?" in capsys.readouterr().err
    assert cli.main(["reprot"]) == 2
    assert "did you mean report?" in capsys.readouterr().err
    assert cli.main(["xyzzy"]) == 2
    assert "did you mean" not in capsys.readouterr().err


def test_help_tells_what_people_use_from_what_the_workflow_calls(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    assert stop.value.code == 0
    told = capsys.readouterr().out
    people, stages = told.split("stages, which the workflow calls:")
    for name, where, elsewhere in (
        ("open", people, stages),
        ("inspect", people, stages),
        ("hmm", stages, people),
        ("train", stages, people),
    ):
        assert f"\n  {name} " in where
        assert f"\n  {name} " not in elsewhere
    assert all(f"\n  {name} " in told for name in cli.STAGES)


def test_bad_input_is_one_line_on_the_terminal_and_in_the_log(tmp_path, capsys):
    log = tmp_path / "logs" / "metrics.log"
    missing = tmp_path / "checkpoints.json"
    status = cli.main(
        ["metrics", "--checkpoints", str(missing), "--output", str(tmp_path / "m.parquet"),
         "--log", str(log)]
    )  # fmt: skip
    told = capsys.readouterr().err.strip()
    assert status == 1
    assert str(missing) in told
    assert "\n" not in told
    assert told in log.read_text()


def test_a_bug_leaves_its_traceback_in_the_log(tmp_path, capsys, monkeypatch):
    import training_maps.commands.metrics as command

    monkeypatch.setattr(command, "run", lambda options: 1 / 0)
    log = tmp_path / "log"
    arguments = ["metrics", "--checkpoints", "x", "--output", "y", "--log", str(log)]
    assert cli.main(arguments) == 1
    assert "ZeroDivisionError" in log.read_text()
    assert "bug" in capsys.readouterr().err


def test_analysis_stages_do_not_import_torch():
    code = textwrap.dedent(
        """
        import importlib, sys
        for stage in sys.argv[1:]:
            importlib.import_module(f"training_maps.commands.{stage}")
        import training_maps.config.resolve
        import training_maps
        for name in training_maps.__all__:
            getattr(training_maps, name)
        assert "torch" not in sys.modules, "torch was imported"
        assert "snakemake" not in sys.modules, "snakemake was imported"
        """
    )
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *ANALYSIS_STAGES],
        check=True,
        env={**os.environ},
    )


def test_it_ends_quietly_where_nobody_reads_on(tmp_path):
    tensors = {f"layer{i}.weight": np.ones((4, 4), np.float32) for i in range(3000)}
    save_file(tensors, tmp_path / "wide.safetensors")
    command = (sys.executable, "-m", "training_maps.cli", "inspect", "wide.safetensors")
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141
