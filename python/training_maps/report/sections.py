"""What the page's sections show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training_maps.analysis.early_warning.sentences import CONCLUSION
from training_maps.analysis.sensitivity.variants import variants_of
from training_maps.figures.phase_transitions import shown_coincidences
from training_maps.report.summary import structure_sentences
from training_maps.result_tables import GROUND_DISTANCES
from training_maps.results import ExperimentResults, Time
from training_maps.structure.field import SHAPES
from training_maps.structure.sentences import choice_sentence
from training_maps.utils.wording import (
    NONE,
    decimal,
    equals_p,
    interval,
    kind_of_model,
    listing,
    plural,
)

# What comes first in how many runs: the keys of `order` in phase_transitions.json, and what one run
# does, and several do.
_ORDERS = {
    "memorisation first": ("memorises first", "memorise first"),
    "generalisation first": ("generalises first", "generalise first"),
    "together": ("does both at about the same time", "do both at about the same time"),
    "only memorisation": ("only memorises", "only memorise"),
    "only generalisation": ("only generalises", "only generalise"),
    "neither": ("does neither", "do neither"),
}


def fork_rows(results: ExperimentResults, time: Time) -> list[dict[str, Any]]:
    """Each fork with its branches, their mean convergence times, and what the test says."""
    return [
        {
            "state": fork["state"],
            "verdict": _verdict(fork),
            "branches": [
                {**row, "mean": row[f"mean_{time}"], "interval": row[f"interval_{time}"]}
                for row in fork["branches"]
            ],
        }
        for fork in results.forks.get("forks", ())
    ]


def _verdict(fork: Mapping[str, Any]) -> str:
    if fork["test"] is None:
        return str(fork["reason"])
    p = equals_p(fork["p_value_adjusted"])
    if fork["predicts_convergence"]:
        return f"predicts when a run converges ({p})"
    return f"is not seen to predict when a run converges ({p})"


def forks_ending(results: ExperimentResults) -> list[str]:
    """A sentence for each fork at which runs end that others go on from."""
    sentences = []
    for fork in results.forks.get("forks", ()):
        n = len(fork["seeds_ending"])
        if n:
            sentences.append(
                f"{plural(n, 'run')} {'ends' if n == 1 else 'end'} in state {fork['state']}, and "
                f"{'takes' if n == 1 else 'take'} no branch there."
            )
    return sentences


def phase_rows(results: ExperimentResults) -> list[dict[str, Any]]:
    """Each phase that some log can show: its sentence, and what it coincides with."""
    return [
        {"name": name, "sentence": phase["sentence"], "rows": shown_coincidences(phase)}
        for name, phase in results.phases.get("phases", {}).items()
        if phase["columns"]
    ]


def order_sentence(results: ExperimentResults) -> str:
    """Which phase comes first, in how many runs; nothing where that is not known of any."""
    order = results.phases.get("order", {})
    told = {key: words for key, words in _ORDERS.items() if order.get(key)}
    if not told:
        return ""
    known = sum(order[key] for key in told)
    if len(told) == 1 and known > 1:
        ((_, several),) = told.values()
        return f"All {known} runs {several}."
    parts = [
        f"{order[key]} {one if order[key] == 1 else several}"
        for key, (one, several) in told.items()
    ]
    return f"Of {plural(known, 'run')}, {listing(parts)}."


def how_to_read_coefficients(results: ExperimentResults) -> str:
    """What a coefficient says of time in its state, by the kind of the outcome."""
    outcome = results.outcome
    if not outcome["is_time"]:
        return (
            f"More time in a state with a larger coefficient goes with a {outcome['larger_means']} "
            f"{outcome['name']}. Delays and the paper's detours are defined for times only."
        )
    whole = results.regression.get("detour_rule") == "interval"
    rule = "whole interval is positive" if whole else "coefficient is positive"
    return (
        f"More time in a state with a positive coefficient goes with a later {outcome['name']}. A "
        f"state is one of the paper's detours if its {rule} and some converging run does not visit "
        "it; so is the fast branch of a fork."
    )


def fit_rows(results: ExperimentResults) -> list[dict[str, str]]:
    """What stands behind R²: name, value and meaning of each number that there is."""
    found = results.regression
    bounds = found.get("r_squared_interval")
    shuffled = found.get("shuffled") or {}
    test = f"of the test that no state matters: {_p(found.get('p_value'))}"
    rows = [
        (
            "R²",
            found.get("r_squared"),
            3,
            "share of the variance that the states explain"
            + ("; in brackets, the 95 % interval" if bounds else ""),
        ),
        (
            "adjusted R²",
            found.get("adjusted_r_squared"),
            3,
            "the same, with a penalty for the number of states",
        ),
        (
            "leave-one-seed-out R²",
            found.get("leave_one_out_r_squared"),
            3,
            "how well each run is predicted from the others; 0 is no better than their mean",
        ),
        ("F statistic", found.get("f_statistic"), 2, test),
        ("likelihood ratio", found.get("likelihood_ratio"), 2, test),
        (
            "R², outcomes shuffled",
            shuffled.get("mean_r_squared"),
            3,
            "what chance alone explains, on average; shuffled outcomes are explained as well as "
            f"the real ones with {_p(shuffled.get('p_value'))}",
        ),
    ]
    told = [
        {"name": name, "value": decimal(number, digits), "meaning": meaning}
        for name, number, digits, meaning in rows
        if number is not None
    ]
    if bounds and found.get("r_squared") is not None:
        told[0]["value"] += f" ({interval(bounds, 3)})"
    return told


def _p(value: float | None) -> str:
    return "p not known" if value is None else equals_p(value)


def glossary_rows(results: ExperimentResults) -> list[dict[str, str]]:
    """Rows of the metrics that these runs have; a metric of the user's own has only its name."""
    from training_maps.metrics.definitions import ALL_METRICS

    known = {metric.column: metric for metric in ALL_METRICS}
    rows = []
    for column in results.training_map["metrics"]:
        name, of, group = column.partition("@")
        metric = known.get(name)
        rows.append(
            {
                "column": column,
                "symbol": (metric.symbol if metric else name) + (f" {group}" if of else ""),
                "formula": metric.formula if metric else "",
                "meaning": (metric.meaning if metric else "a metric of your own")
                + (f", of the layers {group} alone" if of else ""),
            }
        )
    return rows


