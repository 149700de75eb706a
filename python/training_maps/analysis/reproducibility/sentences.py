"""Whether other seeds would show the same map, in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training_maps.utils.numbers import FOUND_AGAIN
from training_maps.utils.wording import listing, numbered, percent, plural

#: From these mean agreements on, other seeds show the same states, or about the same.
SAME, SIMILAR = 0.8, 0.5


def verdict_sentence(found: Mapping[str, Any]) -> str:
    """Whether other seeds would show the same states, for a headline; "" where it is not known.

    Args:
        found: what `training_maps.analysis.reproducibility.gather.gather_halves` returns, or {}.
    """
    states = found["agreement"]["states"] if found else None
    if states is None:
        return ""
    same = "the same states" if states >= SAME else "about the same states"
    if states < SIMILAR:
        same = "other states"
    if found["scheme"] == "halves":
        return (
            f"Other seeds would show {same}: halves of the runs agree by {states:.2f}, where 1 is "
            "wholly and 0 is chance."
        )
    return (
        f"Without one of the runs, the rest show {same}: agreement {states:.2f}, where 1 is wholly "
        "and 0 is chance."
    )


def reproducibility_sentences(found: Mapping[str, Any]) -> list[str]:
    """All there is to say, in short sentences."""
    if not found:
        return []
    if found["agreement"]["states"] is None:
        return [str(found["reason"])]
    return [verdict_sentence(found), _number(found), _routes(found), *_doubtful(found)]


def _number(found: Mapping[str, Any]) -> str:
    pairs = found["pairs"]
    same = sum(bool(pair["n_states"]) for pair in pairs)
    numbers = sorted({fit["n_states"] for fit in found["fits"]})
    chosen = f"they choose {listing(numbers, 'or')} states"
    if len(numbers) == 1:
        chosen = f"all choose {plural(numbers[0], 'state')}"
    return f"The number of states is the same in {same} of {len(pairs)} comparisons ({chosen})."


def _routes(found: Mapping[str, Any]) -> str:
    routes = found["agreement"]["routes"]
    return f"Of all runs, {percent(routes)} take the same way through the map by both."


def _doubtful(found: Mapping[str, Any]) -> list[str]:
    """What fewer than half of the refits have."""
    refits = "halves" if found["scheme"] == "halves" else "refits"
    sentences = []
    for kind, noun in (("states", "state"), ("forks", "fork"), ("delays", "delay")):
        rare = [row["state"] for row in found["found"].get(kind, ()) if row["share"] < FOUND_AGAIN]
        if not rare:
            continue
        subject = numbered("state", rare)
        if noun != "state":
            subject = f"The {noun}{'s' if len(rare) > 1 else ''} at {subject}"
        verb = "is" if len(rare) == 1 else "are"
        subject = subject[0].upper() + subject[1:]
        sentences.append(f"{subject} {verb} found again in fewer than half of the {refits}.")
    return sentences
