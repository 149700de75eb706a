"""An adapter of LoRA or DoRA on its base, which is kept elsewhere: the whole network that acts.

The base is a checkpoint in any form. Layers with factors are base + scale B A, or DoRA's of it;
layers that the adapter keeps whole (`modules_to_save`, biases that were trained) take the place of
the base's; all others are the base's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training_maps.runs.derived_weights import Derived, Described
from training_maps.runs.lora import (
    Factors,
    find_factors,
    has_base,
    magnitudes,
    plain_name,
    read_config,
)
from training_maps.utils.errors import InputError

#: Stands for the base that the adapter's config names.
AUTO = "auto"
#: Before the names of parts: which of the two files they are in.
OF_BASE, OF_ADAPTER = "base:", "adapter:"
# What is left of the base's weights when such factors are made of them is no longer the base.
_CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
_SAVED = re.compile(r"\.modules_to_save(\.[^.]+(?=\.))?")
_BIAS = ".lora_B.bias"
_OF_FACTORS = re.compile(r"\.lora_(A|B|E|embedding_[AB]|magnitude_vector)\b")


def base_of(described: Iterable[Described], path: Path, given: str | None) -> Path | None:
    """Where the base of an adapter is; None if the checkpoint is none, or takes none.

    Args:
        described: the checkpoint's tensors.
        path: the checkpoint.
        given: the base's path; `AUTO` for what the adapter's config names; None for none, but of
            DoRA, which takes one, what the config names.

    Raises:
        InputError: if the config names no path on this disk.
    """
    shapes = {name: shape for name, _, shape in described}
    if not find_factors(shapes, path) or has_base(shapes):
        return None
    if given is not None and given != AUTO:
        return Path(given)
    named = read_config(path).get("base_model_name_or_path")
    folder = path if path.is_dir() else path.parent
    if isinstance(named, str) and named:
        for place in (Path(named).expanduser(), folder / named):
            if place.exists() and (given == AUTO or magnitudes(shapes)):
                return place
    if given == AUTO:
        raise InputError(
            f"{path}: its config names the base {named!r}, which is no path on this disk; download "
            "it, and give its folder as checkpoints.base, or --base"
        )
    return None


def on_base(
    described: Iterable[Described], path: Path, base: Sequence[Described], where: Path
) -> tuple[list[Described], list[Derived]]:
    """The network of an adapter and its base.

    Args:
        described: the adapter's tensors.
        path: the adapter.
        base: the base's tensors.
        where: the base, for messages.

    Returns:
        Its tensors, without those that are made; and those: their parts begin with `OF_BASE` or
        `OF_ADAPTER`.

    Raises:
        InputError: if a layer is not in the base, or is of another shape there; or if the base is
            not what the adapter acts beside.
    """
    own = {name: shape for name, _, shape in described}
    factors = find_factors(own, path)
    _check_base(factors, path)
    shapes = {name: shape for name, _, shape in base}
    made = [_whole(one, shapes, path, where) for one in factors]
    scales = {one.layer: one.scale for one in factors}
    used = {part for one in factors for part in one.parts}
    for name, shape in own.items():
        if name in used or (_OF_FACTORS.search(name) and not name.endswith(_BIAS)):
            continue
        scale = scales.get(name.removesuffix(_BIAS)) if name.endswith(_BIAS) else None
        made.append(_kept(name, shape, shapes, scale, path, where))
    replaced = {weight.name for weight in made}
    return [tensor for tensor in base if tensor[0] not in replaced], made


def _check_base(factors: Sequence[Factors], path: Path) -> None:
    if len({one.adapter for one in factors}) > 1:
        raise InputError(
            f"{path}: has several adapters, and which of them act on the base is not known; save "
            "one a folder"
        )
    start = str(read_config(path).get("init_lora_weights", "")).lower()
    if start.startswith(_CHANGES_BASE):
        raise InputError(
            f"{path}: its factors were begun by {start}, which changed the base; merge it first "
            "(model.merge_and_unload()) and save the whole model, or leave the base out"
        )


def _whole(
    factors: Factors, shapes: Mapping[str, tuple[int, ...]], path: Path, where: Path
) -> Derived:
    name = _in_base(factors.name, shapes)
    if name is None:
        raise InputError(f"{path}: adapts {factors.name}, which the base {where} does not have")
    if shapes[name] != factors.shape:
        raise InputError(
            f"{path}: makes {factors.name} of shape {factors.shape}, and the base {where} has "
            f"{shapes[name]}; is it another model?"
        )
    parts = (OF_BASE + name, *(OF_ADAPTER + part for part in factors.parts))
    return Derived(name, parts, shapes[name], factors.whole, factors.how)


def _kept(
    name: str,
    shape: tuple[int, ...],
    shapes: Mapping[str, tuple[int, ...]],
    scale: float | None,
    path: Path,
    where: Path,
) -> Derived:
    """A tensor that the adapter keeps whole; with a scale, a bias that it adds to the base's."""
    plain = _SAVED.sub("", plain_name(name.replace(_BIAS, ".bias")))
    there = _in_base(plain, shapes)
    if there is not None and shapes[there] != shape:
        raise InputError(
            f"{path}: keeps {plain} of shape {shape}, and the base {where} has {shapes[there]}; is "
            "it another model?"
        )
    if scale is not None and there is not None:
        return Derived(
            there, (OF_BASE + there, OF_ADAPTER + name), shape, lambda w, b: w + scale * b,
            f"LoRA: base + {scale:g} b",
        )  # fmt: skip
    return Derived(there or plain, (OF_ADAPTER + name,), shape, _same, "kept whole by the adapter")


def _same(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values


def _in_base(name: str, shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """What the base calls a tensor: it may have been saved without a prefix, or with one more."""
    if name in shapes:
        return name
    near = [n for n in shapes if n.endswith(f".{name}") or name.endswith(f".{n}")]
    return near[0] if len(near) == 1 else None
