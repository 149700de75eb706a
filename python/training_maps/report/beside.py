"""Another analysis of the same runs beside this one: both maps, the runs in both colourings."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from training_maps.figures.save import inline_svg
from training_maps.figures.state_timelines import draw_two_colourings
from training_maps.figures.style import COLUMN
from training_maps.report.page_figures import map_of
from training_maps.report.summary import structure_sentences
from training_maps.report.theme import themed
from training_maps.results import ExperimentResults, Time
from training_maps.stats.agreement import adjusted_rand_index
from training_maps.utils.errors import InputError
from training_maps.utils.wording import kind_of_model, plural


def beside_block(
    results: ExperimentResults, other: ExperimentResults, time: Time
) -> dict[str, Any]:
    """What the section of two maps shows.

    Args:
        results: the experiment's results.
        other: another analysis's of the same runs.
        time: time axis, resolved.

    Returns:
        `sides`, each with `title`, `said` and the map as `svg`; the `sentence` of how far both
        agree; and `timelines`, the runs in both colourings.

    Raises:
        InputError: if they have no checkpoint in common.
    """
    both = (results, other)
    titles = [_title(one, results.experiment != other.experiment) for one in both]
    if titles[0] == titles[1]:
        titles = [f"{title} ({one.folder})" for title, one in zip(titles, both, strict=True)]
    time = other.time_axis(time)
    label = f"States of all runs over time, by {titles[0]} and by {titles[1]}"
    figure = draw_two_colourings(results, other, (titles[0], titles[1]), time)
    return {
        "sentence": agreement_sentence(results, other),
        "sides": [_side(one, title, time) for one, title in zip(both, titles, strict=True)],
        # inline_svg escapes what it writes.
        "timelines": Markup(themed(inline_svg(figure, "beside", label, {}))),
    }


def agreement_sentence(results: ExperimentResults, other: ExperimentResults) -> str:
    """How far two analyses agree on the checkpoints that both have.

    Raises:
        InputError: if there is none.
    """
    from training_maps.analysis.reproducibility.agreement import route_agreement

    paths = results.state_paths.merge(other.state_paths, on=["seed", "step"], suffixes=("", "_b"))
    if paths.empty:
        raise InputError(
            f"{other.folder}: has no checkpoint that {results.folder} has; the two are not of the "
            "same runs"
        )
    paths = paths.sort_values(["seed", "step"])
    a, b = paths["state"].to_numpy(), paths["state_b"].to_numpy()
    lengths = paths.groupby("seed").size().to_numpy()
    index, routes = adjusted_rand_index(a, b), route_agreement(a, b, lengths)
    n_same = round(routes * len(lengths))
    take = "takes" if n_same == 1 else "take"
    return (
        f"Of the {len(paths):,} checkpoints that both have, the two agree on states by an adjusted "
        f"Rand index of {index:.2f} (1 if wholly, about 0 if by chance). {n_same} of "
        f"{plural(len(lengths), 'run')} {take} the same route by both, once states are matched."
    )


def _title(results: ExperimentResults, named: bool) -> str:
    """ "3 Gaussian states", with the experiment's name where the two have different ones."""
    model = results.training_map["selected_model"]
    kind = f"{kind_of_model(model['model'])} " if model else "given "
    title = plural(len(results.states), f"{kind}state")
    return f"{results.experiment}: {title}" if named else title


def _side(results: ExperimentResults, title: str, time: Time) -> dict[str, Any]:
    svg = map_of(results, time, inches=COLUMN, label=f"Training map of {title}")
    return {"title": title, "said": " ".join(structure_sentences(results)), "svg": svg}
