"""What is said of halves: plain, short, and only what is known."""

from __future__ import annotations

from typing import Any

import pytest

from training_maps.analysis.reproducibility.sentences import (
    reproducibility_sentences,
    verdict_sentence,
)


def found(states: float | None = 0.95, **changes: Any) -> dict[str, Any]:
    return {
        "scheme": "halves",
        "agreement": {"states": states, "routes": 0.6, "n_states": 0.5},
        "pairs": [{"n_states": True}, {"n_states": False}],
        "fits": [{"n_states": 3}, {"n_states": 3}, {"n_states": 3}, {"n_states": 2}],
        "found": {
            "states": [{"state": 0, "share": 1.0}, {"state": 1, "share": 0.25}],
            "forks": [{"state": 0, "share": 0.25}, {"state": 2, "share": 0.0}],
            "delays": [{"state": 1, "share": 0.5}],
        },
        "reason": None,
    } | changes


@pytest.mark.parametrize(
    ("states", "words"),
    [
        (1.0, "the same"),
        (0.8, "the same"),
        (0.79, "about the same"),
        (0.5, "about the same"),
        (0.49, "other"),
        (-0.1, "other"),
    ],
)
def test_the_verdict_follows_the_agreement(states: float, words: str) -> None:
    assert verdict_sentence(found(states=states)).startswith(
        f"Other seeds would show {words} states: halves of the runs agree by {states:.2f}"
    )
    assert f"the rest show {words} states" in verdict_sentence(
        found(states=states, scheme="leave_one_out")
    )


def test_all_there_is_to_say() -> None:
    assert reproducibility_sentences(found())[1:] == [
        "The number of states is the same in 1 of 2 comparisons (they choose 2 or 3 states).",
        "Of all runs, 60 % take the same way through the map by both.",
        "State 1 is found again in fewer than half of the halves.",
        "The forks at states 0 and 2 are found again in fewer than half of the halves.",
    ]
    one = found(fits=[{"n_states": 1}])
    assert reproducibility_sentences(one)[1].endswith("(all choose 1 state).")


def test_sentences_are_short() -> None:
    for scheme in ("halves", "leave_one_out"):
        for sentence in reproducibility_sentences(found(scheme=scheme)):
            assert len(sentence.split()) <= 25


def test_nothing_is_said_of_nothing() -> None:
    assert verdict_sentence({}) == verdict_sentence(found(None)) == ""
    assert reproducibility_sentences({}) == []
    assert reproducibility_sentences(found(None, reason="Too few.")) == ["Too few."]
