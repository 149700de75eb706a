"""The variants of a sensitivity analysis: with which metrics or settings states are found again.

A variant leaves one metric out, keeps a named subset, or changes settings of the fits. Beside them
there is one that keeps all metrics and changes the random starts only: what moves there moves by
chance.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from training_maps.metrics.definitions import METRIC_COLUMNS, metric_columns
from training_maps.utils.errors import InputError

OTHER_STARTS = "other_starts"
#: The subsets of metrics that the authors of Hu et al. 2023 compared.
AUTHORS_SUBSETS: dict[str, tuple[str, ...]] = {
    "authors_all": METRIC_COLUMNS,
    "authors_six": ("l1", "l2", "trace", "var_lambda", "mean_w", "mean_b"),
    "authors_l1": ("l1",),
    "authors_l2": ("l2",),
}
#: What the paper leaves open, and this project had to choose: other choices, by name.
OPEN_CHOICES: dict[str, dict[str, Any]] = {
    "best_restart": {"aggregate": "best"},
    "mean_of_restarts": {"aggregate": "mean"},
    "more_restarts": {"restarts": 10},
    "diagonal_covariance": {"covariance": "diag"},
    "lower_floor": {"covariance_floor": 1e-6},
    "one_split": {"resplits": 0},
    "five_splits": {"resplits": 4},
    "other_split_1": {"split_seed": 1, "resplits": 0},
    "other_split_2": {"split_seed": 2, "resplits": 0},
    "other_split_3": {"split_seed": 3, "resplits": 0},
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
        changes: settings of `select_hmm` that are others; and `split_seed`, which draws the
            validation runs.
    """

    name: str
    kept: tuple[str, ...] | None = None
    left_out: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)

    def to_arguments(self) -> list[str]:
        """The variant as options of `training-maps sensitivity_variant`."""
        options = ["--variant", self.name]
        if self.kept is not None:
            options += ["--keep", *self.kept]
        if self.left_out is not None:
            options += ["--leave-out", self.left_out]
        if self.changes:
            options.append("--change")
            options += [f"{name}={json.dumps(value)}" for name, value in self.changes.items()]
        return options


def find_variants(
    sensitivity: Mapping[str, Any], metrics: Iterable[str] | None, where: str = "sensitivity"
) -> dict[str, Variant]:
    """The variants that a section `sensitivity` of the settings asks for, by name, in order.

    Args:
        sensitivity: `leave_one_out`, `subsets`, `authors_subsets`, `open_choices` and `hmm`.
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
    choices = OPEN_CHOICES if sensitivity["open_choices"] else {}
    for name, changes in [*choices.items(), *sensitivity["hmm"].items()]:
        variants.append(Variant(str(name), changes=changes))
    if not variants:
        return {}
    variants = [Variant(OTHER_STARTS), *variants]
    names = [variant.name for variant in variants]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(
            f"{where}: sensitivity: two variants are called {twice[0]}; rename one of yours"
        )
    return {variant.name: variant for variant in variants}


def variants_of(settings: Mapping[str, Any], where: str = "sensitivity") -> dict[str, Variant]:
    """The variants that an experiment's whole settings ask for; errors as `find_variants`."""
    if "sensitivity" not in settings:  # there is no model
        return {}
    variants = find_variants(settings["sensitivity"], observed_metrics(settings), where)
    own = {"split_seed": settings["observations"]["split_seed"]} | settings["hmm"]
    return {
        name: variant
        for name, variant in variants.items()
        if not variant.changes or any(own[key] != value for key, value in variant.changes.items())
    }


def observed_metrics(settings: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The metrics that an experiment's observations are made of, if its settings tell."""
    seen = settings["observations"]
    metrics = seen["metrics"]
    if not metrics and settings["source"] == "metrics":
        metrics = settings["tables"]["metrics"]
        if not metrics:
            return None
    elif not metrics:
        metrics = metric_columns(settings["metrics"]["columns"], data=True)
    return (*metrics, *seen["log_columns"])
