"""The data behind the page: what its script needs of an experiment's results, as JSON.

Long series are base64 of little-endian arrays: times as float64, values as float32. A page of many
or long runs has fewer points of each, and beyond that curves of fewer runs; it says so.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from training_maps.figures.dissimilarity import distance_matrix, order_by_similarity
from training_maps.figures.loss_by_state import (
    curve_columns,
    featured_runs,
    logged_curves,
    name_curves,
)
from training_maps.figures.map.plan import per_checkpoint
from training_maps.figures.map.table import format_change, gradient_arrow
from training_maps.figures.state_timelines import MOST_ROWS
from training_maps.figures.symbols import metric_symbol
from training_maps.results import ExperimentResults, Time
from training_maps.utils.files import read_table
from training_maps.utils.wording import amount, decimal, interval, p_value, plural, route

#: More values than these, of logs and of metrics, are thinned out: 4 bytes each, 4/3 in base64.
#: Those of 40 runs of 1000 checkpoints are whole.
MOST_LOG_VALUES = 240_000
MOST_METRIC_VALUES = 560_000
#: The heat map tells its numbers of at most so many runs.
MOST_HEAT_RUNS = 300
#: A run's curve is not thinned below this; instead fewer runs have curves.
FEWEST_POINTS = 200
_MOST_FEATURES = 3


def page_data(results: ExperimentResults, time: Time) -> dict[str, Any]:
    """What the page's script draws and tells, ready for `to_script`.

    Args:
        results: an experiment's results.
        time: time axis, resolved by `ExperimentResults.time_axis`.
    """
    axes = _Axes()
    runs = _runs(results, time, axes)
    metrics = _metrics(results)
    logged = logged_curves(results)
    there = {run["seed"] for run in runs}
    said = [_what_runs_are_there(len(runs), results.n_runs)]
    said += [_add_logs(results, time, axes, runs), _add_metrics(results, time, axes, runs, metrics)]
    return {
        "time": time,
        "states": state_facts(results, time),
        "edges": edge_facts(results),
        "routes": [
            {
                "states": path["states"],
                "seeds": [seed for seed in path["seeds"] if seed in there],
                "n_runs": len(path["seeds"]),
                "name": route(path["states"]),
                "row": row,
            }
            for row, path in enumerate(results.training_map["paths"])
            if not there.isdisjoint(path["seeds"])
        ],
        "outliers": [seed for seed in results.outlier_seeds if seed in there],
        "featured": [{"name": name, "seed": seed} for name, seed in featured_runs(results)],
        "curves": [{"name": what, "columns": curve_columns(what)} for what in logged],
        "crossing": {
            "words": results.crossing,
            "column": results.crossing_column,
            "threshold": results.threshold,
        },
        "metrics": [{"column": column, "symbol": metric_symbol(column)} for column in metrics],
        "distances": _distances(results),
        "runs": runs,
        "n_runs": results.n_runs,
        "axes": axes.encoded,
        "notes": [sentence for sentence in said if sentence],
    }


def to_script(data: Any) -> Markup:
    """JSON for a `<script>` element: nothing in it can end the element or begin another."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def state_facts(results: ExperimentResults, time: Time) -> list[dict[str, Any]]:
    """What pointing at each state tells: rows of a name and a text."""
    visits = results.first_visits(time)
    coefficients = {row["state"]: row for row in results.coefficients.to_dict("records")}
    forks = {fork["state"] for fork in results.forks.get("forks", ())}
    facts = []
    for state in sorted(results.training_map["states"], key=lambda state: state["state"]):
        number = state["state"]
        rows = [
            (
                metric_symbol(feature["metric"]) + gradient_arrow(feature),
                f"mean {format_change(feature['mean'])} s.d.",
            )
            for feature in state["features"][:_MOST_FEATURES]
        ]
        rows += [
            ("checkpoints", f"{100 * state['share_of_checkpoints']:.1f} %"),
            ("runs", f"{state['n_runs']} of {results.n_runs}"),
        ]
        if number in visits:
            rows.append(("first visit", f"{time} {visits[number]:,.0f} (median)"))
        rows += _found_again_rows(results, "states", number)
        rows += _coefficient_rows(results, coefficients.get(number))
        marks = ["delay"] if number in results.delay_states else []
        marks += ["fork"] if number in forks else []
        marks += ["noise alone"] if state.get("noise_of") is not None else []
        facts.append({"state": number, "marks": marks, "rows": rows})
    return facts


