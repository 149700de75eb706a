"""Adapters on their base: what acts on the network, as dense products in NumPy have it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from training_maps import cli
from training_maps.metrics.compute import checkpoint_metrics, run_metrics
from training_maps.runs.checkpoints import Checkpoint, Run, write_manifest
from training_maps.runs.formats import CheckpointReader
from training_maps.utils.errors import InputError

RNG = np.random.default_rng(0)
BASE = {
    "model.embed_tokens.weight": (30, 6), "model.layers.0.q_proj.weight": (8, 6),
    "model.layers.0.q_proj.bias": (8,), "model.layers.0.down_proj.weight": (6, 8),
    "model.norm.weight": (6,), "score.weight": (3, 6),
}  # fmt: skip
Q = "base_model.model.model.layers.0.q_proj"
ADAPTER = {f"{Q}.lora_A.weight": (2, 6), f"{Q}.lora_B.weight": (8, 2)}


def drawn(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    return {name: RNG.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def write(
    folder: Path,
    more: dict[str, tuple[int, ...]] | None = None,
    base: dict[str, tuple[int, ...]] | None = None,
    **config: Any,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """A base and an adapter in folders of their own, and what is in them."""
    for name in ("base", "adapter"):
        (folder / name).mkdir()
    tensors = drawn(BASE if base is None else base), drawn({**ADAPTER, **(more or {})})
    save_file(tensors[0], folder / "base" / "model.safetensors")
    save_file(tensors[1], folder / "adapter" / "adapter_model.safetensors")
    told = {"peft_type": "LORA", "r": 2, "lora_alpha": 8, **config}
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps(told))
    return tensors


def values(folder: Path, base: str | None = None) -> dict[str, np.ndarray]:
    """Every tensor of floats, as the extension is given it."""
    opened = CheckpointReader(base=base or str(folder / "base")).open(folder / "adapter")
    _, found = opened.source([name for name, *_ in opened.description])
    assert isinstance(found, dict)
    return {name: array.astype(float) for name, (_, array) in found.items()}


def product(adapter: dict[str, np.ndarray], scale: float = 4.0) -> np.ndarray:
    a, b = (adapter[f"{Q}.lora_{part}.weight"].astype(float) for part in "AB")
    return scale * b @ a


@pytest.mark.parametrize("prefix", ["", "model.", "wrapper."])
def test_the_network_is_base_plus_product_and_the_rest_of_the_base(
    prefix: str, tmp_path: Path
) -> None:
    """Also where the base was saved without the first part of its names, or with one more."""
    names = {name: name for name in BASE}
    if prefix == "model.":
        names = {name: name.removeprefix(prefix) for name in BASE}
    elif prefix:
        names = {name: prefix + name for name in BASE}
    base, adapter = write(tmp_path, base={names[name]: shape for name, shape in BASE.items()})
    found = values(tmp_path)
    assert set(found) == set(base)
    q = names["model.layers.0.q_proj.weight"]
    np.testing.assert_allclose(found[q], base[q] + product(adapter), rtol=1e-12)
    for name in set(base) - {q}:
        np.testing.assert_array_equal(found[name], base[name])


def test_what_the_adapter_keeps_whole_takes_the_place_of_the_bases(tmp_path: Path) -> None:
    more = {
        "base_model.model.score.weight": (3, 6),
        f"{Q}.base_layer.bias": (8,),
        "base_model.model.model.norm.modules_to_save.default.weight": (6,),
    }
    _, adapter = write(tmp_path, more)
    found = values(tmp_path)
    for name, own in zip(
        ("score.weight", "model.layers.0.q_proj.bias", "model.norm.weight"), more, strict=True
    ):
        np.testing.assert_array_equal(found[name], adapter[own])


def test_a_bias_of_the_factors_is_added_with_their_scale(tmp_path: Path) -> None:
    base, adapter = write(tmp_path, {f"{Q}.lora_B.bias": (8,)}, lora_bias=True)
    name = "model.layers.0.q_proj.bias"
    expected = base[name] + 4.0 * adapter[f"{Q}.lora_B.bias"].astype(float)
    np.testing.assert_allclose(values(tmp_path)[name], expected, rtol=1e-12)


@pytest.mark.parametrize("length", ["lora_magnitude_vector", "lora_magnitude_vector.weight"])
def test_dora_scales_each_row_to_its_length(length: str, tmp_path: Path) -> None:
    """Liu et al. 2024, as PEFT has it: a length an output."""
    base, adapter = write(tmp_path, {f"{Q}.{length}": (8,)}, use_dora=True)
    whole = base["model.layers.0.q_proj.weight"] + product(adapter)
    rows = [
        m * row / np.linalg.norm(row)
        for m, row in zip(adapter[f"{Q}.{length}"], whole, strict=True)
    ]
    found = values(tmp_path)["model.layers.0.q_proj.weight"]
    np.testing.assert_allclose(found, rows, rtol=1e-12)
    np.testing.assert_allclose(
        np.linalg.norm(found, axis=1), abs(adapter[f"{Q}.{length}"]), rtol=1e-6
    )


def test_dora_of_gpt2s_layers_has_its_outputs_last(tmp_path: Path) -> None:
    shapes = {**BASE, "model.layers.0.q_proj.weight": (6, 8)}
    more = {f"{Q}.lora_magnitude_vector": (8,)}
    base, adapter = write(tmp_path, more, shapes, use_dora=True, fan_in_fan_out=True)
    whole = base["model.layers.0.q_proj.weight"] + product(adapter).T
    expected = whole / np.linalg.norm(whole, axis=0) * adapter[f"{Q}.lora_magnitude_vector"]
    np.testing.assert_allclose(
        values(tmp_path)["model.layers.0.q_proj.weight"], expected, rtol=1e-12
    )


def test_auto_takes_the_base_that_the_config_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, base_model_name_or_path=str(tmp_path / "base"))
    whole = values(tmp_path)
    for named in (tmp_path / "base", "base", "../base"):
        config = {"lora_alpha": 8, "base_model_name_or_path": str(named)}
        (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config))
        found = values(tmp_path, "auto")
        assert {n: v.tolist() for n, v in found.items()} == {
            n: v.tolist() for n, v in whole.items()
        }
    # Without being asked, only DoRA takes it: else a path that is there by chance would tell.
    assert len(CheckpointReader().open(tmp_path / "adapter").description) == 1
    config["base_model_name_or_path"] = "gpt2"
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="names the base 'gpt2', which is no path on this disk"):
        CheckpointReader(base="auto").open(tmp_path / "adapter")


def test_dora_takes_what_is_named_and_is_refused_without(tmp_path: Path) -> None:
    write(
        tmp_path,
        {f"{Q}.lora_magnitude_vector": (8,)},
        base_model_name_or_path=str(tmp_path / "base"),
    )
    assert len(CheckpointReader().open(tmp_path / "adapter").description) == len(BASE)
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps({"lora_alpha": 8}))
    with pytest.raises(InputError, match="adapter of DoRA, whose weight is made of the base's too"):
        CheckpointReader().open(tmp_path / "adapter")


@pytest.mark.parametrize(
    ("more", "base", "config", "words"),
    [
        ({}, {"other.weight": (3, 3)}, {}, "which the base .* does not have"),
        ({}, {**BASE, "model.layers.0.q_proj.weight": (6, 8)}, {}, "is it another model"),
        ({"base_model.model.score.weight": (4, 6)}, None, {}, "keeps score.weight of shape"),
        ({}, None, {"init_lora_weights": "pissa_niter_4"}, "begun by pissa_niter_4, which changed"),
        ({}, None, {"peft_type": "LOHA"}, "adapter of the kind LOHA"),
        ({}, None, {"target_parameters": ["experts.up"]}, "parameters of several matrices each"),
        ({"x.lora_down.weight": (2, 6)}, None, {}, "as other tools than PEFT name it"),
    ],
)  # fmt: skip
def test_what_would_be_wrong_is_refused(
    more: dict[str, tuple[int, ...]],
    base: dict[str, tuple[int, ...]] | None,
    config: dict[str, Any],
    words: str,
    tmp_path: Path,
) -> None:
    write(tmp_path, more, base, **config)
    with pytest.raises(InputError, match=words):
        values(tmp_path)


def test_several_adapters_in_a_file_act_on_no_base(tmp_path: Path) -> None:
    more = {name.replace(".weight", ".two.weight"): shape for name, shape in ADAPTER.items()}
    write(tmp_path, more)
    with pytest.raises(InputError, match="several adapters"):
        values(tmp_path)


def test_metrics_of_a_run_of_adapters_are_those_of_the_networks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, adapter = write(tmp_path)
    write_manifest(
        Run(0, (Checkpoint(5, None, tmp_path / "adapter"),)), tmp_path / "checkpoints.json"
    )
    whole = {
        **base,
        "model.layers.0.q_proj.weight": base["model.layers.0.q_proj.weight"] + product(adapter),
    }
    matrices = [
        whole[name].astype(float)
        for name in (
            "model.layers.0.down_proj.weight",
            "model.layers.0.q_proj.weight",
            "score.weight",
        )
    ]
    right = checkpoint_metrics(matrices, [whole["model.layers.0.q_proj.bias"]])
    row = run_metrics(tmp_path / "checkpoints.json", base=str(tmp_path / "base")).iloc[0]
    assert {name: row[name] for name in right} == pytest.approx(right, rel=1e-6)
    command = ["inspect", str(tmp_path / "adapter"), "--base", str(tmp_path / "base")]
    assert cli.main(command) == 0
    assert "made of parts: 1 tensor, LoRA: base + 4 B A" in capsys.readouterr().out
