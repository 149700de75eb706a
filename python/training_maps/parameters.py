"""Which tensors of a checkpoint count: weight matrices, biases, and what is left out, with reasons.

Hu et al. 2023, Appendix B: the metrics are those of weight matrices and biases; embeddings,
unembeddings and normalisation layers are left out of everything. What a tensor is follows from its
name, type and shape, by the first of `RULES` that applies. How a weight tensor splits into matrices
follows from `LAYOUTS`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from training_maps.errors import InputError

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
    def parameter(self) -> str:
        """The last part of the name in lower case: what the tensor is to its layer."""
        return self.name.rpartition(".")[2].lower()

    @cached_property
    def words(self) -> frozenset[str]:
        """The letters-only words of the name in lower case: "h.0.ln_1.weight" has h, ln, weight."""
        return frozenset(re.findall("[a-z]+", self.name.lower()))


class MatrixSpec(NamedTuple):
    """A row-major tensor viewed as `n_blocks` consecutive matrices of `rows` x `cols`."""

    tensor: str
    n_blocks: int
    rows: int
    cols: int


@dataclass(frozen=True)
class Rule:
    """What tensors are for which `applies(tensor, shapes)` holds; `shapes` has all by name."""

    kind: Kind
    reason: str
    applies: Callable[[Tensor, Mapping[str, tuple[int, ...]]], bool]


@dataclass(frozen=True)
class Decision:
    """What a tensor counts as, why, and for a weight how it is viewed as matrices."""

    tensor: Tensor
    kind: Kind
    reason: str
    matrix: MatrixSpec | None = None


@dataclass(frozen=True)
class ParameterSelection:
    """The decision on every tensor of a checkpoint, in the order given."""

    decisions: tuple[Decision, ...]

    @property
    def matrices(self) -> list[MatrixSpec]:
        """The tensors that hold weight matrices."""
        return [decision.matrix for decision in self.decisions if decision.matrix is not None]

    @property
    def biases(self) -> list[str]:
        """Names of the bias tensors."""
        return [d.tensor.name for d in self.decisions if d.kind == "bias"]

    @property
    def left_out(self) -> dict[str, str]:
        """Reason by name of each tensor that does not count."""
        return {d.tensor.name: d.reason for d in self.decisions if d.kind == "left out"}


_BUFFERS = {"running_mean", "running_var", "num_batches_tracked", "inv_freq", "masked_bias"}
_INTEGER = re.compile(r"BOOL|[IU]\d+")
# Also torch's recurrent layers ("bias_ih_l0") and attention ("bias_k").
_BIAS = re.compile(r"\w*bias([_\d]\w*)?|b([_\d]\w*)?")


def _is_normalisation(tensor: Tensor, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    if tensor.words & {"ln", "bn"} or any(
        word.endswith("norm") or word.startswith("normali") for word in tensor.words
    ):
        return True
    # Whatever its name (say "downsample.1"), a layer whose weight is a vector only scales.
    return len(shapes.get(f"{tensor.module}.weight", (0, 0))) == 1


def _is_embedding(tensor: Tensor) -> bool:
    return (
        any(word.startswith(("embed", "unembed")) for word in tensor.words)
        or bool(tensor.words & {"wte", "wpe"})
        or "lm_head" in tensor.name.split(".")
    )


def _is_bias(tensor: Tensor) -> bool:
    return _BIAS.fullmatch(tensor.parameter) is not None


def _is_stack_of_squares(tensor: Tensor) -> bool:
    return len(tensor.shape) > 2 and tensor.shape[-1] == tensor.shape[-2]


RULES: tuple[Rule, ...] = (
    Rule("left out", "has no values", lambda t, _: math.prod(t.shape) == 0),
    Rule("left out", "integers", lambda t, _: _INTEGER.fullmatch(t.dtype) is not None),
    Rule("left out", "a buffer, not trained", lambda t, _: t.parameter in _BUFFERS),
    Rule("left out", "a mask", lambda t, _: "mask" in t.words),
    # GPT-2 keeps its causal mask as ".attn.bias" of shape (1, 1, n, n).
    Rule("left out", "a mask", lambda t, _: _is_bias(t) and _is_stack_of_squares(t)),
    Rule("left out", "embedding or unembedding", lambda t, _: _is_embedding(t)),
    Rule("left out", "normalisation layer", _is_normalisation),
    Rule("bias", "named a bias", lambda t, _: _is_bias(t) and len(t.shape) > 0),
    Rule("weight", "two or more dimensions", lambda t, _: len(t.shape) >= 2),
    Rule("left out", "neither a matrix nor named a bias", lambda _t, _s: True),
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


def select_parameters(
    tensors: Iterable[tuple[str, str, Iterable[int]]], where: object = "checkpoint"
) -> ParameterSelection:
    """Decide for each tensor whether it is a weight, a bias, or left out.

    Args:
        tensors: name, dtype (as safetensors names it: "F32", "I64", ...) and shape of each.
        where: what they come from, for the error message.

    Returns:
        The decisions, sorted by tensor name.

    Raises:
        InputError: if no tensor is a weight matrix.
    """
    described = sorted(
        (Tensor(name, dtype, tuple(shape)) for name, dtype, shape in tensors),
        key=lambda tensor: tensor.name,
    )
    shapes = {tensor.name: tensor.shape for tensor in described}
    selection = ParameterSelection(tuple(_decide(tensor, shapes) for tensor in described))
    if not selection.matrices:
        found = ", ".join(f"{name} ({reason})" for name, reason in selection.left_out.items())
        raise InputError(
            f"{where}: no weight matrix among its {len(described)} tensors; expected a tensor of "
            f"two or more dimensions that is no embedding and no normalisation layer. Left out: "
            f"{found or 'none'}"
        )
    return selection


def _decide(tensor: Tensor, shapes: Mapping[str, tuple[int, ...]]) -> Decision:
    rule = next(rule for rule in RULES if rule.applies(tensor, shapes))
    if rule.kind != "weight":
        return Decision(tensor, rule.kind, rule.reason)
    layout = next(layout for layout in LAYOUTS if layout.applies(tensor))
    matrix = MatrixSpec(tensor.name, *layout.view(tensor.shape))
    return Decision(tensor, "weight", layout.name, matrix)
