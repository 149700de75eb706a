"""The table of layers that users of WeightWatcher know, under its names and by its rules.

Martin, Peng and Mahoney 2021, "Predicting trends in the quality of state-of-the-art neural networks
without access to training or testing data"; the rules are those of WeightWatcher 0.7.7's `analyze`
with its defaults. They differ from this package's metrics in three ways: eigenvalues up to 1e-5 are
no part of the tail; fewer than 20 have an exponent too, with a correction; and a convolution is the
eigenvalues of its (out, in) slices together, halved. Tensors that do not count here, such as
embeddings, have no row.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training_maps.metrics.low_rank import whole_tensors
from training_maps.metrics.module_types import modules_beside
from training_maps.metrics.parameters import NO_OVERRIDES, Decision, Overrides, select_parameters
from training_maps.runs.checkpoints import Checkpoint
from training_maps.runs.formats import CheckpointReader, find_checkpoints
from training_maps.utils.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

#: The columns; all but `step` are WeightWatcher's.
COLUMNS = (
    "step", "layer_id", "longname", "N", "M", "rf", "Q", "num_evals", "alpha", "alpha_weighted",
    "log_alpha_norm", "log_norm", "log_spectral_norm", "norm", "spectral_norm", "stable_rank",
    "matrix_rank", "rank_loss", "entropy", "lambda_max", "sv_max", "sv_min", "D", "sigma", "xmin",
    "xmax", "num_pl_spikes", "warning",
)  # fmt: skip

# Smaller eigenvalues are no part of a tail.
_SMALLEST = 1e-5
# Layers with fewer eigenvalues have no row.
_FEWEST = 8
# With fewer in the tail the exponent is corrected for its bias, and no tail is shorter than 8.
_FEW, _SHORTEST = 20, 8
# Added to shares, so that 0 has a logarithm.
_SHARE = 1e-10
_OVER_TRAINED, _UNDER_TRAINED = 2.0, 6.0


def weightwatcher_table(
    source: str | os.PathLike[str],
    *,
    state_dict_key: str | None = None,
    overrides: Overrides = NO_OVERRIDES,
) -> pd.DataFrame:
    """WeightWatcher's table of the layers of one checkpoint, or of every one of a run.

    Args:
        source: as `metrics.compute.layer_metrics` takes it.
        state_dict_key: the key that torch files have the network's state dict under.
        overrides: patterns that say which tensors count.

    Returns:
        One row for each checkpoint and layer, with `COLUMNS`. `layer_id` counts the layers from 0
        on, in the order of their names; a tensor of several matrices has a row for each, called
        `longname[0]` and so on. NaN stands for what a layer without a tail has not.

    Raises:
        InputError: if a checkpoint cannot be read, nothing in it counts, or a value is not finite.
    """
    import pandas as pd

    reader = CheckpointReader(state_dict_key)
    rows: list[dict[str, Any]] = []
    for checkpoint in find_checkpoints(source).checkpoints:
        found = enumerate(_layers(reader, checkpoint, overrides))
        rows += [
            {"step": checkpoint.step, "layer_id": i, "longname": name, **layer_row(slices, scale)}
            for i, (name, slices, scale) in found
            if min(slices[0].shape) * len(slices) >= _FEWEST
        ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _layers(
    reader: CheckpointReader, checkpoint: Checkpoint, overrides: Overrides
) -> Iterator[tuple[str, list[Floats], float]]:
    """Name, matrices and the scale of their eigenvalues, of each layer of a checkpoint."""
    path = checkpoint.path
    opened = reader.open(path)
    selection = select_parameters(opened.description, path, overrides, modules_beside(path))
    for decision in selection.decisions:
        if decision.matrix is None:
            continue
        [values] = whole_tensors(opened, [decision.tensor.name])
        if not np.isfinite(values).all():
            raise InputError(f"{path}: {decision.tensor.name} has a value that is not finite")
        name = decision.tensor.name.removesuffix(".weight")
        slices = _slices_of_kernel(decision, values)
        if slices:
            yield name, slices, 0.5
            continue
        blocks = values.reshape(decision.matrix[1:])
        for i, block in enumerate(blocks):
            yield (name if len(blocks) == 1 else f"{name}[{i}]"), [block], 1.0


def _slices_of_kernel(decision: Decision, values: Floats) -> list[Floats]:
    """The (out, in) or (in, out) slices of a two-dimensional convolution; none of other layers."""
    if values.ndim != 4 or decision.matrix is None or decision.matrix.n_blocks > 1:
        return []
    if decision.reason.endswith("kernel: (in, out)"):
        return list(values.reshape(-1, *values.shape[2:]))
    return [values[:, :, i, j] for i in range(values.shape[2]) for j in range(values.shape[3])]


def layer_row(slices: list[Floats], scale: float = 1.0) -> dict[str, Any]:
    """What WeightWatcher says of a layer.

    Args:
        slices: its matrices, all (rows, cols): one, or those of a convolution.
        scale: what eigenvalues are multiplied by; 1/2 for convolutions.
    """
    longer, shorter = max(slices[0].shape), min(slices[0].shape)
    spectra = [np.linalg.svd(one, compute_uv=False) * np.sqrt(scale) for one in slices]
    values = np.sort(np.concatenate(spectra))
    evals = values**2
    norm, largest = float(evals.sum()), float(evals[-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        tail = fit_tail(evals)
        row = {
            "N": longer, "M": shorter, "rf": len(slices), "Q": longer / shorter,
            "num_evals": len(evals),
            "alpha": tail.alpha,
            "alpha_weighted": tail.alpha * np.log10(largest),
            "log_alpha_norm": np.log10(np.sum(evals**tail.alpha)),
            "log_norm": np.log10(norm),
            "log_spectral_norm": np.log10(largest),
            "norm": norm,
            "spectral_norm": largest,
            "stable_rank": norm / largest if largest else 0.0,
            "matrix_rank": _rank(values, longer),
            "rank_loss": sum(len(one) - _rank(one, longer) for one in spectra),
            "entropy": _entropy(evals, _rank(values, longer)),
            "lambda_max": largest,
            "sv_max": max(float(one.max()) for one in spectra),
            "sv_min": max(float(one.min()) for one in spectra),
        }  # fmt: skip
    return row | {
        "D": tail.distance, "sigma": tail.sigma, "xmin": tail.start, "xmax": tail.end,
        "num_pl_spikes": int((evals >= tail.start).sum()), "warning": _warning(tail.alpha),
    }  # fmt: skip


@dataclass(frozen=True)
class Tail:
    """A power law x^-alpha fitted to the largest eigenvalues, from `start` to `end`.

    Attributes:
        alpha: the exponent; NaN, as all else, if there is no tail.
        sigma: its standard error.
        distance: Kolmogorov and Smirnov's, between the tail and its fit.
        start: the smallest eigenvalue of the tail.
        end: the largest.
    """

    alpha: float = np.nan
    sigma: float = np.nan
    distance: float = np.nan
    start: float = np.nan
    end: float = np.nan


def fit_tail(evals: Floats) -> Tail:
    """The tail of eigenvalues (n,): Clauset, Shalizi and Newman 2009, by WeightWatcher's rules."""
    data = np.sort(evals[evals > _SMALLEST])
    n = len(data)
    if n < 2 or data[0] == data[-1]:
        return Tail()
    few = n < _FEW
    logarithms = np.log(data)
    sizes = n - np.arange(n - 1)
    sums = np.cumsum(logarithms[::-1])[::-1][:-1] - sizes * logarithms[:-1]
    alphas = 1 + (sizes - few) / np.where(sums > 0, sums, np.nan)
    distances = np.ones(n - 1)
    for i, (alpha, size) in enumerate(zip(alphas, sizes, strict=True)):
        if alpha > 1 and not (few and i > 0 and size < _SHORTEST):
            fitted = 1 - (data[i:] / data[i]) ** (1 - alpha)
            distances[i] = np.abs(fitted - np.arange(size) / size).max()
    best = int(distances.argmin())
    alpha = float(alphas[best])
    return Tail(
        alpha, (alpha - 1) / np.sqrt(sizes[best]), float(distances[best]), data[best], data[-1]
    )


def _rank(values: Floats, side: int) -> int:
    """How many singular values are more than rounding makes of 0."""
    return int(np.count_nonzero(values > values.max() * side * np.finfo(np.float64).eps))


def _entropy(evals: Floats, rank: int) -> float:
    """The entropy of the eigenvalues' shares, over that of `rank` equal ones."""
    shares = evals / evals.sum() + _SHARE
    return float(-np.sum(shares * np.log(shares)) / np.log(rank + _SHARE))


def _warning(alpha: float) -> str:
    if alpha < _OVER_TRAINED:
        return "over-trained"
    return "under-trained" if alpha > _UNDER_TRAINED else ""
