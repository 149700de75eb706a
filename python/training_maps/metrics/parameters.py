"""Which tensors of a checkpoint count: weight matrices, biases, and what is left out, with reasons.

Hu et al. 2023, Appendix B: the metrics are those of weight matrices and biases; embeddings,
unembeddings and normalisation layers are left out of everything. What a tensor is follows from its
name, type and shape, by the rules of `tensor_rules`, unless patterns (`Overrides`) say otherwise.
"""

from __future__ import annotations

import difflib
import math
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from training_maps.metrics.module_types import NO_MODULES, TensorOfModule
from training_maps.metrics.tensor_names import Network, Tensor, is_integer
from training_maps.metrics.tensor_rules import (
    INTEGERS,
    LAYOUTS,
    RULES,
    Kind,
    is_quantised,
    is_transposed,
)
from training_maps.utils.errors import InputError


class MatrixSpec(NamedTuple):
    """A row-major tensor viewed as `n_blocks` consecutive matrices of `rows` x `cols`."""

    tensor: str
    n_blocks: int
    rows: int
    cols: int


@dataclass(frozen=True)
class Decision:
    """What a tensor counts as, why, and for a weight how it is viewed as matrices.

    `assumed` says that names and shapes leave it open; the reason says what was taken to be so.
    """

    tensor: Tensor
    kind: Kind
    reason: str
    matrix: MatrixSpec | None = None
    assumed: bool = False


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

    def n_values(self, kind: Kind) -> int:
        """How many numbers the tensors of one kind hold."""
        return sum(math.prod(d.tensor.shape) for d in self.decisions if d.kind == kind)


@dataclass(frozen=True)
class Overrides:
    """Patterns on tensor names that overrule the rules, as in `fnmatch`: * matches dots too.

    `left_out` goes before `biases`, and that before `weights`. `blocks` says of weights into how
    many matrices their rows fall, each of as many consecutive rows: heads of a projection, or
    query, key and value of a fused one.
    """

    weights: tuple[str, ...] = ()
    biases: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    blocks: tuple[tuple[str, int], ...] = ()

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Overrides:
        """The section `parameters` of an experiment: lists of patterns, and `blocks` by pattern."""
        return cls(
            tuple(settings.get("weights", ())),
            tuple(settings.get("biases", ())),
            tuple(settings.get("left_out", ())),
            tuple(sorted(settings.get("blocks", {}).items())),
        )

    @classmethod
    def from_arguments(cls, arguments: Namespace) -> Overrides:
        """What the options that `add_arguments` declares say.

        Raises:
            InputError: if --blocks is not PATTERN=NUMBER.
        """
        blocks = []
        for text in arguments.blocks:
            pattern, separator, number = text.rpartition("=")
            if not separator or not number.isascii() or not number.isdigit() or int(number) < 1:
                raise InputError(
                    f"--blocks {text}: expected PATTERN=NUMBER, such as '*.query.weight=12'"
                )
            blocks.append((pattern, int(number)))
        return cls(
            tuple(arguments.weights),
            tuple(arguments.biases),
            tuple(arguments.left_out),
            tuple(blocks),
        )

    def to_arguments(self) -> list[str]:
        """The options of the command line that say the same."""
        options = {
            "--weights": list(self.weights),
            "--biases": list(self.biases),
            "--left-out": list(self.left_out),
            "--blocks": [f"{pattern}={number}" for pattern, number in self.blocks],
        }
        return [word for option, values in options.items() if values for word in (option, *values)]


