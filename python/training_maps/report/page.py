"""The report page: one self-contained HTML file that tells what an experiment's runs did."""

from __future__ import annotations

import base64
import hashlib
import platform
import shlex
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from markupsafe import Markup

from training_maps.figures.catalogue import FIGURES
from training_maps.figures.forks import MOST_FORKS, timed_forks
from training_maps.figures.loss_by_state import logged_curves
from training_maps.figures.map.plan import explain_map
from training_maps.figures.map.svg import colour_variable, ink_variable, map_svg
from training_maps.figures.map.table import format_change, gradient_arrow
from training_maps.figures.phase_transitions import found_phases
from training_maps.figures.save import inline_svg
from training_maps.figures.style import COLUMN, Width
from training_maps.figures.symbols import metric_symbol
from training_maps.model_selection.stability_sentences import (
    candidate_name,
    same_candidate,
    within_margin,
)
from training_maps.report import sections
from training_maps.report.headline import headline
from training_maps.report.page_data import page_data, to_script
from training_maps.report.rendering import render, source
from training_maps.report.sections import early_warning_section, sensitivity_section
from training_maps.report.summary import summarise
from training_maps.report.theme import state_variables, themed
from training_maps.results import ExperimentResults, Time
from training_maps.utils.files import package_version

_PACKAGES = ("numpy", "scipy", "pandas", "scikit-learn", "hmmlearn", "matplotlib")
_MOST_ROUTES = 30
# The map's width in inches where there is room for all layers beside each other, and on a phone.
_MAP_WIDTHS: dict[Width, float] = {"page": 8.2, "column": 0.9 * COLUMN}
# The figures of the page, and what each is for who cannot see it.
_FIGURE_LABELS = {
    "forks": "Convergence times of the branches of each fork",
    "model_selection": "Model selection curves",
    "loss_by_state": "Loss and accuracy of a fast, a median and a slow run, coloured by state",
    "phase_transitions": "When runs memorise and generalise, and what coincides with it",
    "state_timelines": "States of all runs over time",
    "convergence_times": "Histogram of convergence times",
    "regression": "Coefficients of the states, and runs as the other runs predict them",
    "dissimilarity": "Heat map of the dissimilarity between runs",
}
# Figures that the script draws anew, so that one for phones would be seen by few.
_REDRAWN = ("loss_by_state", "state_timelines")
# The parts of the page's script, in the order in which they use each other.
_SCRIPTS = ("model", "parts", "map", "controls", "chart", "curves", "timelines", "start")


