"""Fine-tuning with LoRA: what acts on the network is scale x B x A, kept as two factors by PEFT.

    X.lora_A.weight (r, in)    X.lora_B.weight (out, r)    adapter_config.json: lora_alpha, r, ...

The scale is lora_alpha / r, or lora_alpha / sqrt(r) with `use_rslora` (Kalajdzievski 2023). Where
the layer's own weight is in the file too, as `X.base_layer.weight`, the weight is their sum.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training_maps.runs.derived_weights import Derived, Described
from training_maps.utils.errors import InputError, UnreadableCheckpoint
from training_maps.utils.files import read_json

CONFIG = "adapter_config.json"
# X.lora_A.weight, X.lora_A.NAME.weight, and loralib's X.lora_A.
_FACTOR = re.compile(r"(?P<layer>.+)\.lora_A(\.(?P<adapter>[^.]+))??(?P<rest>\.weight)?")
_WRAPPER = "base_model.model."
_MAGNITUDE = re.compile(r"lora_magnitude_vector")


def find_products(described: Iterable[Described], path: Path) -> list[Derived]:
    """The weights whose factors a checkpoint has.

    Args:
        described: its tensors.
        path: the checkpoint, beside which, or in a folder around which, the adapter's config is.

    Raises:
        InputError: if a checkpoint has factors and there is no config, it names no scale, or the
            adapter is of a kind whose weight is no sum of factors (DoRA).
    """
    shapes = {name: shape for name, _, shape in described}
    found = [match for name in shapes if (match := _FACTOR.fullmatch(name))]
    if not found:
        return []
    if any(_MAGNITUDE.search(name) for name in shapes):
        raise InputError(
            f"{path}: is an adapter of DoRA, whose weight is made of the base's too; merge it "
            "first (model.merge_and_unload()) and save the whole model"
        )
    config = _config(path)
    adapters = {match["adapter"] for match in found}
    products = []
    for match in found:
        product = _product(match, shapes, config, named=len(adapters) > 1)
        if product is not None:
            products.append(product)
    return products


def _product(
    match: re.Match[str],
    shapes: Mapping[str, tuple[int, ...]],
    config: Mapping[str, Any],
    named: bool,
) -> Derived | None:
    first = match.string
    second = re.sub(r"\.lora_A\b", ".lora_B", first)
    if second not in shapes or len(shapes[first]) < 2 or len(shapes[second]) < 2:
        return None
    a, b = shapes[first], shapes[second]
    rank = a[0]
    if b[1] != rank or math.prod(b[2:]) != 1:
        return None
    layer = match["layer"]
    scale = _scale(layer, rank, config)
    shape = (b[0], *a[1:])
    whole = match["layer"].removeprefix(_WRAPPER)
    name = f"{whole}.weight" + (f"[{match['adapter']}]" if named else "")
    base = f"{layer}.base_layer.weight"
    # GPT-2 stores its layers as (inputs, outputs), and the factors are the other way round.
    turned = len(shape) == 2 and bool(config.get("fan_in_fan_out"))
    if turned:
        shape = shape[::-1]
    if base in shapes and shapes[base] == shape and not named:
        return Derived(
            name, (base, second, first), shape,
            lambda w, b, a: w + scale * _multiplied(b, a, shape, turned),
            f"LoRA: base + {scale:g} B A",
        )  # fmt: skip
    return Derived(
        name, (second, first), shape, lambda b, a: scale * _multiplied(b, a, shape, turned),
        f"LoRA: {scale:g} B A", scale,
    )  # fmt: skip


def _multiplied(
    b: NDArray[np.float64], a: NDArray[np.float64], shape: tuple[int, ...], turned: bool
) -> NDArray[np.float64]:
    product = b.reshape(len(b), -1) @ a.reshape(len(a), -1)
    return np.ascontiguousarray(product.T) if turned else product.reshape(shape)


def _config(path: Path) -> Mapping[str, Any]:
    """The adapter's config: in the folder that is the checkpoint, or beside its file."""
    folder = path if path.is_dir() else path.parent
    for file in (folder / CONFIG, folder.parent / CONFIG):
        if file.is_file():
            try:
                config = read_json(file)
            except (InputError, RecursionError) as error:
                raise UnreadableCheckpoint(f"{file}: is broken ({error})") from error
            if not isinstance(config, dict) or not isinstance(
                config.get("lora_alpha"), int | float
            ):
                raise InputError(f"{file}: says no 'lora_alpha', by which the factors are scaled")
            return config
    raise InputError(
        f"{path}: has the factors of LoRA, and there is no {CONFIG} beside it, which says how they "
        "are scaled (lora_alpha); copy it there, as PEFT's save_pretrained writes it"
    )


def _scale(layer: str, rank: int, config: Mapping[str, Any]) -> float:
    """What the product of a layer's factors is multiplied by."""
    alpha = config["lora_alpha"]
    for pattern, own in (config.get("alpha_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", layer):
            alpha = own
    return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)
