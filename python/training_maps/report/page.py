"""The report page: one self-contained HTML file that tells what an experiment's runs did."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from training_maps.analysis.dissimilarity import sample_sentence
from training_maps.analysis.semantics.regression import TOBIT
from training_maps.figures.forks import MOST_FORKS
from training_maps.figures.loss_by_state import NO_CURVES, featured_runs, name_curves
from training_maps.figures.map.plan import explain_map
from training_maps.model_selection.stability_sentences import (
    candidate_name,
    same_candidate,
    within_margin,
)
from training_maps.report import sections
from training_maps.report.beside import beside_block
from training_maps.report.headline import paragraphs
from training_maps.report.layers import layers_block
from training_maps.report.notes import first_sentences, full_notes
from training_maps.report.page_data import page_data, to_script
from training_maps.report.page_figures import figures, maps, swatch
from training_maps.report.provenance import (
    changed_settings,
    files_beside,
    files_of_figures,
    flat,
    provenance,
)
from training_maps.report.rendering import page_script, render, script_policy, source
from training_maps.report.summary import summarise
from training_maps.report.theme import state_variables
from training_maps.results import ExperimentResults, Time
from training_maps.runs.training_logs import LOG_NAMES
from training_maps.training_map.posterior_gradient import POSTERIOR_GRADIENT
from training_maps.utils.notes import Note
from training_maps.utils.wording import listing

_MOST_ROUTES = 30


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        template: its template, which finds what it shows under the name `section`.
        contents: anchor and name of each of its headings, for the page's contents.
        shows: what the template shows.
    """

    template: str
    contents: Sequence[tuple[str, str]]
    shows: Mapping[str, Any]


@dataclass(frozen=True)
class _Material:
    """What several sections are made of.

    Attributes:
        results: the experiment's results.
        time: the time axis, resolved.
        settings: the experiment's settings; empty if they are not known.
        summary: as `summarise` makes it.
        data: as `page_data` makes it.
        figures: every figure by its name, empty where there is nothing to show.
        beside: another analysis of the same runs, if its map is to be shown beside this one.
        defaults: of the settings; empty if they are not known.
    """

    results: ExperimentResults
    time: Time
    settings: Mapping[str, Any]
    summary: Mapping[str, Any]
    data: Mapping[str, Any]
    figures: Mapping[str, Markup]
    defaults: Mapping[str, Any]
    beside: ExperimentResults | None = None


