"""What the name of a tensor says of it, and what the other tensors of its network say.

Names are those of torch, torchvision, timm, transformers, fairseq, Megatron-LM, OLMo, GPT-NeoX,
TransformerLens and flax, and of networks named in their manner. What a layer is, its own name says,
not that of a block around it: a linear layer in `embeddings` or in `norm1` is one all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

# Buffers, which no optimiser trains, by the last part of their names.
BUFFERS = frozenset({
    "running_mean", "running_var", "num_batches_tracked", "inv_freq", "masked_bias",
    "original_inv_freq", "freqs", "freqs_cis", "cos_cached", "sin_cached", "pe", "pos_table",
    "final_logits_bias", "e_score_correction_bias", "expert_bias", "weight_integer",
    "bias_integer", "slope_rate", "query_decay", "key_decay", "diagonal_decay", "queue",
    "mel_filters", "embed_avg", "cluster_size", "weight_u", "_u", "_v",
})  # fmt: skip
TOKENS = frozenset({"cls_token", "class_token", "dist_token", "mask_token", "pad_token"})
# Embeddings of something else than tokens: an output layer has their shape by chance only.
NO_TOKENS = frozenset({
    "position", "positions", "pos", "wpe", "type", "segment", "patch", "patches", "point", "points",
    "query", "level", "label", "labels", "time", "codebook",
})  # fmt: skip
OUTPUT_LAYERS = frozenset({
    "output", "out", "head", "decoder", "proj", "proj_out", "projector", "logits",
    "output_projection", "output_layer", "final_linear", "ff_out", "classifier", "generator", "fc",
    "readout",
})  # fmt: skip
# Layers whose names say that they multiply by a matrix, whatever they are part of.
_LINEAR = frozenset({
    "proj", "projs", "projection", "projections", "project", "projector", "mapping", "linear",
    "lin", "dense", "fc", "conv", "convolution", "mlp", "ffn", "qkv", "query", "key", "value",
    "attn", "attention", "gate", "expand", "reduction", "expert", "experts", "kernel", "dec", "enc",
})  # fmt: skip
_SINGLE = frozenset("qkvo")  # an attention's projections, where a letter names them
_TABLES = frozenset({"lut", "lookup", "shared", "wte", "wpe"})
# Tables too, of vectors that stand for no words of a vocabulary.
_LEARNED = frozenset({"token", "tokens", "queries", "codebook", "points"})
_OF_QUERIES = frozenset(
    {"embedder", "embed", "embeds", "embedding", "embeddings", "feat", "features", "pos"}
)
_PIXELS = frozenset({"patch", "patches", "pixel", "pixels"})
_EMBEDS = re.compile(r"(un)?embed\w*|emb|embs|\w*(embed|embeds|embedding|embeddings|embedder)")
_POSITIONS = frozenset({
    "pos", "position", "positions", "positional", "rel", "relative", "pe", "ape", "rpe",
    "pos_embed",
})  # fmt: skip
_NORMS = re.compile(r"ln|bn|gn|grn|rms|\w*norm|normali\w*")
_INTEGER = re.compile(r"BOOL|[IU]\d+")
# Also torch's recurrent layers ("bias_ih_l0") and attention ("bias_k").
_BIAS = re.compile(r"\w*bias([_\d]\w*)?|b([_\d]\w*)?")
_NAMED_WEIGHT = re.compile(r"\w*weight\w*|\w*kernel|w\d*|w_\w+|\w*proj\w*|v\d")
_TARGET = re.compile(r"_target\b|\btarget_")
_NUMBER, _NUMBERED = re.compile(r"\d+"), re.compile(r"\b\d+\b")
# A table of this shape, outside the numbered layers and without a bias, has a row a token.
_MANY_ROWS, _TALL, _WIDE = 1000, 8, 16
# So many rows, which only an embedding has beside it, are a vocabulary's, whatever the layer is
# called; fewer may be so by chance.
_VOCABULARY = 256


def words_of(name: str) -> frozenset[str]:
    """The letters-only words of a name in lower case: "h.0.ln_1.weight" has h, ln, weight."""
    return frozenset(re.findall("[a-z]+", name.lower()))


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
        """The words of the name (`words_of`)."""
        return words_of(self.name)

    @property
    def is_of_layer(self) -> bool:
        """Whether it is called as torch's layers call theirs, and not a parameter of its own."""
        return self.parameter in ("weight", "bias") and "." in self.name


