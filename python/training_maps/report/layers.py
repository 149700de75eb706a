"""The section of the report on layers: which of them change at each transition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from training_maps.analysis.layer_changes import changes_of_layers
from training_maps.figures.symbols import metric_symbol
from training_maps.results import ExperimentResults
from training_maps.utils.wording import plural

_MOST_LAYERS = 3
_MOST_TRANSITIONS = 40


def layers_block(results: ExperimentResults, settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the page shows of layers; empty if they were not kept.

    A file that lies there from before is passed over if the settings no longer ask for it.
    """
    asked = not settings or settings.get("metrics", {}).get("layers", True)
    if results.layer_changes.empty or not asked:
        return {}
    found = changes_of_layers(results.layer_changes)
    rows = [
        {
            **row,
            "layers": [
                {
                    **layer,
                    "symbol": metric_symbol(layer["metric"]),
                    "signed": f"{layer['change']:+.1f}".replace("-", "−"),
                }
                for layer in row["layers"][:_MOST_LAYERS]
            ],
        }
        for row in found
    ]
    most_used = sorted(rows, key=lambda row: -row["n_uses"])[:_MOST_TRANSITIONS]
    return {
        "sentence": _sentence(found),
        "rows": sorted(most_used, key=lambda row: (row["from"], row["to"])),
        "has_groups": any(row["groups"] for row in rows),
        "n_more": any(len(row["layers"]) > _MOST_LAYERS for row in found),
    }


def _sentence(found: list[dict[str, Any]]) -> str:
    """Which layer changes most at most transitions."""
    first = Counter(row["layers"][0]["tensor"] for row in found)
    [(name, times)] = first.most_common(1)
    n_layers = max(len(row["layers"]) for row in found)
    if n_layers == 1:
        return f"The network has one layer that counts, {name}."
    return (
        f"Of the {plural(n_layers, 'layer')}, {name} changes most at {times} of "
        f"{plural(len(found), 'transition')}."
    )
