"""Fine-tuning with LoRA: what acts on the network is scale x B x A, kept as two factors by PEFT.

    X.lora_A.weight (r, in)    X.lora_B.weight (out, r)    adapter_config.json: lora_alpha, r, ...

The scale is lora_alpha / r, or lora_alpha / sqrt(r) with `use_rslora` (Kalajdzievski 2023). Where
the layer's own weight is in the file too, as `X.base_layer.weight`, the weight is their sum; where
the base is given, `lora_base` adds it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
# DoRA's lengths of the rows (Liu et al. 2024), as PEFT has called them over time.
_MAGNITUDE = re.compile(r"(?P<layer>.+)\.lora_magnitude_vector(\.[^.]+)*")
# Factors of other libraries, which keep the scale elsewhere.
_FOREIGN = re.compile(r".*\b(lora_down|lora_up|lora\.down|lora\.up)\b.*")


def find_products(described: Iterable[Described], path: Path) -> list[Derived]:
    """The weights whose factors a checkpoint has.

    Args:
        described: its tensors.
        path: the checkpoint, beside which, or in a folder around which, the adapter's config is.

    Raises:
        InputError: if a checkpoint has factors and there is no config, it names no scale, or the
            adapter is of a kind whose weight is no sum of factors (DoRA, without the base).
    """
    shapes = {name: shape for name, _, shape in described}
    factors = find_factors(shapes, path)
    if not factors:
        return []
    if magnitudes(shapes) and not has_base(shapes):
        raise InputError(
            f"{path}: is an adapter of DoRA, whose weight is made of the base's too; say where "
            "that is (checkpoints.base, or --base), or merge it first (model.merge_and_unload()) "
            "and save the whole model"
        )
    named = len({factor.adapter for factor in factors}) > 1
    return [_product(factor, shapes, named) for factor in factors]


@dataclass(frozen=True)
class Factors:
    """The two factors of a layer's weight.

    Attributes:
        layer: the layer's name in the file.
        adapter: the adapter's name; None if the file does not name it.
        first: the name of A, (r, in, ...).
        second: the name of B, (out, r, ...).
        scale: what their product is multiplied by.
        shape: of the weight that they make, as the layer stores it.
        turned: whether that is (in, out), as GPT-2's layers have it.
        length: the name of DoRA's lengths, (out,) in some shape; None where there are none.
    """

    layer: str
    adapter: str | None
    first: str
    second: str
    scale: float
    shape: tuple[int, ...]
    turned: bool
    length: str | None

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of B and A, and of the lengths if there are any."""
        return (self.second, self.first, *([self.length] if self.length else []))

    @property
    def name(self) -> str:
        """What the layer's weight is called in the network without the adapter."""
        return f"{plain_name(self.layer)}.weight"

    def product(self, b: NDArray[np.float64], a: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scale x B x A."""
        return self.scale * _multiplied(b, a, self.shape, self.turned)

    def whole(
        self,
        w: NDArray[np.float64],
        b: NDArray[np.float64],
        a: NDArray[np.float64],
        length: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float64]:
        """What acts on the network, with w the base's weight: w + scale B A, or DoRA's of it."""
        total = w + self.product(b, a)
        if length is None:
            return total
        axis = total.ndim - 1 if self.turned else 0
        others = tuple(i for i in range(total.ndim) if i != axis)
        norms = np.sqrt((total * total).sum(axis=others, keepdims=True))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.ascontiguousarray(total * (length.reshape(norms.shape) / norms))

    @property
    def how(self) -> str:
        """What is said of the weight that is made of them and the base's."""
        told = f"base + {self.scale:g} B A"
        return f"DoRA: m ({told}) / |{told}|" if self.length else f"LoRA: {told}"


def find_factors(shapes: Mapping[str, tuple[int, ...]], path: Path) -> list[Factors]:
    """The factors that a checkpoint has, each with its scale.

    Raises:
        InputError: if there are factors and no config, or they are of a kind that is not known.
    """
    _check_kind(path)
    foreign = next((name for name in shapes if _FOREIGN.fullmatch(name)), None)
    if foreign is not None:
        raise InputError(
            f"{path}: '{foreign}' is a factor of LoRA as other tools than PEFT name it, and how it "
            "is scaled is not known; save the adapter with PEFT, or merge it into the model first"
        )
    found = [match for name in shapes if (match := _FACTOR.fullmatch(name))]
    if not found:
        return []
    config = read_config(path)
    if config.get("target_parameters"):
        raise InputError(
            f"{path}: has factors of parameters of several matrices each (target_parameters); "
            "merge it first (model.merge_and_unload()) and save the whole model"
        )
    lengths = magnitudes(shapes)
    factors = (_factors(match, shapes, config, lengths) for match in found)
    return [one for one in factors if one is not None]


def magnitudes(shapes: Iterable[str]) -> dict[str, str]:
    """DoRA's lengths, by layer."""
    return {match["layer"]: name for name in shapes if (match := _MAGNITUDE.fullmatch(name))}


def has_base(shapes: Iterable[str]) -> bool:
    """Whether the weights of the layers themselves are in the file too."""
    return any(name.endswith(".base_layer.weight") for name in shapes)


def plain_name(name: str) -> str:
    """What a layer or a tensor is called in the network without the adapter."""
    return name.removeprefix(_WRAPPER).replace(".base_layer", "")


def _factors(
    match: re.Match[str],
    shapes: Mapping[str, tuple[int, ...]],
    config: Mapping[str, Any],
    lengths: Mapping[str, str],
) -> Factors | None:
    first = match.string
    second = re.sub(r"\.lora_A\b", ".lora_B", first)
    if second not in shapes or len(shapes[first]) < 2 or len(shapes[second]) < 2:
        return None
    a, b = shapes[first], shapes[second]
    rank = a[0]
    if b[1] != rank or math.prod(b[2:]) != 1:
        return None
    layer = match["layer"]
    shape = (b[0], *a[1:])
    # GPT-2 stores its layers as (inputs, outputs), and the factors are the other way round.
    turned = len(shape) == 2 and bool(config.get("fan_in_fan_out"))
    return Factors(
        layer, match["adapter"], first, second, _scale(plain_name(layer), rank, config),
        shape[::-1] if turned else shape, turned, lengths.get(layer),
    )  # fmt: skip


def _product(factors: Factors, shapes: Mapping[str, tuple[int, ...]], named: bool) -> Derived:
    name = factors.name + (f"[{factors.adapter}]" if named else "")
    base = f"{factors.layer}.base_layer.weight"
    if shapes.get(base) == factors.shape and not named:
        return Derived(name, (base, *factors.parts), factors.shape, factors.whole, factors.how)
    return Derived(
        name, (factors.second, factors.first), factors.shape, factors.product,
        f"LoRA: {factors.scale:g} B A", factors.scale,
    )  # fmt: skip


def _multiplied(
    b: NDArray[np.float64], a: NDArray[np.float64], shape: tuple[int, ...], turned: bool
) -> NDArray[np.float64]:
    product = b.reshape(len(b), -1) @ a.reshape(len(a), -1)
    return np.ascontiguousarray(product.T) if turned else product.reshape(shape)


def _check_kind(path: Path) -> None:
    """Refuse adapters whose tensors are no factors of LoRA, by the config beside them."""
    file = (path if path.is_dir() else path.parent) / CONFIG
    if not file.is_file():
        return
    try:
        config = read_json(file)
    except (InputError, RecursionError) as error:
        raise UnreadableCheckpoint(f"{file}: is broken ({error})") from error
    kind = config.get("peft_type", "LORA") if isinstance(config, dict) else "LORA"
    if kind != "LORA":
        raise InputError(
            f"{path}: is an adapter of the kind {kind}, whose tensors are not the weights that "
            "act; merge it first (model.merge_and_unload()) and save the whole model"
        )


def read_config(path: Path) -> Mapping[str, Any]:
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
    """What the product of a layer's factors is multiplied by; the first pattern counts."""
    patterns = config.get("alpha_pattern") or {}
    found = (own for pattern, own in patterns.items() if re.match(rf"(.*\.)?({pattern})$", layer))
    alpha = next(found, config["lora_alpha"])
    return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)
