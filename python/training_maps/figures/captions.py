"""A caption for each figure, from the numbers of the experiment: as plain text and as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from training_maps.figures.dissimilarity import MOST_HEAT_RUNS
from training_maps.figures.forks import timed_forks
from training_maps.figures.layers import typical_run
from training_maps.figures.loss_by_state import featured_runs, logged_curves, name_curves
from training_maps.figures.metrics_by_state import telling_metric, why_telling
from training_maps.figures.state_timelines import MOST_ROWS
from training_maps.figures.symbols import metric_symbol
from training_maps.results import ExperimentResults, Time
from training_maps.utils.files import replace_when_whole
from training_maps.utils.wording import decimal, equals_p, listing, numbered, plural

_COLOURS = "A colour is a state, the same in all figures."


def captions(results: ExperimentResults, time: Time) -> dict[str, str]:
    """By the name of each figure, what is seen in it."""
    time = results.time_axis(time)
    return {name: caption(results, time) for name, caption in _CAPTIONS.items()}


def write_captions(results: ExperimentResults, time: Time, folder: Path) -> None:
    """Write `captions.txt` and `captions.tex` beside the figures."""
    texts = captions(results, time)
    plain = "\n\n".join(f"{name}\n{text}" for name, text in texts.items())
    latex = "\n\n".join(
        f"% {name}\n\\caption{{{latex_text(text)}}}\n\\label{{fig:{name}}}"
        for name, text in texts.items()
    )
    for suffix, text in (("txt", plain), ("tex", latex)):
        with replace_when_whole(folder / f"captions.{suffix}") as aside:
            aside.write_text(f"{text}\n", encoding="utf-8")


_LATEX = {
    "\\": r"\textbackslash{}",
    **{one: f"\\{one}" for one in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "→": r"$\rightarrow$",
    "−": r"$-$",
    "±": r"$\pm$",
    "²": r"$^2$",
    "λ": r"$\lambda$",
    "μ": r"$\mu$",
    "ₘₐₓ": r"$_{\max}$",
    "<": r"$<$",
    ">": r"$>$",
}
_SPECIAL = re.compile("|".join(map(re.escape, sorted(_LATEX, key=len, reverse=True))))


def latex_text(text: str) -> str:
    """Text as LaTeX that shows it, whatever is in it."""
    return _SPECIAL.sub(lambda match: _LATEX[match.group()], text)


def _who(results: ExperimentResults) -> str:
    """How many runs of what, and how many states."""
    return f"{_runs(results)} and their {plural(len(results.states), 'state')}"


def _runs(results: ExperimentResults) -> str:
    """How many runs of what."""
    return f"{plural(results.n_runs, 'run')} of {results.experiment}"


def _map(results: ExperimentResults, time: Time) -> str:
    parts = [
        f"Training map of {_who(results)}. A circle is a state, larger the more checkpoints are in "
        "it; an arrow is a transition, wider the more runs take it.",
    ]
    if results.has_model:
        parts.append(
            "Beside a state are the metrics that characterise it most, with the state's mean in "
            f"standard deviations, and the {time} of its first visit (median)."
        )
    parts.append(
        "On an arrow are its number of runs and its probability at each checkpoint, where they fit."
    )
    compared = results.forks.get("fast_and_slow")
    if compared:
        parts.append(
            "“Fast” and “slow” count the runs that take a transition before any has converged, of "
            f"{compared['n_fast']} that converge before the median {time} and {compared['n_slow']} "
            "that do so after it or never; bold where the two differ (Fisher's exact test, "
            "adjusted)."
        )
    if any(t["to"] < t["from"] for t in results.training_map["transitions"]):
        parts.append("Dashed arrows return to an earlier state.")
    if results.delay_states:
        late = numbered("state", results.delay_states)
        parts.append(f"A dashed ring marks a delay ({late}).")
    if results.rarely_found:
        parts.append("What is faint is found again in fewer than half of the halves of the runs.")
    return " ".join(parts)


def _featured(results: ExperimentResults) -> str:
    named = [f"{name} (seed {seed})" for name, seed in featured_runs(results)]
    return listing(named) or "some"


def _overview(results: ExperimentResults, time: Time) -> str:
    if not featured_runs(results):
        return _map(results, time)
    return (
        f"{_map(results, time)} Below, {listing(logged_curves(results))} of runs: "
        f"{_featured(results)}{_lines(results, '; solid lines')}. {_COLOURS}"
    )


def _loss(results: ExperimentResults, time: Time) -> str:
    crossing = f" ({results.crossing})" if results.crossing else ""
    marks = (
        "" if results.convergence.empty else f" Dotted lines mark when a run converges{crossing}."
    )
    return (
        f"{name_curves(results)} over time of {len(featured_runs(results)) or 'some'} of "
        f"{_runs(results)}: {_featured(results)}"
        f"{_lines(results, '. Solid lines')}.{marks} {_COLOURS}"
    )


def _lines(results: ExperimentResults, begin: str) -> str:
    """Which lines are which, where losses or accuracies are drawn."""
    drawn = {"loss", "accuracy"} & set(logged_curves(results))
    return f"{begin} are evaluation, dashed lines training" if drawn else ""


def _timelines(results: ExperimentResults, time: Time) -> str:
    converged = results.n_converged
    marks = f" A diamond marks where a run converges ({converged} of {results.n_runs} do)."
    outliers = numbered("seed", results.outlier_seeds) if results.outlier_seeds else ""
    some = f" {MOST_ROWS:,} of the runs are drawn." if results.n_runs > MOST_ROWS else ""
    return (
        f"States of {_who(results)} over time, a row a run"
        f"{'' if converged is None else ', the fastest on top'}.{some} {_COLOURS}"
        f"{marks if converged is not None else ''}"
        f"{f' A triangle marks an outlier run ({outliers}).' if outliers else ''}"
    )


def _forks(results: ExperimentResults, time: Time) -> str:
    forks = timed_forks(results)
    if not forks:
        return f"There is no fork to compare among {_who(results)}."
    said = [
        f"at state {fork['state']}, {equals_p(fork['p_value_adjusted'])}"
        for fork in forks
        if fork["test"] is not None
    ]
    return (
        f"When runs converge ({time}), by the branch that they take at each fork of the map of "
        f"{_who(results)}. A dot is a run, hollow where it never converges; a line is a branch's "
        "mean with its 95 % interval."
        + (
            f" Permutation tests, adjusted for the number of forks: {'; '.join(said)}."
            if said
            else ""
        )
    )


def _selection(results: ExperimentResults, time: Time) -> str:
    if not results.stability:
        return f"No model was fitted to {_who(results)}: the states were given."
    sentence = results.stability["sentence"]
    return (
        f"Choice of the number of states of {_runs(results)}. A ring marks what was chosen; bars "
        f"are two bootstrap standard errors of the difference to it. {sentence}"
    )


def _layers(results: ExperimentResults, time: Time) -> str:
    if results.layer_changes.empty:
        return f"The metrics of each layer were not kept of {_who(results)}."
    return (
        f"The layers of a typical run of {results.experiment} (seed {typical_run(results)}) over "
        "time: the metrics that change most at transitions, each in standard deviations from the "
        f"layer's mean in the run. The band on top is the run's states. {_COLOURS}"
    )


def _metrics(results: ExperimentResults, time: Time) -> str:
    metric = telling_metric(results)
    if metric is None:
        return f"There are no metrics of {_who(results)}: the states were given."
    return (
        f"{metric_symbol(metric)} (left axis, coloured by state) and evaluation loss (right axis, "
        f"dashed) of some of {_runs(results)}. Of all metrics it is {why_telling(results)}. "
        f"{_COLOURS}"
    )


def _phases(results: ExperimentResults, time: Time) -> str:
    return (
        f"When {_runs(results)} memorise and generalise, in the colours of the states that runs "
        "are in then, and the states and transitions that go with it. The line is what random "
        "times would give, the diamond what the times of the other runs would."
    )


def _convergence(results: ExperimentResults, time: Time) -> str:
    crossing = f", the first checkpoint with {results.crossing}" if results.crossing else ""
    if results.n_converged is None:
        return f"It is not known when {_runs(results)} converge."
    return (
        f"When runs of {results.experiment} converge{crossing}: {results.n_converged} of "
        f"{results.n_runs} do. The dashed line is the median; what never converges stands apart, "
        "hatched."
    )


def _regression(results: ExperimentResults, time: Time) -> str:
    found = results.regression
    if results.coefficients.empty:
        return f"There is no regression of {_who(results)}."
    name = results.outcome["name"]
    return (
        f"Regression of {name} on the share of time in each state, of {_who(results)}: "
        f"R² {decimal(found.get('r_squared'))}. A dot is a coefficient, a line its 95 % interval; "
        "on the right, each run as the others predict it."
    )


def _dissimilarity(results: ExperimentResults, time: Time) -> str:
    some = results.n_runs > MOST_HEAT_RUNS
    table = results.dissimilarity_per_run if some else results.dissimilarity
    mean = float(table["index"].mean()) if len(table) else None
    drawn = f"{MOST_HEAT_RUNS:,} of the runs are drawn. " if some else ""
    return (
        f"Dissimilarity of {_who(results)}: the Wasserstein-1 distance between the shares of "
        "checkpoints that two runs have in each state, states |j − k| apart. Similar runs are "
        f"neighbours. {drawn}Mean over pairs: {decimal(mean)}."
    )


_CAPTIONS: dict[str, Callable[[ExperimentResults, Time], str]] = {
    "overview": _overview,
    "training_map": _map,
    "forks": _forks,
    "model_selection": _selection,
    "layers": _layers,
    "loss_by_state": _loss,
    "metrics_by_state": _metrics,
    "phase_transitions": _phases,
    "state_timelines": _timelines,
    "convergence_times": _convergence,
    "regression": _regression,
    "dissimilarity": _dissimilarity,
}
