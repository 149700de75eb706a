"""What a sensitivity analysis found, as a table and in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from training_maps.analysis.sensitivity.variants import OTHER_STARTS
from training_maps.model_selection.stability import SAME_STATES
from training_maps.utils.wording import listing, plural

COLUMNS = (
    "variant",
    "metrics",
    "model",
    "n_states",
    "verdict",
    "linear",
    "n_forks",
    "on_commonest_path",
    "dissimilarity",
    "adjusted_rand_index",
    "r_squared",
    "p_value",
    "n_detours",
    "detours_kept",
    "detours_lost",
    "detours_new",
    "detour_overlap",
    "seconds",
    "reason",
)
_LISTS = ("metrics", "detours_kept", "detours_lost", "detours_new")
_WHOLE = ("n_states", "n_forks", "on_commonest_path", "n_detours")


def sensitivity_table(
    reference: Mapping[str, Any], variants: Sequence[Mapping[str, Any]]
) -> pd.DataFrame:
    """A row a variant, the reference first, with `COLUMNS`; lists are joined by spaces."""
    rows = []
    for found in (reference, *variants):
        row = {column: found.get(column) for column in COLUMNS}
        row |= {name: " ".join(map(str, found.get(name) or ())) for name in _LISTS}
        rows.append(row)
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype(dict.fromkeys(_WHOLE, "Int64"))


def sentences_of(reference: Mapping[str, Any], variants: Sequence[Mapping[str, Any]]) -> list[str]:
    """What to know of all variants together, the most important first."""
    compared = [found for found in variants if found.get("reason") is None]
    by_name = {found["variant"]: found for found in compared}
    without = {found["left_out"]: found for found in compared if found.get("left_out") is not None}
    others = [
        found
        for name, found in by_name.items()
        if name != OTHER_STARTS and found.get("left_out") is None
    ]
    sentences = [] if OTHER_STARTS not in by_name else [_chance(by_name[OTHER_STARTS], reference)]
    if without:
        sentences += [_numbers(without, reference), _paths(without), _meaning(without, reference)]
        sentences += _detours(without, reference)
    sentences += [sentence_of(found, reference) for found in others]
    return sentences + [
        f"{found['variant']}: {found['reason']}" for found in variants if found.get("reason")
    ]


def sentence_of(found: Mapping[str, Any], reference: Mapping[str, Any]) -> str:
    """One variant in a sentence."""
    if found.get("reason") is not None:
        return str(found["reason"])
    n = len(found["metrics"])
    what = ", ".join(found["metrics"]) if n <= 6 else f"{n} metrics"
    if found.get("changes"):
        what = ", ".join(f"{name} {value}" for name, value in found["changes"].items())
    words = (
        f"With {what} ({found['variant']}) {_states(found['n_states'])}, and paths agree with the "
        f"reference's by an adjusted Rand index of {found['adjusted_rand_index']:.2f}"
    )
    if found["r_squared"] is not None and reference["r_squared"] is not None:
        words += f"; R² is {found['r_squared']:.2f}, the reference's {reference['r_squared']:.2f}"
    return f"{words}."


def _chance(found: Mapping[str, Any], reference: Mapping[str, Any]) -> str:
    """What moves with other random starts alone."""
    index = found["adjusted_rand_index"]
    paths = f"changes the paths this much ({index:.2f}); read the rows below against that."
    if found["n_states"] != reference["n_states"]:
        return (
            f"Refitting with other random starts chooses {plural(found['n_states'], 'state')}, not "
            f"{reference['n_states']}, and {paths}"
        )
    if index < SAME_STATES:
        return f"Refitting with other random starts {paths}"
    return (
        f"Refitting with other random starts hardly changes the paths ({index:.2f}), so what "
        "changes them more does so by the metrics."
    )


def _numbers(without: Mapping[str, Mapping[str, Any]], reference: Mapping[str, Any]) -> str:
    """Whether the number of states stays."""
    same = [metric for metric, f in without.items() if f["n_states"] == reference["n_states"]]
    words = (
        f"Leaving out any one metric keeps {reference['n_states']} states in {len(same)} of "
        f"{len(without)} cases"
    )
    by_number: dict[int, list[str]] = {}
    for metric, found in without.items():
        if metric not in same:
            by_number.setdefault(found["n_states"], []).append(metric)
    moved = [f"{k} without {listing(metrics, 'or')}" for k, metrics in sorted(by_number.items())]
    return f"{words}; there are {', '.join(moved)}." if moved else f"{words}."


def _paths(without: Mapping[str, Mapping[str, Any]]) -> str:
    """Whether the paths stay."""
    index = {metric: found["adjusted_rand_index"] for metric, found in without.items()}
    same = sum(value >= SAME_STATES for value in index.values())
    least = min(index, key=lambda metric: index[metric])
    return (
        f"Paths stay the same (adjusted Rand index of at least {SAME_STATES}) in {same} of "
        f"{len(index)} cases; they agree least without {least}, {index[least]:.2f}."
    )


def _meaning(without: Mapping[str, Mapping[str, Any]], reference: Mapping[str, Any]) -> str:
    """Whether R² stays."""
    known = {m: f["r_squared"] for m, f in without.items() if f["r_squared"] is not None}
    if not known or reference["r_squared"] is None:
        return "There is no regression, so that it is not known how far R² moves."
    low, high = min(known, key=lambda m: known[m]), max(known, key=lambda m: known[m])
    return (
        f"R² is {reference['r_squared']:.3f} with all metrics, and from {known[low]:.3f} (without "
        f"{low}) to {known[high]:.3f} (without {high}) with one left out."
    )


def _detours(without: Mapping[str, Mapping[str, Any]], reference: Mapping[str, Any]) -> list[str]:
    """Whether detours stay."""
    sentences = []
    for state in reference["detour_states"]:
        kept = sum(state in found["detours_kept"] for found in without.values())
        sentences.append(f"State {state} remains a detour in {kept} of {len(without)} cases.")
    new = [metric for metric, found in without.items() if found["detours_new"]]
    if new:
        sentences.append(f"Without {listing(new, 'or')} there is a detour that was none before.")
    elif not reference["detour_states"]:
        sentences.append("There is no detour, whichever metric is left out.")
    return sentences


def _states(n_states: int) -> str:
    return "one state is chosen" if n_states == 1 else f"{n_states} states are chosen"