def _found_again_rows(
    results: ExperimentResults, kind: str, part: int | tuple[int, int]
) -> list[tuple[str, str]]:
    """How many of the halves of the runs have this part of the map too, where that is known."""
    found = results.found_again(kind).get(part)
    if found is None:
        return []
    refits = "halves" if results.reproducibility["scheme"] == "halves" else "refits"
    return [("found again", f"in {100 * found:.0f} % of {refits}")]


def _coefficient_rows(
    results: ExperimentResults, row: Mapping[Any, Any] | None
) -> list[tuple[str, str]]:
    if row is None:
        return []
    bounds = (row["interval_low"], row["interval_high"])
    rows = [
        ("coefficient", decimal(row["coefficient"])),
        ("95 % interval", interval(bounds, 3)),
        ("p", p_value(row["p_value"])),
    ]
    if not results.regression.get("significant"):
        rows.append(("", "the regression is not significant"))
    return rows


def edge_facts(results: ExperimentResults) -> list[dict[str, Any]]:
    """What pointing at each transition tells: rows of a name and a text."""
    return [
        {
            "from": edge["from"],
            "to": edge["to"],
            "rows": [
                ("per checkpoint", per_checkpoint(edge["probability"])),
                ("runs", f"{edge['n_runs']} of {results.n_runs}"),
                ("uses", str(edge["n_uses"])),
                *_found_again_rows(results, "transitions", (edge["from"], edge["to"])),
                *(
                    (
                        metric_symbol(change["metric"]) + gradient_arrow(change),
                        f"{format_change(change['change'])} s.d.",
                    )
                    for change in edge["feature_changes"][:_MOST_FEATURES]
                ),
            ],
        }
        for edge in results.training_map["transitions"]
    ]


class _Axes:
    """The time axes of all series, each once."""

    def __init__(self) -> None:
        self.encoded: list[str] = []
        self._known: dict[bytes, int] = {}

    def add(self, times: np.ndarray) -> int:
        """The number of this axis."""
        content = np.asarray(times, dtype="<f8").tobytes()
        if content not in self._known:
            self._known[content] = len(self.encoded)
            self.encoded.append(base64.b64encode(content).decode())
        return self._known[content]


def _runs(results: ExperimentResults, time: Time, axes: _Axes) -> list[dict[str, Any]]:
    """Each run's stays in its states and when it converges, the fastest run first."""
    outliers = set(results.outlier_seeds)
    runs = []
    for seed in results.drawn_seeds(MOST_ROWS):
        times, states = results.state_sequence(seed, time)
        starts = np.flatnonzero(np.append(True, states[1:] != states[:-1]))
        run: dict[str, Any] = {
            "seed": seed,
            "axis": axes.add(times),
            "starts": starts.tolist(),
            "states": states[starts].tolist(),
            "outlier": seed in outliers,
        }
        known = results.convergence_time(seed, time)
        if known is not None:
            when, reached = known
            run["converged"] = {"time": when, "text": f"{time} {amount(when)}", "yes": reached}
        runs.append(run)
    return runs


def _distances(results: ExperimentResults) -> dict[str, Any] | None:
    """The heat map's runs in its order, and their distances: the rows of the upper triangle."""
    if not 1 < results.n_runs <= MOST_HEAT_RUNS or results.dissimilarity.empty:
        return None
    seeds, matrix = distance_matrix(results.dissimilarity, "index")
    order = order_by_similarity(matrix)
    upper = matrix[np.ix_(order, order)][np.triu_indices(len(order), 1)]
    return {"seeds": [seeds[i] for i in order], "values": _floats(upper)}


def _metrics(results: ExperimentResults) -> list[str]:
    """The metrics whose observations there are."""
    path = results.folder / "observations.parquet"
    if not results.has_model or not path.exists():
        return []
    import pyarrow.parquet as pq

    there = set(pq.read_schema(path).names)
    return [name for name in results.training_map["metrics"] if name in there]