def render_report(
    results: ExperimentResults,
    time: Time = "epoch",
    settings: Mapping[str, Any] | None = None,
    called: str | None = None,
) -> str:
    """The whole page as HTML.

    Args:
        results: an experiment's results.
        time: time axis, "epoch" or "step".
        settings: the experiment's settings, to be listed; may be nested.
        called: what the config calls the experiment, if that is not its name.
    """
    axis = results.time_axis(time)
    notes = [note.text for note in results.notes]
    if axis != time and results.logs:
        notes.append("Time is in steps, because not every run has a training log with epochs.")
    summary = summarise(results)
    data = page_data(results, axis)
    script = _script()
    sensitivity = sensitivity_section(results, settings)
    early_warning = early_warning_section(results, settings)
    return render(
        "report.html.j2",
        policy=_policy(script),
        page_style=Markup(f"{source('page.css')}\n{state_variables()}"),
        script=Markup(script),
        script_data=to_script(data),
        data=data,
        has_metrics=bool(data["metrics"]),
        maps=_maps(results, axis, data),
        contents=_contents(results, data, bool(sensitivity), bool(early_warning)),
        sensitivity=sensitivity,
        early_warning=early_warning,
        converging=not results.convergence.empty,
        experiment=results.experiment,
        summary=summary,
        headline=headline(
            summary,
            significant=bool(results.regression.get("significant")),
        ),
        notes=notes,
        time=axis,
        results=results,
        selected=results.training_map["selected_model"],
        stability=results.stability,
        candidates=_candidates(results.stability) if results.has_model else [],
        restarts=_restarts(results) if results.has_model else [],
        by_gradient=results.training_map.get("feature_ranking") == "posterior_gradient",
        direction=gradient_arrow,
        how_to_read_map=explain_map(results.training_map, results.detour_states),
        figures=_figures(results, axis),
        swatches={state: _swatch(state) for state in results.states},
        states=_states(results, axis),
        transitions=_transitions(results),
        routes=results.training_map["paths"][:_MOST_ROUTES],
        entering=sections.entering_times(results, axis),
        forks=sections.fork_rows(results, axis),
        forks_ending=sections.forks_ending(results),
        n_forks_drawn=MOST_FORKS,
        phases=sections.phase_rows(results),
        phases_missed=bool((results.phase_transitions["status"] == "not reached").any()),
        order=sections.order_sentence(results),
        outcome=results.outcome,
        coefficients=results.coefficients.to_dict("records"),
        how_to_read_coefficients=sections.how_to_read_coefficients(results),
        has_predictions=bool(results.outcomes["predicted"].notna().any()),
        fit=sections.fit_rows(results),
        outliers=sections.outlier_rows(results),
        distances=sections.distance_names(results),
        medians=sections.median_distances(results),
        glossary=_glossary(results),
        settings=list(_flatten(settings or {})),
        versions=_versions(),
        command=_command(results, called or results.experiment),
        format_change=format_change,
        symbol=metric_symbol,
    )


def _command(results: ExperimentResults, called: str) -> str:
    """What makes the page again."""
    target = results.folder / "report.html"
    experiments = shlex.quote(f"experiments=[{called}]")
    return f"snakemake --cores all --config {experiments} -- {shlex.quote(str(target))}"


def _script() -> str:
    """The page's script: one module."""
    return "\n".join(source(f"{name}.js") for name in _SCRIPTS)


