"""The figures of the report page, drawn for wide screens and paper, and for phones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from training_maps.figures.catalogue import FIGURES
from training_maps.figures.forks import timed_forks
from training_maps.figures.loss_by_state import logged_curves
from training_maps.figures.map.svg import colour_variable, ink_variable, map_svg
from training_maps.figures.model_selection import is_given
from training_maps.figures.phase_transitions import found_phases
from training_maps.figures.save import inline_svg
from training_maps.figures.style import COLUMN, Width
from training_maps.report.theme import themed
from training_maps.results import ExperimentResults, Time

# The map's width in inches where there is room for all layers beside each other, and on a phone.
_MAP_WIDTHS: dict[Width, float] = {"page": 8.2, "column": 0.9 * COLUMN}
# The figures of the page, and what each is for who cannot see it.
_FIGURE_LABELS = {
    "forks": "Convergence times of the branches of each fork",
    "layers": "The metrics of each layer of a typical run over time",
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


def map_of(results: ExperimentResults, time: Time, **drawn: Any) -> Markup:
    """An experiment's map with all that is known of its states; `drawn` as `map_svg` takes it."""
    return Markup(
        map_svg(
            results.training_map,
            delay_states=results.delay_states,
            fork_states=[fork["state"] for fork in results.forks.get("forks", ())],
            faint=results.rarely_found,
            first_visits=results.first_visits(time),
            time=time,
            **drawn,
        )
    )


def maps(results: ExperimentResults, time: Time, data: Mapping[str, Any]) -> dict[str, Markup]:
    """The map for wide screens and paper, and for phones."""
    titles = _titles(data)
    return {
        name: map_of(results, time, inches=inches, titles=titles)
        for name, inches in _MAP_WIDTHS.items()
    }


def figures(results: ExperimentResults, time: Time) -> dict[str, Markup]:
    """Every figure that has something to show, for wide screens and paper, and for phones.

    The others are empty.
    """
    empty = {
        "forks": not timed_forks(results),
        "layers": results.layer_changes.empty,
        "phase_transitions": not found_phases(results),
        "regression": results.coefficients.empty,
        "model_selection": not results.has_model or is_given(results.stability),
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


def swatch(state: int) -> dict[str, str]:
    """The colours of a state's number: of its background, and of its ink."""
    return {"background": colour_variable(state), "ink": ink_variable(state)}
