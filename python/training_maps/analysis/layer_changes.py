"""Which layers change at each transition of the map, and how much.

A layer's metric is z-scored over its run, as the observations are; a change is the mean over a stay
in the state that a run enters, less that over the stay before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from training_maps.hmm.standards import Standards
from training_maps.metrics.definitions import MATRIX_COLUMNS
from training_maps.metrics.layers import DEPTHS, KINDS, depths_of, in_order
from training_maps.result_tables import LAYER_CHANGE_COLUMNS
from training_maps.utils.errors import InputError
from training_maps.utils.numbers import Floats

if TYPE_CHECKING:
    import pandas as pd


def layer_changes(paths: pd.DataFrame, tables: Iterable[tuple[int, pd.DataFrame]]) -> pd.DataFrame:
    """How each layer changes at each transition that some run uses.

    Args:
        paths: each run's states: `seed, step, state`.
        tables: seed and table of layers of each run, as `metrics.compute.layer_metrics` gives it;
            matrices of one tensor count as its mean. They are gone through once.

    Returns:
        `LAYER_CHANGE_COLUMNS`, one row for each transition, tensor and metric: the mean `change`
        over all its uses in standard deviations of the metric in its run, positive where it grows;
        `deviation`, the population standard deviation of these changes; and the number of uses.
        Metrics that are missing throughout a stay are left out of its change; null if of all.

    Raises:
        InputError: if runs have other tensors than the first, none of a path's steps, or a table
            that holds no numbers, or infinite ones.
    """
    import pandas as pd

    found: dict[tuple[int, int], list[Floats]] = {}
    known: tuple[list[str], list[str]] | None = None
    kinds: dict[str, str] = {}
    runs = dict(iter(paths.sort_values("step").groupby("seed")))
    for seed, table in tables:
        of_run = runs.get(seed, paths.iloc[:0])
        try:
            steps, values, tensors, metrics = _by_step(table)
        except (TypeError, ValueError) as error:
            raise InputError(f"seed {seed}: its table of layers is broken ({error})") from error
        if known is None:
            known = (tensors, metrics)
            kinds = dict(zip(table["tensor"], table["kind"], strict=True))
        if (tensors, metrics) != known:
            raise InputError(f"seed {seed}: its layers are not those of the other runs")
        _, at, of = np.intersect1d(of_run["step"].to_numpy(), steps, return_indices=True)
        if not len(at):
            raise InputError(f"seed {seed}: its table of layers has none of the steps of its path")
        for edge, change in _changes(of_run["state"].to_numpy()[at], values[of]):
            found.setdefault(edge, []).append(change)
    rows = [_rows(edge, changes, *known, kinds) for edge, changes in sorted(found.items()) if known]
    empty = pd.DataFrame({name: [] for name in LAYER_CHANGE_COLUMNS})
    return pd.concat(rows, ignore_index=True) if rows else empty


def _by_step(table: pd.DataFrame) -> tuple[np.ndarray, Floats, list[str], list[str]]:
    """Steps (n,), and values (n, n_tensors, n_metrics) with the names of both."""
    metrics = [column for column in MATRIX_COLUMNS if column in table]
    if not metrics or np.isinf(table[metrics].to_numpy(float)).any():
        raise ValueError("it has no metrics, or infinite values")
    tensors = in_order(table["tensor"].astype(str))
    steps, row_of = np.unique(table["step"].to_numpy(dtype=np.int64), return_inverse=True)
    place = {name: i for i, name in enumerate(tensors)}
    column_of = table["tensor"].map(place).to_numpy(dtype=np.int64)
    cells = row_of * len(tensors) + column_of
    size = len(steps) * len(tensors)
    count = np.bincount(cells, minlength=size)
    values = np.empty((size, len(metrics)))
    with np.errstate(invalid="ignore"):  # a tensor that is not there at a step
        for i, metric in enumerate(metrics):
            values[:, i] = np.bincount(cells, table[metric].to_numpy(float), size) / count
    return steps, values.reshape(len(steps), len(tensors), len(metrics)), tensors, metrics


def _changes(states: np.ndarray, values: Floats) -> Iterable[tuple[tuple[int, int], Floats]]:
    """Each transition of a run, and the change of every tensor's metrics in it."""
    n = len(values)
    flat = values.reshape(n, -1)
    there = ~np.isnan(flat).all(axis=0)
    scores = np.full(flat.shape, np.nan)
    scores[:, there] = Standards.of(flat[:, there]).z_scores(flat[:, there])
    begins = np.flatnonzero(np.append(True, states[1:] != states[:-1]))
    known = ~np.isnan(scores)
    sums = np.add.reduceat(np.where(known, scores, 0.0), begins)
    counts = np.add.reduceat(known, begins, dtype=float)
    with np.errstate(invalid="ignore"):
        means = (sums / counts).reshape(len(begins), *values.shape[1:])
    for i, (a, b) in enumerate(pairwise(begins)):
        yield (int(states[a]), int(states[b])), means[i + 1] - means[i]


