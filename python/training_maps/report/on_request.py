"""The page's blocks on sensitivity and early warning, for experiments that ask for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training_maps.results import ExperimentResults
from training_maps.sensitivity_variants import variants_of


def sensitivity_block(
    results: ExperimentResults, settings: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The sentences and the rows of the sensitivity analysis; empty if there is none.

    A file that lies there from before is passed over if the settings no longer ask for it.
    """
    found = results.sensitivity
    if not found or (settings and not variants_of(settings)):
        return {}
    rows = [found["reference"], *found["variants"]]
    return {
        "sentences": found["sentences"],
        "rows": [{**row, "name": row["variant"].replace("_", " ")} for row in rows],
    }


def early_warning_block(
    results: ExperimentResults, settings: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The conclusions and the rows of early warning; empty if there is none, as above."""
    found, table = results.early_warning, results.early_warnings
    asked = not settings or (settings.get("early_warning") or {}).get("fractions")
    if not found or table.empty or not asked:
        return {}
    # Of each target there is a conclusion first, then a sentence for each beginning, which a row
    # of the table tells as well.
    pitch = 1 + table["fraction"].nunique()
    rows = []
    keys = ["target", "fraction", "runs"]
    for (target, fraction, runs), pair in table.groupby(keys, sort=False):
        by = {row["features"]: row for row in pair.to_dict("records")}
        first = by["states"]
        reason = first["reason"]
        rows.append(
            {
                "target": target,
                "fraction": fraction,
                "runs": runs,
                "n_runs": first["n_runs"],
                "n_known": first["n_already"] if runs == "all" else 0,
                "reason": reason if isinstance(reason, str) else "",
                "states": _score(first),
                "metrics": _score(by["metrics"]),
            }
        )
    return {"conclusions": found["sentences"][::pitch], "notes": found["notes"], "rows": rows}


def _score(row: Mapping[Any, Any]) -> dict[str, float]:
    """The rank correlation of a number, the balanced accuracy of a class, and the p-value."""
    correlation = row["rank_correlation"]
    known = correlation == correlation  # an empty cell is read as NaN
    return {
        "score": correlation if known else row["balanced_accuracy"],
        "p": row["p_value_adjusted"],
    }
