"""The report page: one self-contained HTML file that tells what an experiment's runs did."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from training_maps.figures.convergence_times import draw_convergence_times
from training_maps.figures.dissimilarity import draw_dissimilarity
from training_maps.figures.forks import MOST_FORKS, draw_forks, timed_forks
from training_maps.figures.loss_by_state import draw_loss_by_state, logged_curves
from training_maps.figures.map_table import format_change, gradient_arrow
from training_maps.figures.model_selection import draw_model_selection
from training_maps.figures.phase_transitions import draw_phase_transitions, found_phases
from training_maps.figures.regression import draw_regression
from training_maps.figures.save import inline_svg
from training_maps.figures.state_timelines import draw_state_timelines
from training_maps.figures.style import Width, state_colour, text_colour_on
from training_maps.figures.symbols import metric_symbol
from training_maps.figures.training_map import draw_training_map, explain_map
from training_maps.files import package_version
from training_maps.report import blocks
from training_maps.report.summary import summarise
from training_maps.report.templates import render
from training_maps.report.words import decimal, headline, plural
from training_maps.results import ExperimentResults, Time
from training_maps.stability_words import candidate_name, same_candidate, within_margin

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PACKAGES = ("numpy", "scipy", "pandas", "scikit-learn", "hmmlearn", "matplotlib")
_MOST_ROUTES = 30


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
    notes = list(results.notes)
    if axis != time and results.logs:
        notes.append("Time is in steps, because not every run has a training log with epochs.")
    summary = summarise(results)
    return render(
        "report.html.j2",
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
        entering=blocks.entering_times(results, axis),
        forks=blocks.fork_rows(results, axis),
        forks_ending=blocks.forks_ending(results),
        n_forks_drawn=MOST_FORKS,
        phases=blocks.phase_rows(results),
        phases_missed=bool((results.phase_transitions["status"] == "not reached").any()),
        order=blocks.order_sentence(results),
        outcome=results.outcome,
        coefficients=results.coefficients.to_dict("records"),
        how_to_read_coefficients=blocks.how_to_read_coefficients(results),
        has_predictions=bool(results.outcomes["predicted"].notna().any()),
        fit=blocks.fit_rows(results),
        outliers=blocks.outlier_rows(results),
        distances=blocks.distance_names(results),
        medians=blocks.median_distances(results),
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


def _figures(results: ExperimentResults, time: Time) -> dict[str, Markup]:
    """Every figure that has something to show, for wide screens and paper, and for phones.

    The others are empty.
    """
    first_visits = results.first_visits(time)
    tmap = results.training_map
    drawings: dict[str, tuple[str, Callable[[Width], Figure]]] = {
        "training_map": (
            "Training map",
            lambda width: draw_training_map(
                tmap,
                detour_states=results.detour_states,
                first_visits=first_visits,
                time=time,
                width=width,
                table=False,
            ),
        ),
        "forks": (
            "Convergence times of the branches of each fork",
            lambda width: draw_forks(results, time, width=width),
        ),
        "model_selection": (
            "Model selection curves",
            lambda width: draw_model_selection(
                results.model_selection, results.stability, width=width
            ),
        ),
        "loss_by_state": (
            "Loss and accuracy of a fast, a median and a slow run, coloured by state",
            lambda width: draw_loss_by_state(results, time, width=width),
        ),
        "phase_transitions": (
            "When runs memorise and generalise, and what coincides with it",
            lambda width: draw_phase_transitions(results, time, width=width),
        ),
        "state_timelines": (
            "States of all runs over time",
            lambda width: draw_state_timelines(results, time, width=width),
        ),
        "convergence_times": (
            "Histogram of convergence times",
            lambda width: draw_convergence_times(results, time, width=width),
        ),
        "regression": (
            "Coefficients of the states, and runs as the other runs predict them",
            lambda width: draw_regression(results, width=width),
        ),
        "dissimilarity": (
            "Heat map of the dissimilarity between runs",
            lambda width: draw_dissimilarity(
                results.dissimilarity, outliers=results.outlier_seeds, width=width
            ),
        ),
    }
    empty = {
        "forks": not timed_forks(results),
        "phase_transitions": not found_phases(results),
        "regression": results.coefficients.empty,
        "model_selection": not results.has_model,
        "loss_by_state": not logged_curves(results),
        "convergence_times": results.convergence.empty,
    }
    titles = _titles(results)
    return {
        name: Markup("") if empty.get(name) else _both_widths(name, label, draw, titles)
        for name, (label, draw) in drawings.items()
    }


def _both_widths(
    name: str, label: str, draw: Callable[[Width], Figure], titles: Mapping[str, str]
) -> Markup:
    parts = []
    widths: tuple[Width, ...] = ("page", "column")
    for width in widths:
        svg = inline_svg(draw(width), f"{name}-{width}", label, titles)
        parts.append(f'<div class="{width}">{svg}</div>')
    # inline_svg escapes what it writes; the class is one of two constants.
    return Markup("".join(parts))


def _titles(results: ExperimentResults) -> dict[str, str]:
    """What pointing at a part of a figure shows, by the part's gid."""
    coefficients = dict(
        zip(results.coefficients["state"], results.coefficients["coefficient"], strict=True)
    )
    titles = {}
    for state in results.training_map["states"]:
        number = state["state"]
        features = ", ".join(metric_symbol(f["metric"]) for f in state["features"][:3])
        text = f"State {number}: {features}; " if features else f"State {number}: "
        text += (
            f"{state['share_of_checkpoints']:.1%} of checkpoints, {plural(state['n_runs'], 'run')}"
        )
        if number in coefficients:
            text += f", coefficient {decimal(coefficients[number], 2)}"
        titles[f"state-{number}"] = text
    for edge in results.training_map["transitions"]:
        changes = ", ".join(
            f"{format_change(c['change'])} {metric_symbol(c['metric'])}"
            for c in edge["feature_changes"][:3]
        )
        titles[f"transition-{edge['from']}-{edge['to']}"] = (
            f"{edge['from']} → {edge['to']}: {plural(edge['n_runs'], 'run')}, "
            f"probability {edge['probability']:.3g}" + (f"; {changes}" if changes else "")
        )
    return titles


def _swatch(state: int) -> dict[str, str]:
    colour = state_colour(state)
    return {"background": colour, "ink": text_colour_on(colour)}


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
    from training_maps.metrics import ALL_METRICS

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