def render_report(
    results: ExperimentResults,
    time: Time = "epoch",
    settings: Mapping[str, Any] | None = None,
    called: str | None = None,
    beside: ExperimentResults | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> str:
    """The whole page as HTML.

    Args:
        results: an experiment's results.
        time: time axis, "epoch" or "step".
        settings: the experiment's settings, to be listed; may be nested.
        called: what the config calls the experiment, if that is not its name.
        beside: another analysis of the same runs, whose map and colouring are shown too.
        defaults: of the settings, so that the page can tell which of them differ.

    Raises:
        InputError: if the other analysis has no checkpoint that this one has.
    """
    if settings and not settings.get("reproducibility", {}).get("halves", 1):
        results = results.without_halves()
    axis = results.time_axis(time)
    notes = list(results.notes)
    if axis != time and results.logs:
        text = "Time is in steps, because not every run has a training log with epochs."
        notes.append(Note("time_in_steps", text))
    material = _Material(
        results=results,
        time=axis,
        settings=settings or {},
        summary=summarise(results),
        data=page_data(results, axis),
        figures=figures(results, axis),
        beside=beside,
        defaults=defaults or {},
    )
    following = [
        *(section for make in _SECTIONS if (section := make(material)) is not None),
        _made(material, called or results.experiment),
    ]
    anchors = {anchor for section in following for anchor, _ in section.contents}
    told = full_notes(notes, anchors)
    shown = [_explore(material, first_sentences(notes, anchors)), *following]
    return render(
        "report.html.j2",
        page=_page(material),
        header=_header(material, shown),
        sections=[
            (
                section.template,
                section.shows,
                [(anchor, told[anchor]) for anchor, _ in section.contents if anchor in told],
            )
            for section in shown
        ],
    )


def _page(material: _Material) -> dict[str, Any]:
    """What stands around header and sections."""
    results, script = material.results, page_script()
    return {
        "experiment": results.experiment,
        "description": material.settings.get("description"),
        "policy": script_policy(script),
        "style": Markup(f"{source('page.css')}\n{state_variables()}"),
        "script": Markup(script),
        "script_data": to_script(material.data),
        "files": files_of_figures(results.folder),
        "swatches": {state: swatch(state) for state in results.states},
    }


def _header(material: _Material, shown: Sequence[Section]) -> dict[str, Any]:
    """The page's header, with the contents of the sections that are shown."""
    results, summary = material.results, dict(material.summary)
    significant = bool(results.regression.get("significant"))
    return {
        "paragraphs": paragraphs(summary, significant),
        "summary": summary,
        "is_tobit": _is_tobit(results),
        "is_time": results.outcome["is_time"],
        "contents": [entry for section in shown for entry in section.contents],
    }


def _explore(material: _Material, notes: Sequence[Mapping[str, str]]) -> Section:
    """Map, curves and timelines, with the controls for all of them, and the notes."""
    results, data = material.results, material.data
    has_metrics = bool(data["metrics"])
    contents = [("map", "Training map"), ("curves", name_curves(results))]
    contents += [("over-time", "Metrics over time")] if has_metrics else []
    return Section(
        "explore.html.j2",
        [*contents, ("timelines", "All runs over time")],
        {
            "maps": maps(results, material.time, data),
            "how_to_read_map": explain_map(
                results.training_map,
                results.delay_states,
                results.rarely_found,
                results.reproducibility.get("scheme"),
            ),
            "n_states": len(results.states),
            "has_model": results.has_model,
            "has_forks": bool(results.forks.get("forks")),
            "notes": notes,
            "curves": material.figures["loss_by_state"],
            "curves_of": name_curves(results),
            "no_curves": NO_CURVES,
            "featured": listing([name for name, _ in featured_runs(results)]),
            "crossing": results.crossing,
            "has_metrics": has_metrics,
            "timelines": material.figures["state_timelines"],
            "rows_of": sections.rows_of(len(data["runs"]), results.n_runs),
            "some_converge": not results.convergence.empty,
            "has_outliers": bool(results.outlier_seeds),
            "data_notes": data["notes"],
        },
    )


def _states(material: _Material) -> Section:
    results, found = material.results, material.results.drawn_map
    first = results.first_visits(material.time)
    return Section(
        "states.html.j2",
        [("states", "States and transitions")],
        {
            "states": [
                {**state, "first_visit": first.get(state["state"])}
                for state in sorted(found["states"], key=lambda state: state["state"])
            ],
            "transitions": sorted(found["transitions"], key=lambda t: (t["from"], t["to"])),
            "has_model": results.has_model,
            "by_gradient": found.get("feature_ranking") == POSTERIOR_GRADIENT,
            "delay_states": results.delay_states,
            "compared": results.forks.get("fast_and_slow"),
            "significance": results.forks.get("significance"),
            "time": material.time,
        },
    )


def _routes(material: _Material) -> Section:
    results, routes = material.results, material.results.training_map["paths"]
    return Section(
        "routes.html.j2",
        [("routes", "Routes")],
        {
            "routes": routes[:_MOST_ROUTES],
            "n_more": len(routes) - _MOST_ROUTES,
            "is_without_fork": bool(results.forks) and not results.forks["forks"],
            "entering": sections.entering_times(results, material.time),
            "time": material.time,
        },
    )


def _forks(material: _Material) -> Section | None:
    results, figure = material.results, material.figures["forks"]
    if not results.forks.get("forks"):
        return None
    return Section(
        "forks.html.j2",
        [("forks", "Forks")],
        {
            "forks": sections.fork_rows(results, material.time),
            "ending": sections.forks_ending(results),
            "figure": figure,
            "n_drawn": MOST_FORKS,
            "is_time": results.outcome["is_time"],
            "some_never_converge": (results.n_converged or 0) < results.n_runs,
            "significance": results.forks["significance"],
            "time": material.time,
            "notes": results.forks["notes"],
        },
    )


def _layers(material: _Material) -> Section | None:
    found = layers_block(material.results, material.settings)
    if not found:
        return None
    shows = {**found, "figure": material.figures["layers"]}
    return Section("layers.html.j2", [("layers", "Which layers change")], shows)


def _phases(material: _Material) -> Section | None:
    results = material.results
    # A return or a perplexity neither memorises nor generalises.
    logs = results.logs.values()
    if not results.phases or (
        logs and not any(log[name].notna().any() for log in logs for name in LOG_NAMES)
    ):
        return None
    return Section(
        "phases.html.j2",
        [("phases", "Memorisation and generalisation")],
        {
            "phases": sections.phase_rows(results),
            "order": sections.order_sentence(results),
            "figure": material.figures["phase_transitions"],
            "some_do_not": bool((results.phase_transitions["status"] == "not reached").any()),
            "tolerance": results.phases["tolerance"],
            "notes": results.phases["notes"],
            "reason": results.phases["reason"],
        },
    )


def _convergence(material: _Material) -> Section | None:
    results = material.results
    if results.logs and results.convergence.empty:
        return None  # an outcome without a threshold: nobody asks when runs converge
    return Section(
        "convergence.html.j2",
        [("convergence", "Convergence times")],
        {
            "figure": material.figures["convergence_times"],
            "crossing": results.crossing,
            "has_logs": bool(results.logs),
        },
    )


def _regression(material: _Material) -> Section:
    results, found = material.results, material.results.regression
    return Section(
        "regression.html.j2",
        [("detours", f"States and {results.outcome['name']}")],
        {
            "outcome": results.outcome,
            "is_tobit": _is_tobit(results),
            "is_significant": found.get("significant"),
            "significance": found.get("significance"),
            "coefficients": results.coefficients.to_dict("records"),
            "how_to_read": sections.how_to_read_coefficients(results),
            "figure": material.figures["regression"],
            "has_predictions": bool(results.outcomes["predicted"].notna().any()),
            "fit": sections.fit_rows(results),
            "alternatives": (found.get("alternatives") or {}).get("sentence"),
            "reason": found.get("reason"),
            "foretelling": (found.get("foretelling") or {}).get("sentence"),
            "delays": results.delays.to_dict("records"),
        },
    )


def _differences(material: _Material) -> Section:
    results = material.results
    outliers = {
        "found": sections.outlier_rows(results),
        "distances": sections.distance_names(results),
        "medians": sections.median_distances(results),
        "are_too_few": material.summary["outlier_seeds"] is None,
        "n_runs": results.n_runs,
    }
    return Section(
        "differences.html.j2",
        [("differences", "How differently runs train")],
        {
            "dissimilarity": material.summary["dissimilarity"],
            "sample": sample_sentence(material.summary["sample_of_pairs"]),
            "has_model": results.has_model,
            "figure": material.figures["dissimilarity"],
            "outliers": None if results.outliers.empty else outliers,
        },
    )


def _selection(material: _Material) -> Section | None:
    results = material.results
    if not results.has_model:
        return None
    return Section(
        "selection.html.j2",
        [("selection", "Model selection")],
        {
            "selected": results.training_map["selected_model"],
            "stability": results.stability,
            "held_out": results.validation_seeds,
            "figure": material.figures["model_selection"],
            "candidates": _candidates(results.stability),
            "restarts": _restarts(results),
        },
    )


def _structure(material: _Material) -> Section | None:
    found = sections.structure_block(material.results)
    if not found:
        return None
    return Section("structure.html.j2", [("structure", "Are there states at all?")], found)


def _beside(material: _Material) -> Section | None:
    if material.beside is None:
        return None
    shows = beside_block(material.results, material.beside, material.time)
    return Section("beside.html.j2", [("beside", "Two maps of the same runs")], shows)


def _reproducibility(material: _Material) -> Section | None:
    found = sections.reproducibility_block(material.results)
    if not material.results.has_model or not found:
        return None
    return Section(
        "reproducibility.html.j2", [("reproducibility", "Would other seeds show it?")], found
    )


def _sensitivity(material: _Material) -> Section | None:
    found = sections.sensitivity_block(material.results, material.settings)
    if not material.results.has_model or not found:
        return None
    return Section("sensitivity.html.j2", [("sensitivity", "Other metrics")], found)


def _early_warning(material: _Material) -> Section | None:
    found = sections.early_warning_block(material.results, material.settings)
    if not material.results.has_model or not found:
        return None
    return Section("early_warning.html.j2", [("early-warning", "Early warning")], found)


def _metrics(material: _Material) -> Section | None:
    if not material.results.has_model:
        return None
    rows = sections.glossary_rows(material.results)
    return Section("metrics.html.j2", [("metrics", "Metrics")], {"glossary": rows})


def _made(material: _Material, called: str) -> Section:
    return Section(
        "made.html.j2",
        [("made", "How it was made")],
        {
            "command": _command(material.results, called),
            "settings": list(flat(material.settings)),
            "changed": changed_settings(material.settings, material.defaults),
            "provenance": provenance(material.results),
            "files": files_beside(material.results.folder),
        },
    )


# The sections between the first and the last, in the page's order; some have nothing to show.
_SECTIONS: tuple[Callable[[_Material], Section | None], ...] = (
    _structure,
    _beside,
    _reproducibility,
    _states,
    _routes,
    _layers,
    _forks,
    _phases,
    _convergence,
    _regression,
    _differences,
    _selection,
    _sensitivity,
    _early_warning,
    _metrics,
)


def _is_tobit(results: ExperimentResults) -> bool:
    """Whether the regression is by a Tobit model."""
    return results.regression.get("method") == TOBIT


def _command(results: ExperimentResults, called: str) -> str:
    """What makes the page again."""
    target = results.folder / "report.html"
    experiments = shlex.quote(f"experiments=[{called}]")
    return f"snakemake --cores all --config {experiments} -- {shlex.quote(str(target))}"


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