def _rows(
    edge: tuple[int, int],
    changes: list[Floats],
    tensors: list[str],
    metrics: list[str],
    kinds: Mapping[str, str],
) -> pd.DataFrame:
    """The rows of one transition."""
    import pandas as pd

    stacked = np.array(changes)
    known = ~np.isnan(stacked)
    number = known.sum(axis=0)
    with np.errstate(invalid="ignore"):
        mean = np.where(known, stacked, 0.0).sum(axis=0) / number
        squares = np.where(known, stacked - mean, 0.0) ** 2
        deviation = np.sqrt(squares.sum(axis=0) / number)
    depths = depths_of(tensors)
    columns: dict[str, Any] = {
        "from": edge[0],
        "to": edge[1],
        "tensor": np.repeat(tensors, len(metrics)),
        "kind": np.repeat([kinds[name] for name in tensors], len(metrics)),
        "depth": np.repeat([depths.get(name, "") for name in tensors], len(metrics)),
        "metric": np.tile(metrics, len(tensors)),
        "change": mean.ravel(),
        "deviation": deviation.ravel(),
        "n_uses": number.ravel(),
    }
    return pd.DataFrame(columns)


def changes_of_layers(changes: pd.DataFrame) -> list[dict[str, Any]]:
    """For each transition its layers, those that change most first, and its groups of layers.

    Args:
        changes: as `layer_changes` gives it.

    Returns:
        For each transition `from`, `to`, `n_uses`; `layers`: `tensor`, `size` (the mean over
        metrics of the absolute change), and the `metric` that changes most with its `change`; and
        `groups`: name and size (the mean over their layers) of each kind and depth, largest first
        within either, empty if there is one alone.
    """
    found = []
    for (source, target), rows in changes.groupby(["from", "to"], sort=True):
        rows = rows.assign(size=rows["change"].abs()).dropna(subset=["size"])
        if rows.empty:
            continue
        sizes = rows.groupby("tensor", sort=False)["size"].mean()
        largest = rows.loc[rows.groupby("tensor", sort=False)["size"].idxmax()].set_index("tensor")
        order = sizes.sort_values(ascending=False, kind="stable").index
        found.append(
            {
                "from": int(str(source)),
                "to": int(str(target)),
                "n_uses": int(rows["n_uses"].max()),
                "layers": [
                    {
                        "tensor": str(name),
                        "size": float(sizes[name]),
                        "metric": str(largest.loc[name, "metric"]),
                        "change": float(largest.loc[name, "change"]),
                    }
                    for name in order
                ],
                "groups": [*_groups(rows, "kind", KINDS), *_groups(rows, "depth", DEPTHS)],
            }
        )
    return found


def _groups(rows: pd.DataFrame, column: str, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Name and size of each group of a transition's layers; none if there is one alone."""
    sizes = rows[rows[column] != ""].groupby(column)["size"].mean()
    if len(sizes) < 2:
        return []
    ordered = sizes.sort_values(ascending=False, kind="stable")
    return [{"name": names[str(key)], "size": float(size)} for key, size in ordered.items()]
