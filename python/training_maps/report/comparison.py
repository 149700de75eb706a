"""Experiments side by side: the paper's Tables 1 and 2, Figures 6 and 11, of one's own runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from markupsafe import Markup

from training_maps.analysis.semantics.outcomes import CONVERGENCE_TIME
from training_maps.report.headline import map_shape
from training_maps.report.paper import PAPER, PaperRow
from training_maps.report.rendering import render
from training_maps.report.summary import outlier_count, predictive_forks, read_summary
from training_maps.results import ExperimentResults, Time
from training_maps.utils.errors import InputError
from training_maps.utils.wording import plural

if TYPE_CHECKING:
    import pandas as pd

_ABOUT_KEYS = {"paper", "compare_with", "time", "description"}


@dataclass(frozen=True)
class Compared:
    """One of the experiments to compare.

    Attributes:
        summary: its `summary.json` as a dict.
        folder: the folder of its results.
        paper: the row of the paper's Table 1 whose settings it has; None for settings of one's own.
        compare_with: the experiment it is a stabilised or destabilised variant of, if any.
        time: what times are shown in.
        description: a line about it.
    """

    summary: dict[str, Any]
    folder: Path
    paper: PaperRow | None = None
    compare_with: str | None = None
    time: Time = "epoch"
    description: str = ""

    @property
    def name(self) -> str:
        """The experiment's name."""
        return str(self.summary["experiment"])

    @property
    def has_results(self) -> bool:
        """Whether there is a map beside the summary, and not the summary alone."""
        return (self.folder / "training_map.json").exists()


def read_experiments(
    paths: Sequence[Path], about: Mapping[str, Mapping[str, Any]] | None = None
) -> list[Compared]:
    """Read summaries, and take what `about` says of their experiments.

    Args:
        paths: the files `summary.json`, each in the folder of its experiment's results.
        about: by an experiment's name: `paper` (a key of `PAPER`), `compare_with`, `time` and
            `description`, as far as they are known.

    Raises:
        InputError: if a summary is broken, two are of the same experiment, or `about` names a
            setting that the paper does not have.
    """
    experiments: dict[str, Compared] = {}
    for path in paths:
        summary = read_summary(path)
        name = summary["experiment"]
        if name in experiments:
            other = experiments[name].folder / path.name
            raise InputError(f"{other} and {path} are both summaries of experiment {name}")
        known = {key: value for key, value in (about or {}).get(name, {}).items() if value}
        if set(known) - _ABOUT_KEYS:
            strange = ", ".join(sorted(set(known) - _ABOUT_KEYS))
            raise InputError(f"--about: {name}: does not know {strange}")
        paper = known.pop("paper", None)
        if paper is not None and paper not in PAPER:
            raise InputError(f"--about: {name}: the paper has no {paper}, only {', '.join(PAPER)}")
        row = None if paper is None else PAPER[paper]
        experiments[name] = Compared(summary, path.parent, row, **known)
    return list(experiments.values())


def comparison_table(experiments: Sequence[Compared]) -> pd.DataFrame:
    """One row an experiment; columns `paper_*` hold the paper's numbers where it has them.

    Cells of what is not defined are None (empty in a file).
    """
    import pandas as pd

    return pd.DataFrame([_row(one.summary, one.paper) for one in experiments], dtype=object)


def _row(summary: Mapping[str, Any], paper: PaperRow | None) -> dict[str, Any]:
    outliers = summary["outlier_seeds"]
    return {
        "experiment": summary["experiment"],
        "n_runs": summary["n_runs"],
        "n_converged": summary["n_converged"],
        "structure": summary["structure"],
        "n_states": summary["n_states"],
        "choice": (summary["selection"] or {}).get("verdict"),
        "found_again": summary["reproducibility"]["states"],
        "outcome": (summary["outcome"] or {}).get("name"),
        "r_squared": summary["r_squared"],
        "p_value": summary["p_value"],
        "dissimilarity_index": summary["dissimilarity"]["index"],
        "dissimilarity_discrete": summary["dissimilarity"]["discrete"],
        "dissimilarity_means": summary["dissimilarity"]["means"],
        "shape": map_shape(summary),
        "forking": map_shape(summary) == "forking",
        "predictive_forks": " ".join(map(str, (summary["forks"] or {}).get("predicting", ()))),
        "detour_states": " ".join(map(str, summary["detour_states"])),
        "delays": " ".join(map(str, summary["delays"])),
        "n_outliers": None if outliers is None else len(outliers),
        "paper_r_squared": paper.r_squared if paper else None,
        "paper_p_value": paper.p_value if paper else None,
        "paper_dissimilarity": paper.dissimilarity if paper else None,
        "paper_forking": paper.forking if paper else None,
    }


def render_comparison(experiments: Sequence[Compared], page: Path) -> str:
    """The comparison as a self-contained page.

    Args:
        experiments: what to compare.
        page: where the page will be, so that links are relative to it.
    """
    from training_maps.report.theme import state_variables

    rows = [
        {
            "summary": one.summary,
            "paper": one.paper,
            "outcome": (one.summary["outcome"] or {}).get("name"),
            "predictive_forks": predictive_forks(one.summary),
            "outliers": outlier_count(one.summary),
            "link": quote(
                Path(os.path.relpath(one.folder / "report.html", page.parent)).as_posix()
            ),
            "description": one.description,
        }
        for one in experiments
    ]
    results = {one.name: _results_of(one) for one in experiments if one.has_results}
    return render(
        "comparison.html.j2",
        state_style=Markup(state_variables()),
        rows=rows,
        any_paper=any(row["paper"] is not None for row in rows),
        other_outcomes=any(_is_other(one.summary["outcome"]) for one in experiments),
        coefficients=_coefficients(experiments, results),
        histograms=_histograms(experiments, results),
        pairs=_pairs(experiments, results),
    )