def _policy(script: str) -> str:
    """The page's security policy: no request to anywhere, and no script but its own."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _contents(
    results: ExperimentResults, data: Mapping[str, Any], sensitivity: bool, early_warning: bool
) -> list[tuple[str, str]]:
    """The sections of the page, in order: anchor and name."""
    regression = "Detours" if results.outcome["is_time"] else "Regression"
    sections_there: list[tuple[str, str, Any]] = [
        ("map", "Map", True),
        ("curves", "Loss curves", True),
        ("over-time", "Metrics over time", data["metrics"]),
        ("timelines", "Timelines", True),
        ("states", "States", True),
        ("routes", "Routes", True),
        ("forks", "Forks", results.forks.get("forks")),
        ("phases", "Phases", results.phases),
        ("convergence", "Convergence", True),
        ("detours", regression, True),
        ("differences", "Differences", True),
        ("selection", "Model selection", results.has_model),
        ("sensitivity", "Other metrics", sensitivity),
        ("early-warning", "Early warning", early_warning),
        ("metrics", "Metrics", results.has_model),
        ("made", "How it was made", True),
    ]
    return [(anchor, name) for anchor, name, there in sections_there if there]


def _maps(results: ExperimentResults, time: Time, data: Mapping[str, Any]) -> dict[str, Markup]:
    """The map for wide screens and paper, and for phones."""
    titles = _titles(data)
    return {
        name: Markup(
            map_svg(
                results.training_map,
                detour_states=results.detour_states,
                fork_states=[fork["state"] for fork in results.forks.get("forks", ())],
                first_visits=results.first_visits(time),
                time=time,
                inches=inches,
                titles=titles,
            )
        )
        for name, inches in _MAP_WIDTHS.items()
    }


def _figures(results: ExperimentResults, time: Time) -> dict[str, Markup]:
    """Every figure that has something to show, for wide screens and paper, and for phones.

    The others are empty.
    """
    empty = {
        "forks": not timed_forks(results),
        "phase_transitions": not found_phases(results),
        "regression": results.coefficients.empty,
        "model_selection": not results.has_model,
        "loss_by_state": not logged_curves(results),
        "convergence_times": results.convergence.empty,
    }
    return {
        name: Markup("") if empty.get(name) else _drawn(name, label, results, time)
        for name, label in _FIGURE_LABELS.items()
    }


def _drawn(name: str, label: str, results: ExperimentResults, time: Time) -> Markup:
    """A figure for a wide page; and for a phone, where the script has nothing in its place."""
    widths: tuple[Width, ...] = ("page",) if name in _REDRAWN else ("page", "column")
    parts = []
    for width in widths:
        svg = themed(inline_svg(FIGURES[name](results, time, width), f"{name}-{width}", label, {}))
        parts.append(f'<div class="{width if len(widths) > 1 else "any"}">{svg}</div>')
    # inline_svg escapes what it writes; the class is one of three constants.
    return Markup("".join(parts))


def _titles(data: Mapping[str, Any]) -> dict[str, str]:
    """What pointing at a part of the map shows where no script runs."""
    titles = {f"state-{fact['state']}": (f"State {fact['state']}", fact) for fact in data["states"]}
    titles |= {
        f"transition-{fact['from']}-{fact['to']}": (f"{fact['from']} → {fact['to']}", fact)
        for fact in data["edges"]
    }
    return {
        name: f"{head}: " + "; ".join(f"{key} {text}".strip() for key, text in fact["rows"])
        for name, (head, fact) in titles.items()
    }


def _swatch(state: int) -> dict[str, str]:
    return {"background": colour_variable(state), "ink": ink_variable(state)}


def _states(results: ExperimentResults, time: Time) -> list[dict[str, Any]]:
    first_visits = results.first_visits(time)
    return [
        {**state, "first_visit": first_visits.get(state["state"])}
        for state in sorted(results.training_map["states"], key=lambda state: state["state"])
    ]


def _transitions(results: ExperimentResults) -> list[dict[str, Any]]:
    return sorted(results.training_map["transitions"], key=lambda t: (t["from"], t["to"]))


def _candidates(stability: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The numbers of states that were tried, the nearest to the chosen one first."""
    rows = stability["candidates"]
    near = within_margin(stability)
    return [
        {
            **row,
            "name": candidate_name(row, rows),
            "chosen": same_candidate(row, stability["chosen"]),
            "near": row in near,
        }
        for row in sorted(rows, key=lambda row: row["difference"])
    ]


def _restarts(results: ExperimentResults) -> list[dict[str, Any]]:
    """The restarts of the chosen candidate, and how far their paths are those of the kept one."""
    chosen, found = results.stability["chosen"], results.stability["restarts"]
    table = results.model_selection
    table = table[table["split"] == 0]
    rows = table[(table["n_states"] == chosen["n_states"]) & (table["model"] == chosen["model"])]
    agreement = found["adjusted_rand_index"][chosen["restart"]]
    return [
        {**row, "agreement": agreement[row["restart"]], "kept": row["restart"] == chosen["restart"]}
        for row in rows.sort_values("restart").to_dict("records")
    ]


def _glossary(results: ExperimentResults) -> list[dict[str, str]]:
    """Rows of the metrics that these runs have; a metric of the user's own has only its name."""
    from training_maps.metrics.definitions import ALL_METRICS

    known = {metric.column: metric for metric in ALL_METRICS}
    rows = []
    for column in results.training_map["metrics"]:
        metric = known.get(column)
        rows.append(
            {
                "column": column,
                "symbol": metric.symbol if metric else column,
                "formula": metric.formula if metric else "",
                "meaning": metric.meaning if metric else "a metric of your own",
            }
        )
    return rows


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as pairs of a dotted key and a value's text."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield f"{prefix}{key}", ", ".join(map(str, value))
        else:
            yield f"{prefix}{key}", str(value)


def _versions() -> dict[str, str]:
    versions = {"training-maps": package_version(), "Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "unknown"
    return versions