def is_embedding(tensor: Tensor) -> bool:
    """Whether the name says that the tensor embeds tokens, positions or the like, or unembeds."""
    return bool(tensor.words & {"emb", "wte", "wpe"}) or any(
        word.startswith(("embed", "unembed")) or word.endswith(("embed", "embedding", "embeddings"))
        for word in tensor.words
    )


def is_bias(tensor: Tensor) -> bool:
    """Whether the tensor is named a bias."""
    return _BIAS.fullmatch(tensor.parameter) is not None


def is_integer(tensor: Tensor) -> bool:
    """Whether the tensor holds whole numbers or truth values."""
    return _INTEGER.fullmatch(tensor.dtype) is not None


def is_vector(tensor: Tensor) -> bool:
    """Whether a parameter of its own has values in one dimension only: (1, 1, d), (d, 1, 1)."""
    sides = [side for side in tensor.shape if side > 1]
    return not tensor.is_of_layer and len(tensor.shape) >= 3 and len(sides) <= 1


def is_named_weight(tensor: Tensor) -> bool:
    """Whether a parameter of its own is called as weights are: in_proj_weight, W_Q, w1, kernel."""
    return _NAMED_WEIGHT.fullmatch(tensor.parameter) is not None


def is_position_bias(tensor: Tensor) -> bool:
    """Whether the tensor embeds positions, or distances between them (T5, Swin, LeViT, SAM)."""
    named = words_of(tensor.module if tensor.is_of_layer else tensor.name)
    if {"relative", "bias"} <= named or tensor.parameter == "attention_biases":
        return True
    raw = not tensor.is_of_layer and not is_bias(tensor)
    words = re.split(r"[_\d]+", tensor.parameter)
    return raw and bool(_POSITIONS & set(words)) and not _LINEAR & set(words)


def is_linear_name(name: str) -> bool:
    """Whether a layer's own name says that it multiplies by a matrix."""
    words = re.findall("[a-z]+", name)
    return bool(words) and (bool(_LINEAR & {words[-1], words[0]}) or name in _SINGLE)


def names_embedding(name: str) -> bool:
    """Whether a layer's own name says that it is an embedding, and no map behind or before one."""
    words = re.findall("[a-z]+", name)
    embeds = any(_EMBEDS.fullmatch(word) for word in words) or bool(_TABLES & set(words))
    if words and words[0] in ("query", "queries"):
        return not _projects(words) and words[-1] in _OF_QUERIES
    return (embeds or bool(words and words[-1] in _LEARNED)) and not _projects(words)


def _projects(words: list[str]) -> bool:
    """Whether a name ends as maps' do: embedding_proj_layer, embedding_hidden_mapping_in."""
    behind = words[-2:-1] if words[-1] in ("layer", "in", "out") else []
    return bool(_LINEAR & {words[-1], *behind})


def names_norm(name: str) -> bool:
    """Whether a layer's own name says that it normalises."""
    words = re.findall("[a-z]+", name)
    return any(_NORMS.fullmatch(word) for word in words) and not _LINEAR & {words[-1]}


