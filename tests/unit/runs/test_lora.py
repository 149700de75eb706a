"""The factors of LoRA: which weight they make, and how it is scaled."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from training_maps.runs.lora import find_products
from training_maps.utils.errors import InputError, UnreadableCheckpoint

LAYER = "base_model.model.h.0.q_proj"
FACTORS = [(f"{LAYER}.lora_A.weight", "F32", (4, 6)), (f"{LAYER}.lora_B.weight", "F32", (8, 4))]
A, B = np.random.default_rng(0).normal(size=(4, 6)), np.random.default_rng(1).normal(size=(8, 4))


def products(folder: Path, described: list, config: dict | None):  # type: ignore[no-untyped-def, type-arg]
    if config is not None:
        (folder / "adapter_config.json").write_text(json.dumps(config))
    return find_products(described, folder / "adapter_model.safetensors")


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        ({"lora_alpha": 16, "r": 4}, 4),
        ({"lora_alpha": 16, "r": 4, "use_rslora": True}, 8),
        ({"lora_alpha": 16, "alpha_pattern": {"q_proj": 2}}, 0.5),
        ({"lora_alpha": 16, "alpha_pattern": {"k_proj": 2}}, 4),
    ],
)
def test_the_scale(config: dict, scale: float, tmp_path: Path) -> None:  # type: ignore[type-arg]
    (product,) = products(tmp_path, FACTORS, config)
    assert (product.name, product.shape, product.scale) == ("h.0.q_proj.weight", (8, 6), scale)
    np.testing.assert_allclose(product.make(B, A), scale * B @ A)


def test_a_base_in_the_same_file_is_added(tmp_path: Path) -> None:
    base = (f"{LAYER}.base_layer.weight", "F32", (8, 6))
    (whole,) = products(tmp_path, [base, *FACTORS], {"lora_alpha": 4})
    assert (whole.scale, whole.parts[0]) == (None, base[0])
    np.testing.assert_allclose(whole.make(np.ones((8, 6)), B, A), 1 + B @ A)


def test_gpt2s_layers_are_stored_the_other_way_round(tmp_path: Path) -> None:
    """As (inputs, outputs); also where both are as many, so that no shape tells."""
    config = {"lora_alpha": 4, "fan_in_fan_out": True}
    (product,) = products(tmp_path, FACTORS, config)
    assert product.shape == (6, 8)
    np.testing.assert_allclose(product.make(B, A), (B @ A).T)
    base = (f"{LAYER}.base_layer.weight", "F32", (6, 8))
    (whole,) = products(tmp_path, [base, *FACTORS], config)
    np.testing.assert_allclose(whole.make(np.ones((6, 8)), B, A), 1 + (B @ A).T)


def test_each_adapter_is_its_own(tmp_path: Path) -> None:
    described = [
        (name.replace(".weight", f".{adapter}.weight"), dtype, shape)
        for adapter in ("one", "two") for name, dtype, shape in FACTORS
    ]  # fmt: skip
    found = products(tmp_path, described, {"lora_alpha": 4})
    assert [p.name for p in found] == ["h.0.q_proj.weight[one]", "h.0.q_proj.weight[two]"]
    (alone,) = products(tmp_path, described[:2], None)
    assert alone.name == "h.0.q_proj.weight"


def test_a_convolution(tmp_path: Path) -> None:
    kernel = [("c.lora_A.weight", "F32", (4, 3, 2, 2)), ("c.lora_B.weight", "F32", (8, 4, 1, 1))]
    (product,) = products(tmp_path, kernel, {"lora_alpha": 4})
    a, b = A.reshape(4, 3, 2, 1).repeat(2, axis=3), B[:, :, None, None]
    expected = np.einsum("or,rihw->oihw", B, a)
    np.testing.assert_allclose(product.make(b, a), expected)
    assert product.shape == (8, 3, 2, 2)


def test_without_factors_no_config_is_asked_for(tmp_path: Path) -> None:
    assert products(tmp_path, [("fc.weight", "F32", (3, 3))], None) == []
    assert products(tmp_path, FACTORS[:1], {"lora_alpha": 4}) == []


def test_what_cannot_be_scaled_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no adapter_config.json beside it"):
        products(tmp_path, FACTORS, None)
    with pytest.raises(InputError, match="says no 'lora_alpha'"):
        products(tmp_path, FACTORS, {"r": 4})
    dora = (f"{LAYER}.lora_magnitude_vector.weight", "F32", (8,))
    with pytest.raises(InputError, match="adapter of DoRA"):
        products(tmp_path, [*FACTORS, dora], {"lora_alpha": 4})
    (tmp_path / "adapter_config.json").write_text("{")
    with pytest.raises(UnreadableCheckpoint, match="is broken"):
        products(tmp_path, FACTORS, None)