def outlier_rows(results: ExperimentResults) -> list[dict[str, Any]]:
    """The outlier runs: their route, and how far they are from the others on average."""
    routes = {
        seed: path["states"] for path in results.training_map["paths"] for seed in path["seeds"]
    }
    distances = results.dissimilarity_per_run.set_index("seed")
    return [
        {
            "seed": seed,
            "route": routes.get(seed, []),
            **{name: distances[name].get(seed) for name in distance_names(results)},
        }
        for seed in results.outlier_seeds
    ]


def rows_of(n_shown: int, n_runs: int) -> str:
    """What the rows of the timelines are; "" if there is one for each run."""
    return f"The states of {n_shown:,} of {n_runs:,} runs" if n_shown < n_runs else ""


def distance_names(results: ExperimentResults) -> list[str]:
    """The ground distances that each run's mean distance is known by."""
    return [name for name in GROUND_DISTANCES if name in results.dissimilarity_per_run]


def median_distances(results: ExperimentResults) -> dict[str, float]:
    """The median over runs of their mean distance from the others, by ground distance."""
    table = results.dissimilarity_per_run
    return {name: float(table[name].median()) for name in distance_names(results)}


def entering_times(results: ExperimentResults, time: Time) -> list[list[float]]:
    """When runs enter the states of each route of the map: medians over its runs, one a stay.

    Empty where that is not known.
    """
    stays = results.run_paths
    if stays.empty or stays[time].isna().any():
        return []
    medians = []
    for path in results.training_map["paths"]:
        rows = stays[stays["seed"].isin(path["seeds"])]
        medians.append(rows.groupby("visit")[time].median().tolist())
    return medians


_RUNGS = {
    "one_state": "one autoregressive state",
    "field": "smooth field",
    "autoregressive": "autoregressive states",
    "gaussian": "Gaussian states",
}


def _member(name: str | None) -> str:
    """The best model of a rung, as a reader calls it; a field by what it is a function of."""
    if name is None:
        return NONE
    if name not in SHAPES:
        return kind_of_model(name)
    shape = SHAPES[name]
    parts = plural(shape.components, "component")
    of = f"{parts} and time" if shape.timed else parts
    return f"of {of}{'' if shape.coupled else ', metric by metric'}"


def structure_block(results: ExperimentResults) -> dict[str, Any]:
    """The ladder of models with and without states, for its section; {} where nobody looked."""
    found = results.structure
    if not found or found["verdict"] is None:
        return {}
    rows = [
        {
            "name": name,
            **found["rungs"][rung],
            "model": _member(found["rungs"][rung]["model"]),
            "interval": interval([found["rungs"][rung][end] for end in ("low", "high")], 2),
        }
        for rung, name in _RUNGS.items()
    ]
    choice = choice_sentence(found) if found["choice"] else None
    return {"sentence": structure_sentences(results)[0], "rows": rows, "choice": choice}


def reproducibility_block(results: ExperimentResults) -> dict[str, Any]:
    """What halves of the runs agree on, and what of the map they have; empty if there are none."""
    found = results.reproducibility
    if not found:
        return {}
    parts = found["found"] or {}
    rows = [
        *({"name": f"state {row['state']}", **row} for row in parts.get("states", ())),
        *({"name": f"{r['from']} → {r['to']}", **r} for r in parts.get("transitions", ())),
        *({"name": f"fork at state {row['state']}", **row} for row in parts.get("forks", ())),
        *({"name": f"delay at state {row['state']}", **row} for row in parts.get("delays", ())),
    ]
    return {
        "sentences": found["sentences"],
        "is_halves": found["scheme"] == "halves",
        "n_pairs": len(found["pairs"]),
        "rows": rows,
        "candidates": found["candidates"],
    }


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
    # The sentences on beginnings are left out: a row of the table tells each of them as well.
    conclusions = [one["text"] for one in found["sentences"] if one["kind"] == CONCLUSION]
    return {"conclusions": conclusions, "notes": found["notes"], "rows": rows}


def _score(row: Mapping[Any, Any]) -> dict[str, float]:
    """The rank correlation of a number, the balanced accuracy of a class, and the p-value."""
    correlation = row["rank_correlation"]
    known = correlation == correlation  # an empty cell is read as NaN
    return {
        "score": correlation if known else row["balanced_accuracy"],
        "p": row["p_value_adjusted"],
    }
