"""Metrics of products of thin factors are those of the products formed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from training_maps.metrics import low_rank
from training_maps.metrics.compute import checkpoint_metrics, run_metrics
from training_maps.metrics.low_rank import LowRank, factored_metrics, low_rank_metrics, median
from training_maps.metrics.parameters import select_parameters
from training_maps.runs.checkpoints import Checkpoint, Run, write_manifest
from training_maps.runs.formats import CheckpointReader
from training_maps.utils.errors import InputError

COLUMNS = ["paper", "stable_rank", "effective_rank", "tail_exponent"]


def factors(seed: int, m: int, n: int, r: int) -> LowRank:
    rng = np.random.default_rng(seed)
    return LowRank(rng.normal(size=(m, r)), rng.normal(size=(r, n)), 0.7)


def dense(product: LowRank) -> np.ndarray:
    return product.scale * (product.b @ product.a)


def measure(weights, biases):  # type: ignore[no-untyped-def]
    return checkpoint_metrics(weights, biases, columns=COLUMNS)


@pytest.mark.parametrize("entries", [1 << 22, 100])
def test_of_products_beside_other_weights(entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(low_rank, "_ENTRIES", entries)
    rng = np.random.default_rng(5)
    products = [factors(0, 60, 40, 3), factors(1, 100, 200, 24)]
    others, biases = [rng.normal(size=(30, 25))], [rng.normal(size=7)]
    found, _ = low_rank_metrics([*products, *others], biases, measure)
    right = measure([*map(dense, products), *others], biases)
    # Products formed have singular values that are 0 but for rounding, and count for the exponent.
    tails = [dense_free["tail_exponent"] for dense_free in
             (measure([np.diag(np.linalg.svd(p.core(), compute_uv=False))], [])
              for p in products[1:])] + [measure(others, [])["tail_exponent"]]  # fmt: skip
    right["tail_exponent"] = float(np.mean(tails))
    assert found == pytest.approx(right, rel=1e-9, abs=1e-12)


def test_of_a_product_that_is_nothing() -> None:
    """So LoRA begins: B is 0."""
    product = LowRank(np.zeros((40, 2)), np.ones((2, 30)), 2.0)
    found, _ = low_rank_metrics([product], [], measure)
    right = measure([np.zeros((40, 30))], [])
    assert {c: found[c] for c in right} == pytest.approx(right)


@pytest.mark.parametrize("n", [1, 2, 5, 1000, 1001])
def test_the_median_by_counting(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(low_rank, "_SORTED", 0)
    values = np.random.default_rng(n).normal(size=n).round(1)
    assert median(lambda: iter(np.array_split(values, 3)), n) == np.median(values)


def adapter(folder: Path, rank: int, config: dict[str, object], **more: np.ndarray) -> Path:
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"base_model.model.model.layers.{k}.self_attn.q_proj" for k in (0, 1)]
    tensors = {}
    for name in names:
        tensors[f"{name}.lora_A.weight"] = rng.normal(size=(rank, 48)).astype(np.float32)
        tensors[f"{name}.lora_B.weight"] = rng.normal(size=(64, rank)).astype(np.float32)
    save_file({**tensors, **more}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def of_folder(path: Path, **options: object):  # type: ignore[no-untyped-def]
    write_manifest(Run(0, (Checkpoint(0, None, path),)), path.parent / "checkpoints.json")
    return run_metrics(path.parent / "checkpoints.json", **options).iloc[0]  # type: ignore[arg-type]


@pytest.mark.parametrize("rank", [2, 20])  # factors, and products formed
def test_an_adapter_of_peft(rank: int, tmp_path: Path) -> None:
    bias = np.arange(64, dtype=np.float32)
    path = adapter(
        tmp_path / "a", rank, {"lora_alpha": 8, "r": rank},
        **{"base_model.model.model.layers.0.self_attn.q_proj.bias": bias},
    )  # fmt: skip
    opened = CheckpointReader().open(path)
    assert [weight.name for weight in opened.derived] == [
        f"model.layers.{k}.self_attn.q_proj.weight" for k in (0, 1)
    ]
    products = []
    for weight in opened.derived:
        b, a = opened.doubles(weight.parts)
        products.append(8 / rank * (b @ a))
    right = checkpoint_metrics(products, [bias])
    row = of_folder(path)
    assert {c: row[c] for c in right} == pytest.approx(right, rel=1e-6, abs=1e-9)
    selection = select_parameters(opened.description)
    assert (factored_metrics(opened, selection, 1, tails=False) is None) == (rank == 20)


def test_what_is_not_finite_is_told(tmp_path: Path) -> None:
    path = adapter(tmp_path / "a", 2, {"lora_alpha": 8})
    file = path / "adapter_model.safetensors"
    from safetensors.numpy import load_file

    tensors = load_file(file)
    name = next(name for name in tensors if "lora_B" in name)
    tensors[name][3, 1] = np.nan
    save_file(tensors, file)
    with pytest.raises(InputError, match=r"q_proj.weight.*not finite"):
        of_folder(path)
