"""Numbers and results in words, the same on the page, in the terminal and in the comparison."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from training_maps.state_paths import ONLY_BECAUSE

NONE = "–"


def plural(number: int, noun: str) -> str:
    """ "1 run", "40 runs"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listing(items: Sequence[Any]) -> str:
    """ "1", "1 and 3", "1, 3 and 4"."""
    texts = [str(item) for item in items]
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def first_of(numbers: Sequence[int], most: int = 100) -> str:
    """ "1, 3, 4", or of more than `most` the first ones "and 12 more"."""
    text = ", ".join(str(number) for number in numbers[:most])
    left = len(numbers) - most
    return f"{text} and {left:,} more" if left > 0 else text


def numbered(noun: str, numbers: Sequence[int]) -> str:
    """ "state 3", "states 1, 2 and 3"."""
    return f"{noun}{'' if len(numbers) == 1 else 's'} {listing(numbers)}"


def decimal(value: float | None, digits: int = 3) -> str:
    """A number with a fixed number of decimals and a true minus; a dash where there is none."""
    if value is None or value != value:  # an empty cell of a table is read as NaN
        return NONE
    return f"{value:.{digits}f}".replace("-", "−")


def p_value(value: float | None) -> str:
    """A p-value as papers print it: "0.469", or "<0.001"."""
    if value is None or value != value:
        return NONE
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def equals_p(value: float) -> str:
    """ "p < 0.001", "p = 0.469"."""
    text = p_value(value)
    return f"p < {text[1:]}" if text.startswith("<") else f"p = {text}"


def sentence(clause: str) -> str:
    """A clause with a capital and a full stop."""
    return f"{clause[0].upper()}{clause[1:]}."


def amount(value: float | None) -> str:
    """A number of any size with at most a decimal: "1,040", "46.9"; a dash where there is none."""
    if value is None:
        return NONE
    digits = 0 if abs(value) >= 100 else 1
    return f"{value:,.{digits}f}".replace("-", "−")


def true_minus(text: str) -> str:
    """A sentence of another stage, its negative numbers with a true minus."""
    return re.sub(r"(?<![\w.])-(?=\d)", "−", text)


def share(value: float | None) -> str:
    """ "40.5 %", "90 %"; a dash where there is none."""
    return NONE if value is None else f"{round(100 * value, 1):g} %"


def interval(bounds: Sequence[float | None] | None, digits: int | None = None) -> str:
    """ "35.1 to 41.2", with so many decimals or as `amount` does; a dash where there is none."""
    if bounds is None or any(value is None or value != value for value in bounds):
        return NONE
    low, high = (amount(value) if digits is None else decimal(value, digits) for value in bounds)
    return f"{low} to {high}"


def route(states: Sequence[int]) -> str:
    """A route through the map: "0 → 1 → 3"."""
    return " → ".join(str(state) for state in states)


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
        reasons = [note for note in summary["notes"] if note.startswith(ONLY_BECAUSE)]
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
    detours = summary["detour_states"]
    is_time = outcome is None or outcome["is_time"]
    if not significant:
        of = " of detours" if is_time else ""
        return [sentence, f"That is not significant, so the coefficients tell nothing{of}."]
    if not is_time:
        return [sentence]
    if not detours:
        return [sentence, "No state is a detour."]
    if len(detours) == 1:
        return [
            sentence,
            f"State {detours[0]} is a detour: some runs converge without it, and those that stay "
            "in it converge later.",
        ]
    return [
        sentence,
        f"States {listing(detours)} are detours: some runs converge without them, and those that "
        "stay in them converge later.",
    ]


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