NO_OVERRIDES = Overrides()


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options that overrule the rules, for every command that selects tensors."""
    group = parser.add_argument_group(
        "which tensors count",
        "patterns on tensor names that overrule the rules; 'training-maps inspect' shows the rest",
    )
    for option, meaning in (
        ("--weights", "tensors that are weight matrices"),
        ("--biases", "tensors that are biases"),
        ("--left-out", "tensors that do not count"),
    ):
        group.add_argument(option, nargs="+", default=[], metavar="PATTERN", help=meaning)
    group.add_argument(
        "--blocks", nargs="+", default=[], metavar="PATTERN=NUMBER",
        help="weights whose rows fall into that many matrices, such as heads",
    )  # fmt: skip


def select_parameters(
    tensors: Iterable[tuple[str, str, Iterable[int]]],
    where: object = "checkpoint",
    overrides: Overrides = NO_OVERRIDES,
    modules: Mapping[str, TensorOfModule] = NO_MODULES,
) -> ParameterSelection:
    """Decide for each tensor whether it is a weight, a bias, or left out.

    Args:
        tensors: name, dtype (as safetensors names it: "F32", "I64", ...) and shape of each.
        where: what they come from, for the error message.
        overrides: patterns that overrule the rules.
        modules: what a side file says of the tensors; it goes before the rules.

    Returns:
        The decisions, sorted by tensor name.

    Raises:
        InputError: if no tensor is a weight matrix; if weights are quantised; or if a pattern of
            `overrides` matches nothing, or something that cannot be what it says.
    """
    selection = decide(tensors, where, overrides, modules)
    _check_quantised(selection, where)
    if not selection.matrices:
        found = ", ".join(f"{name} ({reason})" for name, reason in selection.left_out.items())
        raise InputError(
            f"{where}: no weight matrix among its {len(selection.decisions)} tensors; expected a "
            "tensor of two or more dimensions that is no embedding and no normalisation layer. If "
            "one of them is a weight all the same, name it in the section 'parameters' of the "
            f"experiment, or with --weights. Left out: {found or 'none'}"
        )
    return selection


def decide(
    tensors: Iterable[tuple[str, str, Iterable[int]]],
    where: object = "checkpoint",
    overrides: Overrides = NO_OVERRIDES,
    modules: Mapping[str, TensorOfModule] = NO_MODULES,
) -> ParameterSelection:
    """What `select_parameters` gives, even if nothing counts."""
    described = sorted(
        (Tensor(name, dtype, tuple(shape)) for name, dtype, shape in tensors),
        key=lambda tensor: tensor.name,
    )
    _check_patterns(overrides, [tensor.name for tensor in described], where)
    network = Network(described)
    decisions = [
        _decide(tensor, network, overrides, where, modules.get(tensor.name)) for tensor in described
    ]
    return ParameterSelection(_in_blocks(decisions, overrides, where))


def _decide(
    tensor: Tensor,
    network: Network,
    overrides: Overrides,
    where: object,
    module: TensorOfModule | None,
) -> Decision:
    kind, reason = _overruled(tensor, overrides, where)
    if kind is None and module is not None and module.fits(tensor):
        kind, reason = module.kind, module.reason
    named, assumed = "" if kind is None else f"{reason}: ", False
    if kind is None:
        rule = next(rule for rule in RULES if rule.applies(tensor, network))
        kind, reason, assumed = rule.kind, rule.reason, rule.assumed
    if kind != "weight":
        return Decision(tensor, kind, reason, None, assumed)
    layout = next(layout for layout in LAYOUTS if layout.applies(tensor))
    matrix = MatrixSpec(tensor.name, *layout.view(tensor.shape))
    return Decision(
        tensor, "weight", f"{named}{layout.name}", matrix, assumed or (layout.assumed and not named)
    )


def _check_quantised(selection: ParameterSelection, where: object) -> None:
    """Refuse whole numbers in the place of weights, which nothing but their scale makes weights."""
    for decision in selection.decisions:
        tensor = decision.tensor
        if decision.reason == INTEGERS and is_quantised(tensor):
            raise InputError(
                f"{where}: the weights are quantised: '{tensor.name}' is of type {tensor.dtype}. "
                "Metrics are of floats, and neither the numbers nor their scale alone are the "
                "weights. Write them as floats first, for instance with transformers: "
                "model.dequantize().save_pretrained(folder); or leave these layers out with "
                "--left-out, or parameters.left_out"
            )


def _overruled(tensor: Tensor, overrides: Overrides, where: object) -> tuple[Kind | None, str]:
    """What the patterns say of a tensor, and which of them; None if nothing."""
    kinds: tuple[tuple[Kind, str, tuple[str, ...], int], ...] = (
        ("left out", "left_out", overrides.left_out, 0),
        ("bias", "biases", overrides.biases, 1),
        ("weight", "weights", overrides.weights, 2),
    )
    for kind, key, patterns, dimensions in kinds:
        pattern = next((p for p in patterns if fnmatchcase(tensor.name, p)), None)
        if pattern is None:
            continue
        if kind != "left out" and (
            is_integer(tensor) or len(tensor.shape) < dimensions or not math.prod(tensor.shape)
        ):
            raise InputError(
                f"{where}: parameters.{key}: {pattern!r} matches {tensor.name}, which is no "
                f"{kind}: its type is {tensor.dtype} and its shape {tensor.shape}; expected floats "
                f"in at least {dimensions} dimension{'s' * (dimensions > 1)}. Make the pattern "
                "narrower, or name the tensor in left_out"
            )
        return kind, f"parameters.{key} {pattern!r}"
    return None, ""


def _in_blocks(
    decisions: Iterable[Decision], overrides: Overrides, where: object
) -> tuple[Decision, ...]:
    """The decisions with the rows of those weights split that `overrides.blocks` names."""
    decisions = tuple(decisions)
    done: set[str] = set()
    for pattern, n_blocks in overrides.blocks:
        weights = [d for d in decisions if d.matrix and fnmatchcase(d.tensor.name, pattern)]
        if not weights:
            raise InputError(
                f"{where}: parameters.blocks: {pattern!r} matches no weight; the tensors that it "
                "matches are biases or left out"
            )
        split = {
            d.tensor.name: _split(d, pattern, n_blocks, where, d.tensor.name in done)
            for d in weights
        }
        done |= set(split)
        decisions = tuple(split.get(d.tensor.name, d) for d in decisions)
    return decisions


def _split(
    decision: Decision, pattern: str, n_blocks: int, where: object, is_split: bool
) -> Decision:
    """The decision with the rows of its matrix in blocks; refused if they are split already."""
    matrix = decision.matrix
    assert matrix is not None
    fault = None
    if is_split:
        fault = "another pattern of blocks names it too"
    elif is_transposed(decision.tensor):
        fault = "GPT-2 stores its layers transposed, so that heads are columns and not rows"
    elif matrix.rows % n_blocks:
        fault = f"its {matrix.rows} rows do not fall into {n_blocks} equal blocks"
    if fault:
        raise InputError(
            f"{where}: parameters.blocks: {pattern!r}: {decision.tensor.name} cannot be split into "
            f"{n_blocks}: {fault}"
        )
    rows = matrix.rows // n_blocks
    reason = f"{decision.reason}; parameters.blocks {pattern!r}: blocks of {rows} rows"
    split = MatrixSpec(matrix.tensor, matrix.n_blocks * n_blocks, rows, matrix.cols)
    return Decision(decision.tensor, decision.kind, reason, split, decision.assumed)


def _check_patterns(overrides: Overrides, names: list[str], where: object) -> None:
    """Refuse a pattern that matches no name: it is a slip of the pen, or for another network."""
    patterns = {
        "weights": overrides.weights,
        "biases": overrides.biases,
        "left_out": overrides.left_out,
        "blocks": tuple(pattern for pattern, _ in overrides.blocks),
    }
    for key, of_key in patterns.items():
        for pattern in of_key:
            if any(fnmatchcase(name, pattern) for name in names):
                continue
            near = difflib.get_close_matches(pattern.strip("*"), names, n=3, cutoff=0.3)
            raise InputError(
                f"{where}: parameters.{key}: the pattern {pattern!r} matches none of its "
                f"{len(names)} tensors; the nearest are {', '.join(near or names[:3]) or 'none'}"
            )