class Network:
    """All tensors of a checkpoint, for the rules that look beyond one tensor."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        """Take the tensors of one checkpoint."""
        self._tensors: Mapping[str, Tensor] = {t.name: t for t in tensors}
        two = [t for t in self._tensors.values() if len(t.shape) == 2]
        tables = [t for t in two if self.embeds(t) or self.is_tall_table(t)]
        self._vocabularies = {t.shape for t in tables if _is_vocabulary(t)}
        self._rows = {shape[0] for shape in self._vocabularies if shape[0] > shape[1]}
        self._outputs = self._only_of_vocabulary({t.name for t in tables})

    def shape(self, name: str) -> tuple[int, ...] | None:
        """The shape of the tensor of this name; None if there is none."""
        return self._tensors[name].shape if name in self._tensors else None

    def is_target_copy(self, tensor: Tensor) -> bool:
        """Whether it is of a network that follows another, as in Q-learning: `critic_target`."""
        plain = _TARGET.sub("", tensor.name)
        return plain != tensor.name and self.shape(plain) == tensor.shape

    def subject(self, tensor: Tensor) -> Tensor:
        """The weight of the layer that a bias belongs to; the tensor itself if it is no such."""
        if tensor.parameter != "bias":
            return tensor
        return self._tensors.get(f"{tensor.module}.weight", tensor)

    def has_bias(self, tensor: Tensor) -> bool:
        """Whether a bias stands beside the weight of a layer."""
        return tensor.parameter == "weight" and f"{tensor.module}.bias" in self._tensors

    def is_scale(self, module: str) -> bool:
        """Whether the layer only scales its input: its weight is a vector, or as its bias is."""
        weight, bias = self.shape(f"{module}.weight"), self.shape(f"{module}.bias")
        return weight is not None and (len(weight) == 1 or (len(weight) > 1 and weight == bias))

    def embeds(self, tensor: Tensor) -> bool:
        """Whether the tensor is a table of vectors that are looked up, by its name and shape.

        An embedding has no bias, and no kernel. A layer in a block of embeddings is one unless its
        own name says that it projects.
        """
        own = tensor.parameter
        names = [part for part in tensor.module.lower().split(".") if not part.isdigit()]
        layer = names[-1] if names else ""
        if not tensor.is_of_layer:
            named = names_embedding(own) or (names_embedding(layer) and not is_linear_name(own))
            return named and not is_bias(tensor)
        if own == "bias" or len(tensor.shape) > 2 or names_norm(layer):
            return False
        if self.has_bias(tensor) or len(tensor.shape) < 2 or words_of(layer) & _PIXELS:
            return False
        return names_embedding(layer) or (
            self.is_in_embeddings(tensor) and not is_linear_name(layer)
        )

    def is_in_embeddings(self, tensor: Tensor) -> bool:
        """Whether the two blocks around a layer are called embeddings, and not the layer itself."""
        parts = tensor.module.lower().split(".")
        return any(names_embedding(part) for part in parts[-3:-1]) and not names_embedding(
            parts[-1]
        )

    def is_output(self, tensor: Tensor) -> bool:
        """Whether the tensor is of an output layer that has the shape of a token embedding."""
        if tensor.layer not in OUTPUT_LAYERS or _NUMBERED.search(tensor.name):
            return False
        shape = self.shape(f"{tensor.module}.weight") or ()
        return shape in self._vocabularies or shape[::-1] in self._vocabularies

    def has_vocabulary_rows(self, tensor: Tensor) -> bool:
        """Whether it is the only layer beside the embedding with as many rows as it has tokens."""
        weight = self.subject(tensor)
        if weight.name not in self._outputs:
            return False
        named = bool(words_of(weight.layer) & OUTPUT_LAYERS) and not _NUMBERED.search(weight.name)
        return named or weight.shape[0] >= _VOCABULARY

    def is_tall_table(self, tensor: Tensor) -> bool:
        """Whether a layer's shape is that of a table of tokens, and it stands before all blocks."""
        rows, columns = (*tensor.shape, 0, 0)[:2]
        return (
            tensor.parameter == "weight"
            and len(tensor.shape) == 2
            and rows >= max(_MANY_ROWS, _TALL * columns)
            and columns >= _WIDE
            and not self.has_bias(tensor)
            and not is_linear_name(tensor.layer)
            and not _NUMBERED.search(tensor.name)
        )

    def _only_of_vocabulary(self, tables: set[str]) -> set[str]:
        """Weights with a vocabulary's rows, where no layers of other names have as many."""
        found: dict[int, set[str]] = {}
        names: dict[int, set[str]] = {}
        for tensor in self._tensors.values():
            if len(tensor.shape) != 2 or tensor.name in tables:
                continue
            for side in {s for s in tensor.shape if s in self._rows}:
                names.setdefault(side, set()).add(_NUMBER.sub("N", tensor.name))
                if side == tensor.shape[0]:
                    found.setdefault(side, set()).add(tensor.name)
        return set().union(*(found.get(s, set()) for s, n in names.items() if len(n) == 1))


def _is_vocabulary(table: Tensor) -> bool:
    """Whether a table may have a row a token, so that an output layer of its shape unembeds."""
    words = re.findall("[a-z]+", table.layer)
    learned = bool(words) and words[-1] in _LEARNED and not words[0].startswith("embed")
    return not (table.words & NO_TOKENS or learned or table.shape[0] == table.shape[1])
