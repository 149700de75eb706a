"""The variants of a sensitivity analysis: with which metrics the states are found again.

A variant leaves one metric out, or keeps a named subset. Beside them there is one that keeps all
metrics and changes the random starts only: what moves there moves by chance.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from training_maps.errors import InputError
from training_maps.metrics import METRIC_COLUMNS, metric_columns

OTHER_STARTS = "other_starts"
#: The subsets of metrics that the authors of Hu et al. 2023 compared.
AUTHORS_SUBSETS: dict[str, tuple[str, ...]] = {
    "authors_all": METRIC_COLUMNS,
    "authors_six": ("l1", "l2", "trace", "var_lambda", "mean_w", "mean_b"),
    "authors_l1": ("l1",),
    "authors_l2": ("l2",),
}
# What a file's name may hold; the rest of a metric's name becomes '-'.
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(frozen=True)
class Variant:
    """One way to find the states again.

    Attributes:
        name: what it is called in files.
        kept: the metrics that are kept; None for all.
        left_out: the metric that is left out, if it is one.
    """

    name: str
    kept: tuple[str, ...] | None = None
    left_out: str | None = None

    def to_arguments(self) -> list[str]:
        """The variant as options of `training-maps sensitivity_variant`."""
        options = ["--variant", self.name]
        if self.kept is not None:
            return [*options, "--keep", *self.kept]
        return options if self.left_out is None else [*options, "--leave-out", self.left_out]


def find_variants(
    sensitivity: Mapping[str, Any], metrics: Iterable[str] | None, where: str = "sensitivity"
) -> dict[str, Variant]:
    """The variants that a section `sensitivity` of the settings asks for, by name, in order.

    Args:
        sensitivity: `leave_one_out`, `subsets` and `authors_subsets`.
        metrics: the metrics that the observations are made of; None if that is not known before
            they are.
        where: what to call the settings in an error.

    Returns:
        None if nothing is asked for; else with `OTHER_STARTS` first.

    Raises:
        InputError: if metrics are to be left out one at a time and are not known, a subset names
            one that is not there, or two variants have the same name.
    """
    known = None if metrics is None else tuple(metrics)
    variants: list[Variant] = []
    if sensitivity["leave_one_out"]:
        if known is None:
            raise InputError(
                f"{where}: sensitivity.leave_one_out needs to know the metrics; list them with "
                "tables.metrics or observations.metrics"
            )
        variants += [Variant(f"without_{_UNSAFE.sub('-', m)}", left_out=m) for m in known]
    if sensitivity["authors_subsets"]:
        variants += [Variant(name, kept) for name, kept in AUTHORS_SUBSETS.items()]
    for name, kept in sensitivity["subsets"].items():
        missing = [metric for metric in kept if known is not None and metric not in known]
        if missing:
            raise InputError(
                f"{where}: sensitivity.subsets.{name}: the model does not see "
                f"{', '.join(missing)}; it sees {', '.join(known or ())}"
            )
        variants.append(Variant(str(name), tuple(kept)))
    if not variants:
        return {}
    variants = [Variant(OTHER_STARTS), *variants]
    names = [variant.name for variant in variants]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(
            f"{where}: sensitivity: two variants are called {twice[0]}; rename a subset"
        )
    return {variant.name: variant for variant in variants}


def variants_of(settings: Mapping[str, Any], where: str = "sensitivity") -> dict[str, Variant]:
    """The variants that an experiment's whole settings ask for; errors as `find_variants`."""
    if "sensitivity" not in settings:  # there is no model
        return {}
    return find_variants(settings["sensitivity"], observed_metrics(settings), where)


def observed_metrics(settings: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The metrics that an experiment's observations are made of, if its settings tell."""
    seen = settings["observations"]
    metrics = seen["metrics"]
    if not metrics and settings["source"] == "metrics":
        metrics = settings["tables"]["metrics"]
        if not metrics:
            return None
    elif not metrics:
        metrics = metric_columns(settings["metrics"]["columns"])
    return (*metrics, *seen["log_columns"])
