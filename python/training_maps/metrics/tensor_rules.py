"""What a tensor is to its network, from names, types and shapes: the rules of `parameters`.

Hu et al. 2023, Appendix B: embeddings, unembeddings and normalisation layers are left out of
everything. `RULES` says what each tensor is, by the first rule that applies; `LAYOUTS` says how a
weight tensor is viewed as matrices. What shapes and names leave open is assumed, and said to be.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from training_maps.metrics.tensor_names import (
    BUFFERS,
    TOKENS,
    Network,
    Tensor,
    is_bias,
    is_integer,
    is_named_weight,
    is_position_bias,
    is_vector,
    names_norm,
    words_of,
)

Kind = Literal["weight", "bias", "left out"]

# The lengths that torch's weight norm keeps apart from the directions, where these are not there.
_LENGTHS = ("weight_g", "original0")
# What scales whole numbers to weights: bitsandbytes, GPTQ and AWQ, compressed-tensors, torchao.
_SCALES = ("weight_scale", "weight_scale_inv", "weight_zero_point", "scb", "scales", "qzeros",
           "absmax", "quant_map", "nested_absmax", "nested_quant_map", "input_scale")  # fmt: skip
# What whole numbers are called that stand for weights.
_QUANTISED = ("weight", "qweight", "weight_packed", "weight_int8", "int8_weight", "packed_weight")
INTEGERS = "integers"
_ATTENTION = ("query", "key", "value", "q", "k", "v")
_EXPERTS = {"expert", "experts", "head", "heads", "moe"}


def is_unembedding(tensor: Tensor, network: Network) -> bool:
    """Whether the tensor turns the last hidden state into logits of tokens.

    The head of a masked language model has a layer of its own before its unembedding: the one
    called "decoder" in BERT's `cls.predictions` or RoBERTa's `lm_head` is left out, the layer
    before it counts.
    """
    block, layer = ["", *tensor.module.lower().split(".")][-2:]
    if layer.isdigit() and block.endswith("lm_heads"):
        return True
    heads = ("lm_head", "lm_heads", "predictions")
    return (
        layer.endswith((*heads, "vocab_projector", "embed_out"))
        or layer in ("unembed", "unembedding")
        or (layer == "decoder" and block.endswith(heads))
        or network.is_output(tensor)
    )


def is_normalisation(tensor: Tensor, network: Network) -> bool:
    """Whether the tensor belongs to a layer norm, a batch norm or the like."""
    weight = network.subject(tensor)
    # Whatever its name (say "downsample.1"), a layer whose weight is a vector only scales.
    if network.is_scale(tensor.module):
        return True
    if words_of(tensor.parameter) & {"norm"} and len(tensor.shape) < 2:
        return True  # Megatron-LM keeps `layer_norm_weight` in the layer behind it
    return names_norm(tensor.layer) and (weight.is_of_layer or len(weight.shape) < 2)


def is_quantised(tensor: Tensor) -> bool:
    """Whether whole numbers, of two dimensions or more, are called weights."""
    integers = is_integer(tensor) and tensor.dtype != "BOOL"
    return integers and len(tensor.shape) >= 2 and tensor.parameter in _QUANTISED


def is_transposed(tensor: Tensor) -> bool:
    """Whether the tensor is a projection of GPT-2, stored as (inputs, outputs).

    Networks that use GPT-2's names for torch's own layers have more rows than columns there.
    """
    return (
        tensor.layer in ("c_attn", "q_attn", "c_fc")
        and len(tensor.shape) == 2
        and tensor.shape[0] <= tensor.shape[1]
    )


def _is_stack_of_squares(tensor: Tensor) -> bool:
    return len(tensor.shape) > 2 and tensor.shape[-1] == tensor.shape[-2]


def _is_mask(tensor: Tensor) -> bool:
    """Whether the tensor itself is called a mask, and not a layer that makes masks."""
    if "mask" in words_of(tensor.parameter):
        return True
    # GPT-2 keeps its causal mask as ".attn.bias" of shape (1, 1, n, n).
    return is_bias(tensor) and _is_stack_of_squares(tensor)


def _embeds(tensor: Tensor, network: Network) -> bool:
    return network.embeds(network.subject(tensor))


def _is_loose_table(tensor: Tensor, network: Network) -> bool:
    """Whether only the block around a layer is called an embedding."""
    weight = network.subject(tensor)
    return weight.is_of_layer and network.embeds(weight) and network.is_in_embeddings(weight)


def _is_odd_output(tensor: Tensor, network: Network) -> bool:
    return network.has_vocabulary_rows(tensor)


def _is_loose_weight(tensor: Tensor, network: Network) -> bool:
    """Whether a parameter that belongs to no layer of torch's counts for its dimensions alone."""
    # "weights" is what fixed transforms keep, as a buffer, as often as layers of one's own.
    by_name = is_named_weight(tensor) and tensor.parameter != "weights"
    named = tensor.is_of_layer or by_name or bool(tensor.words & _EXPERTS)
    return len(tensor.shape) >= 2 and not named


@dataclass(frozen=True)
class Rule:
    """What tensors are for which `applies(tensor, network)` holds; assumed where it is no more."""

    kind: Kind
    reason: str
    applies: Callable[[Tensor, Network], bool]
    assumed: bool = False


