"""What the runs of an experiment did, in a few sentences, for page and terminal."""

from __future__ import annotations

from typing import Any

from training_maps.report.delays import what_delays
from training_maps.training_map.paths import WHY_NOT_LINEAR
from training_maps.utils.wording import equals_p, numbered, plural


def headline(summary: dict[str, Any], significant: bool) -> list[str]:
    """What the runs of a summary did, in a few sentences.

    Args:
        summary: as in `summary.json`.
        significant: whether the regression is, so that its coefficients may be interpreted.
    """
    return [
        _what_ran(summary),
        *_what_choice(summary),
        _what_shape(summary),
        *_what_forks(summary),
        *_what_regression(summary, significant),
        *what_delays(summary),
        *_what_difference(summary),
        *_what_outliers(summary),
    ]


def _what_ran(summary: dict[str, Any]) -> str:
    n_runs, n_converged = summary["n_runs"], summary["n_converged"]
    if n_converged is None:
        converged = "convergence is not defined for them"
    elif n_runs == 1:
        converged = "it converged" if n_converged else "it did not converge"
    elif n_converged == n_runs:
        converged = "all of them converged"
    elif n_converged == 0:
        converged = "none of them converged"
    else:
        converged = f"{n_converged} of them converged"
    states = plural(summary["n_states"], "state")
    return f"{plural(n_runs, 'run')} of training went through {states}; {converged}."


def _what_choice(summary: dict[str, Any]) -> list[str]:
    if summary["selection"] is None or summary["selection"]["verdict"] != "fragile":
        return []
    return ["How many states there are is a fragile choice (see “Model selection”)."]


def map_shape(summary: dict[str, Any]) -> str:
    """ "linear", "forking", or of a map that is neither "no fork": runs only end early or go back.

    A map is linear, by the paper, if all runs pass through the same states in the same order.
    """
    if not summary["forking"]:
        return "linear"
    forks = summary["forks"]
    return "no fork" if forks is not None and not forks["states"] else "forking"


def _what_shape(summary: dict[str, Any]) -> str:
    if summary["n_states"] == 1:
        return "With a single state the map has no transitions."
    if summary["forking"]:
        reasons = [n["text"] for n in summary["notes"] if n["kind"] == WHY_NOT_LINEAR]
        return reasons[0] if reasons else "The map forks: runs take different ways through it."
    return "The map is linear: every run passes through the same states in the same order."


def _what_forks(summary: dict[str, Any]) -> list[str]:
    forks = summary["forks"]
    if not forks or not forks["tested"]:
        return []
    predicting = forks["predicting"]
    if not predicting:
        return ["Which way a run takes is not seen to predict when it converges."]
    return [f"The way taken from {numbered('state', predicting)} predicts when a run converges."]


def _what_regression(summary: dict[str, Any], significant: bool) -> list[str]:
    r_squared, p = summary["r_squared"], summary["p_value"]
    outcome = summary["outcome"]
    name = outcome["name"] if outcome else "convergence time"
    if r_squared is None:
        return [f"How long runs stay in each state could not be related to their {name}."]
    known = f"(R² = {r_squared:.3f}" + (f", {equals_p(p)})" if p is not None else ")")
    sentence = (
        f"The shares of time that a run spends in the states explain {max(r_squared, 0):.1%} of "
        f"the variance in {name} {known}."
    )
    foretold = (summary.get("foretelling") or {}).get("sentence")
    if not significant:
        return [sentence, "That is not significant, so the coefficients tell nothing."]
    return [sentence, *([foretold] if foretold else [])]


def _what_difference(summary: dict[str, Any]) -> list[str]:
    index = summary["dissimilarity"]["index"]
    if index is None:
        return []
    return [f"The average dissimilarity between two runs' trajectories is {index:.3f}."]


def _what_outliers(summary: dict[str, Any]) -> list[str]:
    seeds = summary["outlier_seeds"]
    if not seeds:
        return []
    do = "does" if len(seeds) == 1 else "do"
    return [
        f"{plural(len(seeds), 'run')} ({numbered('seed', seeds)}) {do} not behave like the rest."
    ]
