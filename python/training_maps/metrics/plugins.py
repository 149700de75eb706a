"""Metrics that users add: functions of a checkpoint's tensors, found by their entry points.

A distribution that is installed beside this one says in its pyproject.toml

    [project.entry-points."training_maps.metrics"]
    nuclear_norm = "my_metrics:nuclear_norm"

and `nuclear_norm(weights, biases)` is a metric of that name, computed where `metrics.columns` asks
for it. It gets the weight matrices (rows, cols) and the biases (n,) that the other metrics are
computed of, in float64 and read-only, and returns a number; NaN says that the metric is missing at
the checkpoint.
"""

from __future__ import annotations

import json
import numbers
import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training_maps.utils.errors import InputError

if TYPE_CHECKING:
    from training_maps.metrics.parameters import ParameterSelection

GROUP = "training_maps.metrics"
Arrays = list[NDArray[np.float64]]
OwnMetricFunction = Callable[[Arrays, Arrays], float]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_RESERVED = ("seed", "step", "split", "epoch", "paper")
# NumPy's names for the types of safetensors that metrics are computed of; it has no bfloat16.
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True)
class OwnMetric:
    """A metric that an installed distribution offers.

    Attributes:
        name: of the entry point, and of the column.
        distribution: name of the distribution.
        version: its version.
        entry_point: what is loaded when the metric is first computed.
    """

    name: str
    distribution: str
    version: str
    entry_point: EntryPoint

    def __str__(self) -> str:
        """What messages call it."""
        return f"metric {self.name} of {self.distribution} {self.version}"

    def load(self) -> OwnMetricFunction:
        """The function.

        Raises:
            InputError: if it cannot be imported, or is no function.
        """
        try:
            function = self.entry_point.load()
        except Exception as error:  # whatever somebody else's module raises
            raise InputError(
                f"{self}: {self.entry_point.value} cannot be imported ({_described(error)})"
            ) from error
        if not callable(function):
            raise InputError(
                f"{self}: {self.entry_point.value} is {function!r}; expected a function of weights "
                "and biases"
            )
        return function


@cache
def installed() -> Mapping[str, OwnMetric]:
    """The metrics that installed distributions offer, by name, in order of their names.

    Raises:
        InputError: if a name is no name for a column, or two distributions offer it.
    """
    found: dict[str, OwnMetric] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        dist = entry.dist
        metric = OwnMetric(
            entry.name, dist.name if dist else "?", dist.version if dist else "?", entry
        )
        other = found.setdefault(entry.name, metric)
        if (other.distribution, other.entry_point.value) != (metric.distribution, entry.value):
            raise InputError(f"{other} and {metric} have the same name; remove one of the two")
        if not _NAME.fullmatch(entry.name) or entry.name in _RESERVED:
            raise InputError(
                f"{metric}: this cannot be a column's name; expected a letter, and then letters, "
                f"digits and any of _ . / -, and none of {', '.join(_RESERVED)}"
            )
    return found


def identity(names: Sequence[str]) -> str:
    """Which distributions, in which versions, the metrics among `names` that are users' are from.

    An update of one of them changes the text, and so reruns the metrics.
    """
    return ", ".join(str(installed()[name]) for name in names if name in installed())


def compute(
    names: Sequence[str],
    weights: Sequence[NDArray[Any]],
    biases: Sequence[NDArray[Any]],
    where: str,
) -> dict[str, float]:
    """Metrics of one checkpoint.

    Args:
        names: of `installed()`.
        weights: matrices (rows, cols).
        biases: arrays (n,).
        where: which checkpoint it is, for messages.

    Returns:
        Value by name.

    Raises:
        InputError: if a function fails, or returns something that is no number or infinite; the
            message names metric, distribution, checkpoint and what was returned.
    """
    values = {}
    for name in names:
        metric = installed()[name]
        function = _loaded(name)
        # Lists of its own, so that what one function does to them is not what another gets.
        given = [[_read_only(array) for array in arrays] for arrays in (weights, biases)]
        try:
            returned = function(given[0], given[1])
        except Exception as error:  # whatever somebody else's function raises
            raise InputError(f"{where}: {metric} failed: {_described(error)}") from error
        values[name] = _as_number(returned, f"{where}: {metric}")
    return values


def arrays_of(
    source: tuple[str | None, Sequence[str] | Mapping[str, tuple[str, NDArray[Any]]]],
    selection: ParameterSelection,
) -> tuple[Arrays, Arrays]:
    """The weight matrices and biases of a checkpoint, every value exactly, in float64.

    Args:
        source: a checkpoint as the Rust extension takes it: its safetensors files, which have been
            read by it before, or tensors by name, each with its type.
        selection: what counts in it.
    """
    wanted = {*(matrix.tensor for matrix in selection.matrices), *selection.biases}
    _, content = source
    typed = content if isinstance(content, Mapping) else _mapped(content, wanted)
    values = {name: _as_float64(*typed[name]) for name in wanted}
    weights = [
        block
        for matrix in selection.matrices
        for block in values[matrix.tensor].reshape(matrix.n_blocks, matrix.rows, matrix.cols)
    ]
    return weights, [values[name].reshape(-1) for name in selection.biases]


@cache
def _loaded(name: str) -> OwnMetricFunction:
    return installed()[name].load()


def _mapped(files: Sequence[str], wanted: set[str]) -> dict[str, tuple[str, NDArray[Any]]]:
    """The wanted tensors of safetensors files, where they lie on disk."""
    found: dict[str, tuple[str, NDArray[Any]]] = {}
    for file in map(Path, files):
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(length))
        for name in wanted & header.keys():
            entry = header[name]
            kind, (begin, _) = entry["dtype"], entry["data_offsets"]
            found[name] = (
                kind,
                np.memmap(file, _TYPES[kind], "r", 8 + length + begin, tuple(entry["shape"])),
            )
    return found


def _as_float64(kind: str, values: NDArray[Any]) -> NDArray[np.float64]:
    """Values of one of safetensors' types; those of half precision may be given as their bits."""
    if kind == "BF16":  # the upper half of a float32
        return (values.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    if kind == "F16":
        values = values.view(np.float16)
    return np.array(values, dtype=np.float64)


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view


def _as_number(returned: object, what: str) -> float:
    if isinstance(returned, np.ndarray) and returned.ndim == 0:
        returned = returned[()]
    if isinstance(returned, numbers.Real) and not isinstance(returned, bool):
        value = float(returned)
        if not np.isinf(value):
            return value
    raise InputError(
        f"{what} returned {_shortened(repr(returned))} of type {type(returned).__name__}; expected "
        "a finite number, or NaN where the metric is missing"
    )


def _described(error: Exception) -> str:
    """An error of somebody else's code: what, and where in it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f", in {frames[-1].filename}, line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
