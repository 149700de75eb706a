"""The side file `modules.json`: what each tensor is, by the type of its module."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from training_maps.metrics.compute import run_metrics
from training_maps.metrics.module_types import describe_model, modules_beside, read_modules
from training_maps.metrics.parameters import decide
from training_maps.runs.formats import describe
from training_maps.utils.errors import InputError


class Odd(nn.Module):
    """Layers whose names mislead, a parameter of its own, and buffers that are kept or not."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Linear(6, 4, bias=False)
        self.fc = nn.Embedding(30, 6)
        self.norm = nn.Conv1d(4, 4, 3)
        self.layer = nn.LayerNorm(4)
        self.wn = parametrizations.weight_norm(nn.Linear(4, 4))
        self.own = nn.Parameter(torch.zeros(3, 3))
        self.register_buffer("average", torch.zeros(4, 4))
        self.register_buffer("scratch", torch.zeros(4, 4), persistent=False)


KINDS = {
    "embedding.weight": "weight", "fc.weight": "left out", "norm.weight": "weight",
    "norm.bias": "bias", "layer.weight": "left out", "layer.bias": "left out",
    "average": "left out", "wn.weight": "weight", "wn.bias": "bias",
}  # fmt: skip


def test_types_go_before_names(tmp_path: Path) -> None:
    model = Odd()
    runs = tmp_path / "runs" / "seed0"
    runs.mkdir(parents=True)
    torch.save(model.state_dict(), runs / "step-0.pt")
    assert describe_model(model, tmp_path / "runs") == KINDS
    modules = modules_beside(runs / "step-0.pt")
    decided = {d.tensor.name: d for d in decide(describe(runs / "step-0.pt"), "x").decisions}
    assert decided["embedding.weight"].kind == "left out"  # by its name
    sure = decide(describe(runs / "step-0.pt"), "x", modules=modules)
    assert {d.tensor.name: d.kind for d in sure.decisions} == {**KINDS, "own": "weight"}
    assert {d.tensor.name for d in sure.decisions if d.assumed} == {"own"}
    matrices = {m.tensor: (m.n_blocks, m.rows, m.cols) for m in sure.matrices}
    assert matrices["norm.weight"] == (1, 4, 12)


def test_metrics_are_of_what_the_file_says(tmp_path: Path) -> None:
    from training_maps.runs.checkpoints import Checkpoint, Run, write_manifest

    torch.save(Odd().state_dict(), tmp_path / "a.pt")
    write_manifest(Run(0, (Checkpoint(0, None, tmp_path / "a.pt"),)), tmp_path / "checkpoints.json")
    before = run_metrics(tmp_path / "checkpoints.json")["l2"][0]
    describe_model(Odd(), tmp_path)
    assert run_metrics(tmp_path / "checkpoints.json")["l2"][0] != before


def test_a_network_on_no_device_will_do_and_another_shape_is_not_believed(tmp_path: Path) -> None:
    with torch.device("meta"):
        describe_model(nn.Sequential(nn.Embedding(9, 4)), tmp_path / "modules.json")
    modules = modules_beside(tmp_path)
    (same,) = decide([("0.weight", "F32", (9, 4))], "x", modules=modules).decisions
    assert (same.kind, same.reason) == ("left out", "modules.json: Embedding")
    (other,) = decide([("0.weight", "F32", (8, 4))], "x", modules=modules).decisions
    assert other.kind == "weight"


def test_a_language_models_head_is_an_output(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=20, n_embd=8, n_layer=1, n_head=2, n_positions=4, tie_word_embeddings=False
    )
    kinds = describe_model(transformers.GPT2LMHeadModel(config), tmp_path)
    assert kinds["lm_head.weight"] == "left out"
    assert kinds["transformer.h.0.attn.c_attn.weight"] == "weight"


def test_without_a_file_there_is_nothing(tmp_path: Path) -> None:
    assert modules_beside(tmp_path / "a" / "b.pt") == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "does not say what tensors are"),
        ({"tensors": {"a": {"kind": "weight"}}}, "does not say what tensors are"),
        ({"tensors": {"a": {"kind": "x", "module": "m", "shape": [1]}}}, "'a' is no weight, bias"),
    ],
)
def test_a_broken_file_is_named(content: object, message: str, tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        read_modules(tmp_path / "modules.json")
