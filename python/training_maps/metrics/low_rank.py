"""Metrics of products of two thin factors, W = scale B A, without a singular value of W itself.

With B = Q R and Aᵀ = P S, the singular values of W that are not 0 are those of the small matrix
scale R Sᵀ. Sums of entries are taken of W a few rows at a time, so that no W is ever in memory
whole, and the median of all weights is found by counting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from training_maps.metrics.definitions import BIAS_COLUMNS, MATRIX_COLUMNS
from training_maps.metrics.parameters import ParameterSelection
from training_maps.runs.formats import OpenCheckpoint

if TYPE_CHECKING:
    from training_maps._rust_metrics import CheckpointFailure

Floats = NDArray[np.float64]

# So many entries of a product are made at a time.
_ENTRIES = 1 << 22
# Up to so many weights are sorted for their median; more are counted, four times.
_SORTED = 1 << 24
_WORST_SHARE = 4

# Of what a small matrix has the same as the product with its singular values.
_SPECTRAL = ("stable_rank", "effective_rank", "tail_exponent", "lambda_max")


@dataclass(frozen=True)
class LowRank:
    """A product scale B A, of b (m, r) and a (r, n)."""

    b: Floats
    a: Floats
    scale: float

    @property
    def size(self) -> int:
        """How many entries the product has."""
        return len(self.b) * self.a.shape[1]

    @property
    def is_thin(self) -> bool:
        """Whether its rank is so small that the factors are the shorter way."""
        return _WORST_SHARE * len(self.a) <= min(len(self.b), self.a.shape[1])

    def core(self) -> Floats:
        """(r, r): a matrix with the product's singular values that are not 0."""
        _, left = np.linalg.qr(self.b)
        _, right = np.linalg.qr(self.a.T)
        return self.scale * (left @ right.T)

    def rows(self) -> Iterator[Floats]:
        """The product, a few rows at a time."""
        step = max(1, _ENTRIES // self.a.shape[1])
        for start in range(0, len(self.b), step):
            yield self.scale * (self.b[start : start + step] @ self.a)

    def trace(self) -> float:
        """The sum of the main diagonal."""
        p = min(len(self.b), self.a.shape[1])
        return self.scale * float(np.einsum("ir,ri->", self.b[:p], self.a[:, :p]))


@dataclass(frozen=True)
class _Failure:
    """What the extension says of a checkpoint without metrics."""

    tensor: str | None
    message: str
    kind: Literal["non_finite", "unreadable", "invalid"] = "non_finite"


def factored_metrics(
    opened: OpenCheckpoint,
    selection: ParameterSelection,
    threads: int,
    *,
    tails: bool,
    matrices: bool = False,
) -> tuple[list[tuple[str, float]], Floats | None] | CheckpointFailure | None:
    """The metrics of a checkpoint with products of thin factors among its weights.

    Returns:
        Column and value of each; with `matrices` those of each matrix, (n_matrices, n_columns), in
        the order of the selection; or what is not finite, as the extension gives them. None if no
        weight is such a product.
    """
    from training_maps._rust_metrics import array_metrics

    made = {weight.name: weight for weight in opened.derived if weight.scale is not None}
    products: dict[str, LowRank] = {}
    others = []
    for matrix in selection.matrices:
        weight = made.get(matrix.tensor)
        if weight is None or weight.scale is None or matrix.n_blocks > 1:
            others.append(matrix)
            continue
        b, a = opened.doubles(weight.parts)
        product = LowRank(b.reshape(len(b), -1), a.reshape(len(a), -1), weight.scale)
        if not product.is_thin:
            return None
        if not (np.isfinite(b).all() and np.isfinite(a).all()):
            return _failure(matrix.tensor)
        products[matrix.tensor] = product
    if not products:
        return None
    values = dict(
        zip(names := [m.tensor for m in others], whole_tensors(opened, names), strict=True)
    )
    weights: list[LowRank | Floats] = []
    for matrix in selection.matrices:
        if matrix.tensor in products:
            weights.append(products[matrix.tensor])
        else:
            weights += list(values[matrix.tensor].reshape(matrix[1:]))
    biases = [bias.reshape(-1) for bias in whole_tensors(opened, selection.biases)]
    for name, one in (*values.items(), *zip(selection.biases, biases, strict=True)):
        if not np.isfinite(one).all():
            return _failure(name)

    def measure(weights: Sequence[Floats], biases: Sequence[Floats]) -> dict[str, float]:
        return dict(array_metrics(list(weights), list(biases), threads, tails))

    found, each = low_rank_metrics(weights, biases, measure, matrices=matrices)
    if not matrices:
        return list(found.items()), None
    rows = [[one.get(column, np.nan) for column in MATRIX_COLUMNS] for one in each]
    return list(found.items()), np.array(rows)


def _failure(tensor: str) -> CheckpointFailure:
    message = f"tensor '{tensor}' has a value that is not finite"
    return _Failure(tensor, message)  # type: ignore[return-value]


def whole_tensors(opened: OpenCheckpoint, names: Sequence[str]) -> list[Floats]:
    """The named tensors in float64, those too that are made of parts."""
    made = {weight.name: weight for weight in opened.derived}
    return [
        made[name].make(*opened.doubles(made[name].parts))
        if name in made
        else opened.doubles([name])[0]
        for name in names
    ]


def low_rank_metrics(
    weights: Sequence[LowRank | Floats],
    biases: Sequence[Floats],
    measure: Callable[[Sequence[Floats], Sequence[Floats]], dict[str, float]],
    *,
    matrices: bool = False,
) -> tuple[dict[str, float], list[dict[str, float]]]:
    """What `measure` would give of all weights if the products among them were formed.

    Args:
        weights: the weight matrices, (rows, cols) each, or products that have such a shape.
        biases: the biases.
        measure: the metrics of matrices and biases in memory, by column.
        matrices: whether mean, median and variance of each product's weights are wanted too.

    Returns:
        Value by column, as the extension gives them; and the same of each matrix by itself.
    """
    each = []
    for weight in weights:
        if isinstance(weight, LowRank):
            one = _of_one(weight, measure)
            each.append(one | (_of_all(weight.rows) if matrices else {}))
        else:
            each.append(measure([weight], []))
    columns = dict.fromkeys(column for one in each for column in one)
    found = {
        column: float(np.mean([one[column] for one in each if column in one])) for column in columns
    }

    def chunks() -> Iterator[Floats]:
        for weight in weights:
            yield from weight.rows() if isinstance(weight, LowRank) else [weight]

    found |= _of_all(chunks)
    if biases:
        others = [weight for weight in weights if not isinstance(weight, LowRank)]
        found |= {c: v for c, v in measure(others or [np.ones((1, 1))], biases).items()
                  if c in BIAS_COLUMNS}  # fmt: skip
    return found, each


def _of_one(
    product: LowRank, measure: Callable[[Sequence[Floats], Sequence[Floats]], dict[str, float]]
) -> dict[str, float]:
    """The metrics of one product that are averaged over matrices."""
    core = product.core()
    values = np.linalg.svd(core, compute_uv=False)
    l1, l2 = (
        sum(float(np.abs(rows).sum()) for rows in product.rows()),
        float(np.linalg.norm(values)),
    )
    largest, trace = float(values[0]), product.trace()
    n_values = min(len(product.b), product.a.shape[1])
    mean = float(values.sum()) / n_values
    spectral = measure([core], [])  # zeros add nothing to ranks and tails
    return {
        "l1": l1,
        "l2": l2,
        "l1_over_l2": l1 / l2 if l2 else 0.0,
        "trace": trace,
        "trace_over_lambda_max": trace / largest if largest else 0.0,
        "mean_lambda": mean,
        "var_lambda": float((values**2).sum()) / n_values - mean**2,
        **{column: spectral[column] for column in _SPECTRAL if column in spectral},
    }


def _of_all(chunks: Callable[[], Iterator[Floats]]) -> dict[str, float]:
    """Mean, variance and median of all weights."""
    n, total, squares = 0, 0.0, 0.0
    for chunk in chunks():
        n += chunk.size
        total += float(chunk.sum())
    mean = total / n
    for chunk in chunks():
        squares += float(((chunk - mean) ** 2).sum())
    return {"mean_w": mean, "var_w": squares / n, "median_w": median(chunks, n)}


def median(chunks: Callable[[], Iterator[Floats]], n: int) -> float:
    """The median of the n numbers in `chunks()`, which are gone through once or more."""
    if n <= _SORTED:
        return float(np.median(np.concatenate([chunk.ravel() for chunk in chunks()])))
    return (_at(chunks, (n - 1) // 2) + _at(chunks, n // 2)) / 2


def _at(chunks: Callable[[], Iterator[Floats]], place: int) -> float:
    """The number at a place in ascending order, by the bits of its leading digits, 16 at a time."""
    prefix, known = np.uint64(0), 0
    while known < 64:
        counts = np.zeros(1 << 16, dtype=np.int64)
        shift = np.uint64(48 - known)
        for chunk in chunks():
            keys = _keys(chunk)
            if known:
                keys = keys[(keys >> np.uint64(64 - known)) == prefix]
            digits = (keys >> shift) & np.uint64(0xFFFF)
            counts += np.bincount(digits.astype(np.int64), minlength=1 << 16)
        below = np.cumsum(counts)
        digit = int(np.searchsorted(below, place, side="right"))
        place -= int(below[digit - 1]) if digit else 0
        prefix = (prefix << np.uint64(16)) | np.uint64(digit)
        known += 16
    bits = prefix ^ (np.uint64(1 << 63) if prefix >> np.uint64(63) else ~np.uint64(0))
    return float(np.asarray(bits, dtype=np.uint64).view(np.float64))


def _keys(chunk: Floats) -> np.ndarray:
    """Whole numbers in the order of the floats: the sign's bit turned, or all bits."""
    bits = np.ascontiguousarray(chunk + 0.0, dtype=np.float64).ravel().view(np.uint64)
    negative = (bits >> np.uint64(63)).astype(bool)
    return np.where(negative, ~bits, bits ^ np.uint64(1 << 63))
