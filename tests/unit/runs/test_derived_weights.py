"""Weights that a checkpoint keeps as parts: they are what the layer computes with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.nn.utils import spectral_norm as old_spectral_norm
from torch.nn.utils import weight_norm as old_weight_norm

from training_maps.metrics.compute import checkpoint_metrics
from training_maps.metrics.compute import run_metrics as metrics_of
from training_maps.metrics.parameters import decide
from training_maps.runs.checkpoints import Checkpoint, Run, write_manifest
from training_maps.runs.derived_weights import (
    as_doubles,
    find_derived,
    make,
    read_safetensors,
    with_derived,
)
from training_maps.runs.formats import CheckpointReader, describe
from training_maps.utils.errors import InputError

LAYERS = {
    "weight_norm": lambda: parametrizations.weight_norm(nn.Linear(8, 4)),
    "weight_norm of columns": lambda: parametrizations.weight_norm(nn.Linear(8, 4), dim=1),
    "weight_norm of all": lambda: parametrizations.weight_norm(nn.Linear(8, 4), dim=None),
    "weight_norm of a convolution": lambda: parametrizations.weight_norm(nn.Conv1d(3, 4, 5)),
    "weight_norm of a transposed convolution": lambda: parametrizations.weight_norm(
        nn.ConvTranspose1d(3, 4, 5)
    ),
    "weight_norm of a recurrent layer": lambda: parametrizations.weight_norm(
        nn.LSTM(3, 4), "weight_hh_l0"
    ),
    "old weight_norm": lambda: old_weight_norm(nn.Linear(8, 4)),
    "old weight_norm of all": lambda: old_weight_norm(nn.Linear(8, 4), dim=None),
    "spectral_norm": lambda: parametrizations.spectral_norm(nn.Linear(8, 4)),
    "spectral_norm of a convolution": lambda: parametrizations.spectral_norm(nn.Conv2d(3, 4, 2)),
    "old spectral_norm": lambda: old_spectral_norm(nn.Linear(8, 4)),
    "pruned": lambda: prune.random_unstructured(nn.Linear(8, 4), "weight", 0.5),
}  # fmt: skip


def layer_and_weight(kind: str) -> tuple[nn.Module, str, np.ndarray]:
    torch.manual_seed(0)
    layer = LAYERS[kind]().double().eval()
    name = "weight_hh_l0" if isinstance(layer, nn.LSTM) else "weight"
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        if ("old" in kind or kind == "pruned") and not isinstance(layer, nn.LSTM):
            shape = (2, 8) if isinstance(layer, nn.Linear) else (2, 3, 9)
            layer(torch.randn(*shape).double())  # its hook makes the weight
    return layer, name, getattr(layer, name).detach().numpy()


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
@pytest.mark.parametrize("kind", LAYERS)
def test_the_weight_is_what_the_layer_computes_with(kind: str, ending: str, tmp_path: Path) -> None:
    layer, name, weight = layer_and_weight(kind)
    state = {k: v.contiguous() for k, v in nn.Sequential(layer).state_dict().items()}
    path = tmp_path / f"step-0{ending}"
    if ending == ".pt":
        torch.save(state, path)
    else:
        save_file(state, path)
    opened = CheckpointReader().open(path)
    (made,) = opened.derived
    assert made.name == f"0.{name}"
    _, found = opened.source([made.name])
    assert isinstance(found, dict)
    dtype, values = found[made.name]
    assert dtype == "F64"
    np.testing.assert_allclose(values, weight, rtol=1e-12)
    # Of its parts nothing counts.
    names = {d.tensor.name for d in decide(opened.description).decisions if d.kind != "left out"}
    others = {"weight_ih_l0", "bias_ih_l0", "bias_hh_l0"} if name != "weight" else {"bias"}
    assert names == {f"0.{other}" for other in {name, *others}}


@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
def test_metrics_do_not_change_with_the_length_of_a_direction(ending: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer = parametrizations.weight_norm(nn.Linear(8, 4))
    rows = []
    for scale in (1.0, 10.0):
        with torch.no_grad():
            layer.parametrizations.weight.original1.mul_(scale)
        path = tmp_path / f"step-{scale:.0f}{ending}"
        state = nn.Sequential(layer).state_dict()
        if ending == ".pt":
            torch.save(state, path)
        else:
            save_file(state, path)
        manifest = tmp_path / f"{scale}.json"
        write_manifest(Run(0, (Checkpoint(0, None, path),)), manifest)
        rows.append(metrics_of(manifest).iloc[0])
    right = checkpoint_metrics(
        [layer.weight.detach().double().numpy()], [layer.bias.detach().numpy()]
    )
    for row in rows:
        assert row[list(right)].to_dict() == pytest.approx(right, rel=1e-6)


def test_a_parametrisation_that_is_not_known_is_said_to_be_assumed(tmp_path: Path) -> None:
    layer = parametrizations.orthogonal(nn.Linear(4, 4))
    torch.save(nn.Sequential(layer).state_dict(), tmp_path / "a.pt")
    decided = {d.tensor.name: d for d in decide(describe(tmp_path / "a.pt")).decisions}
    base = "0.parametrizations.weight"
    assert decided[f"{base}.original"].assumed
    assert decided[f"{base}.0.base"].kind == "left out"
    assert parametrize.is_parametrized(layer)


def test_what_only_looks_like_parts_stays() -> None:
    described = [
        ("W_v", "F32", (4, 4)), ("W_g", "F32", (4, 1)),  # values and gates
        ("a.weight_v", "F32", (4, 3)),  # no length beside it
        ("b.weight_v", "F32", (4, 3)), ("b.weight_g", "F32", (3, 3)),
        ("c.weight_orig", "F32", (4, 3)),
        ("d.parametrizations.weight.original", "F32", (4, 3)),
    ]  # fmt: skip
    assert find_derived(described) == []
    assert with_derived(described, []) == described


def test_half_precision_is_read_as_its_bits(tmp_path: Path) -> None:
    values = torch.tensor([1.5, -0.375, 3e-3])
    for dtype in (torch.float16, torch.bfloat16):
        save_file({"a": values.to(dtype)}, tmp_path / "a.safetensors")
        ((kind, bits),) = read_safetensors([tmp_path / "a.safetensors"], ["a"]).values()
        assert as_doubles(kind, bits, "x").tolist() == values.to(dtype).double().tolist()
    save_file({"a": values.to(torch.int32)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="'a' has dtype I32"):
        read_safetensors([tmp_path / "a.safetensors"], ["a"])
    with pytest.raises(InputError, match="'b' is missing"):
        read_safetensors([tmp_path / "a.safetensors"], ["b"])
    (weight,) = find_derived([("l.weight_v", "F32", (2, 2)), ("l.weight_g", "F32", (2, 1))])
    with pytest.raises(InputError, match="has a part of type I64"):
        make(weight, {part: ("I64", np.ones((2, 1))) for part in weight.parts}, "x")
