"""What the runs of an experiment did, in a few sentences, for page and terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training_maps.report.delays import what_delays
from training_maps.training_map.elements import NOISE_ALONE
from training_maps.training_map.paths import WHY_NOT_LINEAR
from training_maps.utils.numbers import FOUND_AGAIN
from training_maps.utils.wording import (
    decimal,
    equals_p,
    listing,
    numbered,
    percent,
    plural,
    refits,
)

#: With fewer runs, no evidence says little.
FEW_RUNS = 10
#: From this share of runs on that might take another way, it is weak evidence that none did.
WEAK_EVIDENCE = 0.1


def headline(summary: dict[str, Any], significant: bool) -> list[str]:
    """What the runs of a summary did, in a few sentences: those of all its paragraphs.

    Args:
        summary: as in `summary.json`.
        significant: whether the regression is, so that its coefficients may be interpreted.
    """
    return [sentence for part in paragraphs(summary, significant) for sentence in part]


def paragraphs(summary: dict[str, Any], significant: bool) -> list[list[str]]:
    """The headline in three parts: the states, the ways through them, the paper's measures.

    The arguments are those of `headline`.
    """
    states = [
        *(summary.get("structure_sentences") or ()),
        _what_ran(summary),
        *_what_choice(summary),
        *_what_noise(summary),
    ]
    ways = [
        _what_shape(summary),
        *_what_forks(summary),
        *what_delays(summary),
        *_what_outliers(summary),
    ]
    return [states, ways, _what_paper(summary, significant)]


def in_short(summary: dict[str, Any]) -> list[str]:
    """What a terminal says of a summary: what ran, whether runs part, and what delays them."""
    return [
        *(summary.get("structure_sentences") or ())[:1],
        _what_ran(summary),
        _what_shape(summary),
        *what_delays(summary),
    ]


def _what_ran(summary: dict[str, Any]) -> str:
    n_runs, n_converged = summary["n_runs"], summary["n_converged"]
    states = plural(summary["n_states"], "state")
    outcome = summary["outcome"]
    if n_converged is None and outcome and not outcome["is_time"]:
        return f"{plural(n_runs, 'run')} of training went through {states}."
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
    return f"{plural(n_runs, 'run')} of training went through {states}; {converged}."


def _what_choice(summary: dict[str, Any]) -> list[str]:
    """Whether other seeds would show these states."""
    found = summary.get("reproducibility_sentence")
    if found:
        return [found]
    if summary["selection"] is None or summary["selection"]["verdict"] != "fragile":
        return []
    return ["How many states there are is a fragile choice (see “Model selection”)."]


def _what_noise(summary: dict[str, Any]) -> list[str]:
    """The states that differ from a neighbour in noise alone."""
    if summary.get("only_noise_changes") and summary.get("structure_is_judged"):
        return []  # the verdict says so
    told = [note["text"] for note in summary["notes"] if note["kind"] == NOISE_ALONE]
    if len(told) < 2:
        return told
    return [
        f"{len(told)} of the states differ from another in their noise alone: they are no phases."
    ]


def map_shape(summary: Mapping[str, Any]) -> str:
    """ "linear", "forking", or of a map that is neither "no fork": runs only end early or go back.

    A map is linear, by the paper, if all runs pass through the same states in the same order.
    """
    # A summary that does not say is of before, when `forking` was all that is not linear.
    if summary.get("linear", not summary["forking"]):
        return "linear"
    forks = summary.get("forks")
    return "no fork" if forks is not None and not forks["states"] else "forking"


def _what_shape(summary: dict[str, Any]) -> str:
    if summary["n_states"] == 1:
        return "With a single state the map has no transitions."
    if map_shape(summary) != "linear":
        reasons = [n["text"] for n in summary["notes"] if n["kind"] == WHY_NOT_LINEAR]
        return reasons[0] if reasons else "The map forks: runs take different ways through it."
    return (
        f"The map is linear: {same_way(summary['n_runs'])}"
        if summary["n_runs"] > 1
        else "The map is linear: there is one run."
    )


def unseen_share(n_runs: int) -> float:
    """The upper 95 % bound of the share of runs that take a way which none of n runs took.

    Clopper and Pearson 1934, one-sided, of 0 of n; about 3 / n (the rule of three).
    """
    return float(1 - 0.05 ** (1 / n_runs))


def same_way(n_runs: int) -> str:
    """That all of two runs or more pass the same states in the same order, and how much that is."""
    share = unseen_share(n_runs)
    if share >= WEAK_EVIDENCE:
        return (
            f"all {n_runs} runs take the same way. That is weak evidence: another way that up to "
            f"{percent(share)} of runs take may not have been seen (95 % bound)."
        )
    return (
        f"all {n_runs} runs take the same way; another way is taken by {percent(share, 1)} of runs "
        "at most (95 % bound)."
    )


def _what_forks(summary: dict[str, Any]) -> list[str]:
    """Whether runs part, whether that would be found again, and whether it tells who is late."""
    forks = summary["forks"]
    if not forks or not forks["states"]:
        return []
    n_runs = summary["n_runs"]
    shares = forks.get("found_again") or ()
    known = [
        (state, share)
        for state, share in zip(forks["states"], shares, strict=False)
        if share is not None
    ]
    sentences = []
    some = refits(summary.get("refits"))
    if summary.get("structure") == "drift" and summary.get("structure_is_judged"):
        sentences.append(
            "As states are slices of that drift, a fork of them does not say that runs part."
        )
    elif known:
        again = [state for state, share in known if share >= FOUND_AGAIN]
        sentences.append(
            f"Most {some} find the {'fork' if len(again) == 1 else 'forks'} at "
            f"{numbered('state', again)} again."
            if again
            else f"Fewer than half of the {some} find a fork of this map again."
        )
    if forks["tested"]:
        predicting = forks["predicting"]
        sentences.append(
            f"The branch that a run takes from {numbered('state', predicting)} predicts when it "
            "converges."
            if predicting
            else "We found no evidence that the branch a run takes predicts when it converges"
            + (f" ({n_runs} runs: too few to tell)." if n_runs < FEW_RUNS else ".")
        )
    return sentences


def _what_paper(summary: dict[str, Any], significant: bool) -> list[str]:
    """The paper's own measures, by their names: R², detours, dissimilarity."""
    r_squared, p = summary["r_squared"], summary["p_value"]
    outcome = summary["outcome"]
    name = outcome["name"] if outcome else "convergence time"
    if r_squared is None:
        return [f"How long runs stay in each state could not be related to their {name}."]
    index = summary["dissimilarity"]["index"]
    parts = [f"R² of {name} on the shares of states {decimal(r_squared, 3)}"]
    if p is not None:
        parts[0] += f" ({equals_p(p)})"
    if significant and (outcome is None or outcome["is_time"]):
        detours = summary["detour_states"]
        parts.append(f"detours {listing(detours) if detours else 'none'}")
    if index is not None:
        parts.append(f"dissimilarity {index:.3f}")
    sentence = f"By the paper's measures: {'; '.join(parts)}."
    if not significant:
        return [sentence, "That is not significant, so the coefficients tell nothing."]
    foretold = (summary.get("foretelling") or {}).get("sentence")
    return [sentence, *([foretold] if foretold else [])]


def _what_outliers(summary: dict[str, Any]) -> list[str]:
    seeds = summary["outlier_seeds"]
    if not seeds:
        return []
    do = "does" if len(seeds) == 1 else "do"
    return [
        f"{plural(len(seeds), 'run')} ({numbered('seed', seeds)}) {do} not behave like the rest."
    ]