def _add_logs(
    results: ExperimentResults, time: Time, axes: _Axes, runs: list[dict[str, Any]]
) -> str:
    """Give runs their curves of the log; a sentence if not all of them whole."""
    tables = {run["seed"]: results.logs[run["seed"]] for run in runs if run["seed"] in results.logs}
    names = [name for what in logged_curves(results) for name in curve_columns(what)]
    columns = {
        seed: [name for name in names if name in log and log[name].notna().any()]
        for seed, log in tables.items()
    }
    sizes = {seed: len(log) * len(columns[seed]) for seed, log in tables.items() if columns[seed]}
    every, kept = _thinning(sizes, {s: len(t) for s, t in tables.items()}, runs, MOST_LOG_VALUES)
    for run in runs:
        seed = run["seed"]
        if seed not in kept:
            continue
        log = tables[seed].iloc[::every]
        run["log"] = {
            "axis": axes.add(results.times(seed, log["step"].to_numpy(), time)),
            "curves": {name: _floats(log[name].to_numpy(float)) for name in columns[seed]},
        }
    return _what_is_left_out(
        name_curves(results).lower(), every, len(kept), len(sizes), "row of the log"
    )


def _add_metrics(
    results: ExperimentResults,
    time: Time,
    axes: _Axes,
    runs: list[dict[str, Any]],
    names: Sequence[str],
) -> str:
    """Give runs their metrics as the model saw them; a sentence if not all of them whole."""
    if not names:
        return ""
    table = read_table(results.folder / "observations.parquet", ("seed", "step", *names))
    shown = {run["seed"] for run in runs}
    by_seed = table[table["seed"].isin(shown)].sort_values(["seed", "step"]).groupby("seed")
    there = {int(of_run["seed"].iloc[0]): of_run for _, of_run in by_seed}
    lengths = {seed: len(of_run) for seed, of_run in there.items()}
    sizes = {seed: length * len(names) for seed, length in lengths.items()}
    every, kept = _thinning(sizes, lengths, runs, MOST_METRIC_VALUES)
    for run in runs:
        seed = run["seed"]
        if seed in kept:
            of_run = there[seed].iloc[::every]
            run["metrics"] = {
                "axis": axes.add(results.times(seed, of_run["step"].to_numpy(), time)),
                "values": [_floats(of_run[name].to_numpy(float)) for name in names],
            }
    return _what_is_left_out("the metrics", every, len(kept), len(sizes), "checkpoint")


def _thinning(
    sizes: dict[int, int], lengths: dict[int, int], runs: Sequence[dict[str, Any]], most: int
) -> tuple[int, set[int]]:
    """Every how many-th point is kept, and the seeds of the runs that keep their curves.

    Of too many runs, outliers are kept, and the others evenly from the fastest to the slowest.
    """
    total = sum(sizes.values())
    if total <= most:
        return 1, set(sizes)
    longest = max(lengths[seed] for seed in sizes)
    every = min(-(-total // most), max(1, longest // FEWEST_POINTS))
    n_kept = max(1, int(len(sizes) * min(1.0, most * every / total)))
    seeds = [run["seed"] for run in runs if run["seed"] in sizes]
    first = [run["seed"] for run in runs if run["outlier"] and run["seed"] in sizes][:n_kept]
    others = [seed for seed in seeds if seed not in first]
    evenly = np.linspace(0, max(len(others) - 1, 0), n_kept - len(first)).astype(int)
    return every, {*first, *(others[i] for i in evenly if others)}


def _what_runs_are_there(n_shown: int, n_runs: int) -> str:
    if n_shown == n_runs:
        return ""
    return (
        f"The runs to choose from, and those in the charts of this page, are {n_shown:,} of "
        f"{n_runs:,}: outliers, and the others evenly from the fastest to the slowest. Map, "
        "tables and tests are of all runs."
    )


def _what_is_left_out(what: str, every: int, n_kept: int, n_runs: int, unit: str) -> str:
    if every == 1 and n_kept == n_runs:
        return ""
    parts = [f"of {n_kept} of {plural(n_runs, 'run')}"] if n_kept < n_runs else []
    if every > 1:
        ordinal = "2nd" if every == 2 else "3rd" if every == 3 else f"{every}th"
        parts.append(f"of every {ordinal} {unit}")
    return f"To keep this page small, it has {what} only {', and '.join(parts)}."


def _floats(values: np.ndarray) -> str:
    return base64.b64encode(np.asarray(values, dtype="<f4").tobytes()).decode()
