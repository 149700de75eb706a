"""Metrics of groups of layers, which the model sees in place of those of the whole network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from training_maps.metrics.definitions import MATRIX_COLUMNS
from training_maps.metrics.layers import group_members
from training_maps.utils.errors import InputError

#: Between a metric and its group in a column's name.
OF = "@"


def columns_of_groups(metrics: Iterable[str], groups: Sequence[str]) -> list[str]:
    """The columns of some metrics of some groups; metrics that a matrix has not stay as they are.

    Those are of biases, of two checkpoints, or users' own.
    """
    return [
        column
        for metric in metrics
        for column in (
            [f"{metric}{OF}{group}" for group in groups] if metric in MATRIX_COLUMNS else [metric]
        )
    ]


def with_groups(
    tables: Mapping[int, pd.DataFrame],
    layers: Iterable[tuple[int, pd.DataFrame]],
    groups: Sequence[str],
    metrics: Sequence[str] = (),
) -> dict[int, pd.DataFrame]:
    """The runs' metrics by groups of layers.

    A group's metric is the mean over its matrices, without those that lack it.

    Args:
        tables: one table of metrics a run, by seed.
        layers: seed and table of layers of each of them.
        groups: kinds of layers, depths, or patterns on tensor names (`metrics.layers`).
        metrics: which metrics; none for all of `tables` that a matrix has.

    Returns:
        The tables with `step` and `columns_of_groups` of the metrics; `attrs` are kept.

    Raises:
        InputError: if no layer is of a group, a metric is unknown, or a run's two tables have other
            steps.
    """
    by_group = {}
    for seed, of_layers in layers:
        table = tables[seed]
        chosen = list(metrics) or [column for column in table.columns if column in MATRIX_COLUMNS]
        wanted = [metric for metric in chosen if metric in MATRIX_COLUMNS]
        missing = [
            metric
            for metric in chosen
            if metric not in (of_layers if metric in wanted else table).columns
        ]
        if missing:
            raise InputError(f"seed {seed}: has no metric {', '.join(missing)}")
        if set(of_layers["step"]) != set(table["step"]):
            raise InputError(
                f"seed {seed}: its table of layers is not of the steps of its metrics; compute "
                "both again"
            )
        kinds = dict(zip(of_layers["tensor"], of_layers["kind"], strict=True))
        columns: dict[str, pd.Series] = {"step": table["step"]}
        for group in groups:
            rows = of_layers[of_layers["tensor"].isin(group_members(group, kinds))]
            means = rows.groupby("step")[wanted].mean()
            for metric in wanted:
                columns[f"{metric}{OF}{group}"] = table["step"].map(means[metric])
        columns |= {metric: table[metric] for metric in chosen if metric not in wanted}
        by_group[seed] = pd.DataFrame(columns)[["step", *columns_of_groups(chosen, groups)]]
        by_group[seed].attrs = dict(table.attrs)
    return by_group
