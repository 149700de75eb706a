"""`training-maps describe-model`: the side file of a network's modules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training_maps.cli import main

SOURCE = """
from torch import nn

def make():
    return nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 2))

def nothing():
    return 3
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my_models_here.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("stage", ["describe-model", "describe_model"])
def test_the_file_is_written(stage: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([stage, "my_models_here:make", "--output", "runs"]) == 0
    tensors = json.loads((project / "runs" / "modules.json").read_text())["tensors"]
    assert {name: one["kind"] for name, one in tensors.items()} == {
        "0.weight": "left out", "1.weight": "weight", "1.bias": "bias",
    }  # fmt: skip
    assert "1 bias, 1 left out, 1 weight; 0 are of no module" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("my_models_here", "expected MODULE:FUNCTION"),
        ("my_models_here:none", "cannot be imported"),
        ("no_such_module_here:make", "cannot be imported"),
        ("my_models_here:nothing", "gives a int, no torch network"),
    ],
)
def test_what_makes_no_network_is_named(
    model: str, message: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["describe_model", model, "--output", "runs"]) == 1
    assert message in capsys.readouterr().err
