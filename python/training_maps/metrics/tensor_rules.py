"""What a tensor is to its network, from names, types and shapes: the rules of `parameters`.

Hu et al. 2023, Appendix B: embeddings, unembeddings and normalisation layers are left out of
everything. `RULES` says what each tensor is, by the first rule that applies; `LAYOUTS` says how a
weight tensor is viewed as matrices. Names are those of torch, torchvision, transformers and
TransformerLens, and of networks named in their manner.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Kind = Literal["weight", "bias", "left out"]


@dataclass(frozen=True)
class Tensor:
    """A tensor as a checkpoint's header describes it."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def module(self) -> str:
        """The name without its last part: the layer that the tensor belongs to."""
        return self.name.rpartition(".")[0]

    @property
    def layer(self) -> str:
        """The last part of `module` in lower case: what the layer is called in its block."""
        return self.module.rpartition(".")[2].lower()

    @property
    def parameter(self) -> str:
        """The last part of the name in lower case: what the tensor is to its layer."""
        return self.name.rpartition(".")[2].lower()

    @cached_property
    def words(self) -> frozenset[str]:
        """The letters-only words of the name in lower case: "h.0.ln_1.weight" has h, ln, weight."""
        return frozenset(re.findall("[a-z]+", self.name.lower()))


class Network:
    """All tensors of a checkpoint, for the rules that look beyond one tensor."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        """Take the tensors of one checkpoint."""
        tensors = tuple(tensors)
        self._shapes: Mapping[str, tuple[int, ...]] = {t.name: t.shape for t in tensors}
        self._vocabularies = {
            t.shape
            for t in tensors
            if len(t.shape) == 2 and is_embedding(t) and not t.words & _NO_TOKENS
        }

    def is_scale(self, module: str) -> bool:
        """Whether the layer only scales its input: its weight is a vector."""
        return len(self._shapes.get(f"{module}.weight", ())) == 1

    def is_output(self, tensor: Tensor) -> bool:
        """Whether the tensor is of an output layer that has the shape of a token embedding."""
        if tensor.layer not in _OUTPUT_LAYERS or re.search(r"\b\d+\b", tensor.name):
            return False
        shape = self._shapes.get(f"{tensor.module}.weight", ())
        return shape in self._vocabularies or shape[::-1] in self._vocabularies


# Embeddings of something else than tokens: an output layer has their shape by chance only.
_NO_TOKENS = {"position", "positions", "pos", "wpe", "type", "segment", "patch", "patches"}
_OUTPUT_LAYERS = {"output", "out", "head", "decoder", "proj", "proj_out", "projector", "logits"}
_BUFFERS = {"running_mean", "running_var", "num_batches_tracked", "inv_freq", "masked_bias"}
_TOKENS = {"cls_token", "class_token", "dist_token", "mask_token", "pad_token"}
# The lengths that torch's weight norm keeps apart from the directions.
_LENGTHS = {"weight_g", "original0"}
_INTEGER = re.compile(r"BOOL|[IU]\d+")
# Also torch's recurrent layers ("bias_ih_l0") and attention ("bias_k").
_BIAS = re.compile(r"\w*bias([_\d]\w*)?|b([_\d]\w*)?")


def is_embedding(tensor: Tensor) -> bool:
    """Whether the name says that the tensor embeds tokens, positions or the like, or unembeds."""
    return bool(tensor.words & {"emb", "wte", "wpe"}) or any(
        word.startswith(("embed", "unembed")) or word.endswith(("embed", "embedding", "embeddings"))
        for word in tensor.words
    )


def is_unembedding(tensor: Tensor, network: Network) -> bool:
    """Whether the tensor turns the last hidden state into logits of tokens.

    The head of a masked language model has a layer of its own before its unembedding: the one
    called "decoder" in BERT's `cls.predictions` or RoBERTa's `lm_head` is left out, the layer
    before it counts.
    """
    block, layer = ["", *tensor.module.lower().split(".")][-2:]
    heads = ("lm_head", "predictions")
    return (
        layer.endswith((*heads, "vocab_projector"))
        or (layer == "decoder" and block.endswith(heads))
        or network.is_output(tensor)
    )


def is_position_bias(tensor: Tensor) -> bool:
    """Whether the tensor embeds distances between positions (T5, Swin)."""
    return {"relative", "bias"} <= tensor.words


def is_normalisation(tensor: Tensor, network: Network) -> bool:
    """Whether the tensor belongs to a layer norm, a batch norm or the like."""
    if tensor.words & {"ln", "bn"} or any(
        word.endswith("norm") or word.startswith("normali") for word in tensor.words
    ):
        return True
    # Whatever its name (say "downsample.1"), a layer whose weight is a vector only scales.
    return network.is_scale(tensor.module)


def is_bias(tensor: Tensor) -> bool:
    """Whether the tensor is named a bias."""
    return _BIAS.fullmatch(tensor.parameter) is not None


def is_integer(tensor: Tensor) -> bool:
    """Whether the tensor holds whole numbers or truth values."""
    return _INTEGER.fullmatch(tensor.dtype) is not None


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


@dataclass(frozen=True)
class Rule:
    """What tensors are for which `applies(tensor, network)` holds."""

    kind: Kind
    reason: str
    applies: Callable[[Tensor, Network], bool]


RULES: tuple[Rule, ...] = (
    Rule("left out", "has no values", lambda t, _: math.prod(t.shape) == 0),
    Rule("left out", "integers", lambda t, _: is_integer(t)),
    Rule("left out", "a buffer, not trained", lambda t, _: t.parameter in _BUFFERS),
    Rule("left out", "embedding of a special token", lambda t, _: t.parameter in _TOKENS),
    Rule("left out", "a mask", lambda t, _: "mask" in t.words),
    # GPT-2 keeps its causal mask as ".attn.bias" of shape (1, 1, n, n).
    Rule("left out", "a mask", lambda t, _: is_bias(t) and _is_stack_of_squares(t)),
    Rule("left out", "embedding of positions", lambda t, _: is_position_bias(t)),
    Rule("left out", "embedding or unembedding", lambda t, _: is_embedding(t)),
    Rule("left out", "embedding or unembedding", is_unembedding),
    # T5 calls its embedding of tokens so, at the top.
    Rule("left out", "embedding or unembedding", lambda t, _: t.name == "shared.weight"),
    Rule("left out", "normalisation layer", is_normalisation),
    Rule("left out", "lengths of weight norm", lambda t, _: t.parameter in _LENGTHS),
    Rule("bias", "named a bias", lambda t, _: is_bias(t) and len(t.shape) > 0),
    Rule("weight", "two or more dimensions", lambda t, _: len(t.shape) >= 2),
    Rule("left out", "neither a matrix nor named a bias", lambda _t, _n: True),
)


@dataclass(frozen=True)
class Layout:
    """How weight tensors for which `applies` holds are viewed: (n_blocks, rows, cols)."""

    name: str
    applies: Callable[[Tensor], bool]
    view: Callable[[tuple[int, ...]], tuple[int, int, int]]


LAYOUTS: tuple[Layout, ...] = (
    Layout("one matrix", lambda t: len(t.shape) == 2, lambda s: (1, s[0], s[1])),
    Layout(
        "one matrix a head",
        lambda t: len(t.shape) == 3 and not any(word.startswith("conv") for word in t.words),
        lambda s: (s[0], s[1], s[2]),
    ),
    Layout(
        "convolution: (out, in x kernel)", lambda _: True, lambda s: (1, s[0], math.prod(s[1:]))
    ),
)