def _is_other(outcome: Mapping[str, Any] | None) -> bool:
    """Whether there is an outcome that is not the paper's."""
    return outcome is not None and outcome["kind"] != CONVERGENCE_TIME


def _coefficients(
    experiments: Sequence[Compared], results: Mapping[str, ExperimentResults]
) -> list[dict[str, Any]]:
    """The regression of every experiment whose map forks, as in the paper's Table 2."""
    return [
        {
            "name": one.name,
            "significant": bool(results[one.name].regression.get("significant")),
            "unit": results[one.name].outcome["unit"],
            "outcome": results[one.name].outcome["name"],
            "states": results[one.name].coefficients.to_dict("records"),
            "paper": one.paper if one.paper and one.paper.coefficients else None,
        }
        for one in experiments
        if map_shape(one.summary) == "forking"
        and one.name in results
        and not results[one.name].coefficients.empty
    ]


def _histograms(
    experiments: Sequence[Compared], results: Mapping[str, ExperimentResults]
) -> list[dict[str, Any]]:
    """A histogram of convergence times for every experiment that knows them."""
    from training_maps.figures.convergence_times import draw_convergence_times
    from training_maps.figures.save import inline_svg
    from training_maps.report.theme import themed

    drawn = []
    for i, one in enumerate(experiments):
        if one.name not in results or results[one.name].convergence.empty:
            continue
        figure = draw_convergence_times(results[one.name], one.time)
        label = f"Histogram of the convergence times of {one.name}"
        # inline_svg escapes what it writes.
        svg = Markup(themed(inline_svg(figure, f"times-{i}", label, {})))
        drawn.append({"name": one.name, "svg": svg})
    return drawn


def _results_of(one: Compared) -> ExperimentResults:
    """An experiment's results, without what halves said of them before if its summary does not."""
    results = ExperimentResults.read(one.folder)
    return results if one.summary.get("refits") else results.without_halves()


def _pairs(
    experiments: Sequence[Compared], results: Mapping[str, ExperimentResults]
) -> list[dict[str, Any]]:
    """Each experiment beside the one it is a variant of, if both are here."""
    by_name = {one.name: one for one in experiments if one.name in results}
    pairs = []
    for one in by_name.values():
        base = by_name.get(one.compare_with or "")
        if base is not None and base is not one:
            pairs.append(
                {
                    "title": f"{base.name} and {one.name}",
                    "sides": [_side(side, results[side.name]) for side in (base, one)],
                    "sentence": pair_sentence(base.summary, one.summary),
                }
            )
    return pairs


def _side(one: Compared, results: ExperimentResults) -> dict[str, Any]:
    """One map of a pair, as narrow as two beside each other must be, and numbers of its shape."""
    from training_maps.figures.map.svg import map_svg
    from training_maps.figures.style import COLUMN

    time = results.time_axis(one.time)
    svg = map_svg(
        results.training_map,
        delay_states=results.delay_states,
        fork_states=(one.summary["forks"] or {}).get("states", ()),
        first_visits=results.first_visits(time),
        time=time,
        inches=COLUMN,
        label=f"Training map of {one.name}",
    )
    n_states = len(results.states)
    n_transitions = len(results.training_map["transitions"])
    routes = len(results.training_map["paths"])
    return {
        "name": one.name,
        "description": one.description,
        # map_svg escapes what it writes.
        "svg": Markup(svg),
        "facts": f"{map_shape(one.summary).capitalize()}: {plural(n_states, 'state')}, "
        f"{plural(n_transitions, 'transition')}, {plural(routes, 'route')} of "
        f"{plural(results.n_runs, 'run')}",
        "dissimilarity": one.summary["dissimilarity"]["index"],
        "r_squared": one.summary["r_squared"],
    }


def pair_sentence(base: Mapping[str, Any], variant: Mapping[str, Any]) -> str:
    """What the variant's map and dissimilarity are beside the base's, in a sentence or two."""
    does = {"forking": "forks", "linear": "is linear", "no fork": "has no fork"}
    too = {"forking": "and so does", "linear": "and so is", "no fork": "nor has"}
    ours, other = map_shape(base), map_shape(variant)
    shape = f"The map of {base['experiment']} {does[ours]}, "
    if ours != other:
        shape += f"that of {variant['experiment']} {does[other]}."
    else:
        shape += f"{too[ours]} that of {variant['experiment']}."
    low, high = base["dissimilarity"]["index"], variant["dissimilarity"]["index"]
    if low is None or high is None:
        return shape
    differ = (
        "as much from each other as"
        if high == low
        else (f"{'more' if high > low else 'less'} from each other than")
    )
    return (
        f"{shape} Runs of {variant['experiment']} differ {differ} those of {base['experiment']} "
        f"(dissimilarity {high:.3f} and {low:.3f})."
    )