RULES: tuple[Rule, ...] = (
    Rule("left out", "has no values", lambda t, _: math.prod(t.shape) == 0),
    Rule("left out", INTEGERS, lambda t, _: is_integer(t)),
    Rule("left out", "scale of quantised weights", lambda t, _: t.parameter in _SCALES),
    Rule("left out", "a buffer, not trained", lambda t, _: t.parameter in BUFFERS),
    Rule(
        "left out",
        "part of a parametrisation",
        lambda t, _: (
            ".parametrizations." in f".{t.name}" and not t.parameter.startswith("original")
        ),
    ),
    Rule("left out", "a target network's copy", lambda t, n: n.is_target_copy(t), assumed=True),
    Rule("left out", "embedding of a special token", lambda t, _: t.parameter in TOKENS),
    Rule("left out", "a mask", lambda t, _: _is_mask(t)),
    Rule("left out", "embedding of positions", lambda t, _: is_position_bias(t)),
    Rule(
        "left out",
        "embedding or unembedding",
        _is_loose_table,
        assumed=True,
    ),
    Rule("left out", "embedding or unembedding", _embeds),
    Rule("left out", "embedding or unembedding", is_unembedding),
    Rule("left out", "output layer with the vocabulary's rows", _is_odd_output, assumed=True),
    Rule("left out", "normalisation layer", is_normalisation),
    Rule("left out", "lengths of weight norm", lambda t, _: t.parameter in _LENGTHS),
    Rule(
        "left out",
        "a table with a row a token, by its shape",
        lambda t, n: n.is_tall_table(t),
        assumed=True,
    ),
    Rule("left out", "a vector", lambda t, _: is_vector(t) and not is_bias(t)),
    Rule("bias", "named a bias", lambda t, _: is_bias(t) and len(t.shape) > 0),
    Rule("weight", "two or more dimensions", _is_loose_weight, assumed=True),
    Rule(
        "weight",
        "what a parametrisation is of",
        lambda t, _: len(t.shape) >= 2 and t.parameter.startswith("original"),
        assumed=True,
    ),
    Rule("weight", "two or more dimensions", lambda t, _: len(t.shape) >= 2),
    Rule("left out", "neither a matrix nor named a bias", lambda _t, _n: True),
)


@dataclass(frozen=True)
class Layout:
    """How weight tensors for which `applies` holds are viewed: (n_blocks, rows, cols)."""

    name: str
    applies: Callable[[Tensor], bool]
    view: Callable[[tuple[int, ...]], tuple[int, int, int]]
    assumed: bool = False


def _is_stack(tensor: Tensor) -> bool:
    """Whether three dimensions are matrices side by side: heads, or experts.

    Of torch's layers only a convolution has a weight of three dimensions; but one that is called
    query, key or value, and has more inputs than it would have outputs, is (heads, d_head, d).
    """
    if len(tensor.shape) == 3 and tensor.layer in _ATTENTION and tensor.shape[2] > tensor.shape[0]:
        return True
    return len(tensor.shape) == 3 and (
        not (tensor.parameter == "weight" and tensor.module) or bool(tensor.words & _EXPERTS)
    )


def _is_stack_by_name(tensor: Tensor) -> bool:
    return _is_stack(tensor) and (bool(tensor.words & _EXPERTS) or is_named_weight(tensor))


def _folds(tensor: Tensor) -> bool:
    """XLNet's and flax's projections, (d, heads, d_head): one matrix from d to all heads."""
    shape = tensor.shape
    return len(shape) == 3 and shape[0] == shape[1] * shape[2] and _is_stack(tensor)


def _is_convolution(tensor: Tensor) -> bool:
    words = tensor.words
    return len(tensor.shape) == 3 and any(word.startswith("conv") for word in words)


def _is_kernel(tensor: Tensor) -> bool:
    """Whether flax or Keras made it, which have the outputs last."""
    return len(tensor.shape) > 2 and tensor.parameter.endswith("kernel") and "." in tensor.name


LAYOUTS: tuple[Layout, ...] = (
    Layout("one matrix", lambda t: len(t.shape) == 2, lambda s: (1, s[0], s[1])),
    Layout(
        "one matrix: (d, heads x d_head)",
        lambda t: (
            _is_kernel(t) and t.layer.removesuffix("_dense") in ("query", "key", "value", "qkv")
        ),
        lambda s: (1, s[0], math.prod(s[1:])),
    ),
    Layout("kernel: (in, out)", _is_kernel, lambda s: (1, math.prod(s[:-1]), s[-1])),
    Layout(
        "convolution: (out, in x kernel)", _is_convolution, lambda s: (1, s[0], math.prod(s[1:]))
    ),
    Layout(
        "one matrix: (d, heads x d_head)", _folds, lambda s: (1, s[0], s[1] * s[2]), assumed=True
    ),
    Layout("one matrix a head", _is_stack_by_name, lambda s: (s[0], s[1], s[2])),
    Layout("one matrix a head", _is_stack, lambda s: (s[0], s[1], s[2]), assumed=True),
    Layout(
        "convolution: (out, in x kernel)", lambda _: True, lambda s: (1, s[0], math.prod(s[1:]))
    ),
)
