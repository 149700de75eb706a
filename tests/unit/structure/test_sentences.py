"""Sentences of the verdict: short, and with the numbers as they are."""

from __future__ import annotations

from typing import Any

import pytest

from training_maps.structure.sentences import (
    choice_sentence,
    is_judged,
    map_sentence,
    verdict_sentence,
)

LONGEST = 25


def gain(mean: float | None, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {"mean": mean, "low": low, "high": high, "n_runs": 0 if mean is None else 2}


def structure(verdict: str | None, **gains: dict[str, Any]) -> dict[str, Any]:
    none = {name: gain(None) for name in ("autoregressive", "gaussian", "moving")}
    return {"verdict": verdict, "gains": none | gains}


SENTENCES = [
    (
        structure("phases", autoregressive=gain(3.456, 1.204, 5.7)),
        "Training has phases: states as ways of moving foretell other runs better than smooth "
        "drift (+3.46 nats a checkpoint, 90 % interval +1.20 to +5.70).",
    ),
    (
        structure("regions", gaussian=gain(12.0, 0.02, 24.0), autoregressive=gain(99.0)),
        "Training moves between regions: states as places foretell other runs better than smooth "
        "drift (+12.00 nats a checkpoint, 90 % interval +0.02 to +24.00).",
    ),
    (  # of both kinds, that which comes nearest
        structure("drift", gaussian=gain(-7.0, -9.0, -5.0), autoregressive=gain(-0.4, -1.0, -0.2)),
        "Training drifts: states foretell other runs worse than smooth drift "
        "(−0.40 nats a checkpoint, 90 % interval −1.00 to −0.20).",
    ),
    (
        structure("drift", gaussian=gain(-0.125)),
        "These runs do not tell whether training goes through states or drifts "
        "(−0.12 nats a checkpoint, 2 runs: too few for an interval).",
    ),
    (  # neither better nor worse, surely
        structure("drift", autoregressive=gain(2.8, -5.0, 10.5)),
        "These runs do not tell whether training goes through states or drifts "
        "(+2.80 nats a checkpoint, 90 % interval −5.00 to +10.50).",
    ),
    (  # one kind of states may be better
        structure("drift", gaussian=gain(-0.5, -1.0, -0.1), autoregressive=gain(-1.0, -3.0, 1.0)),
        "These runs do not tell whether training goes through states or drifts "
        "(−0.50 nats a checkpoint, 90 % interval −1.00 to −0.10).",
    ),
    (
        structure(None),
        "Whether there are states at all is not known: no run could be held out.",
    ),
]


@pytest.mark.parametrize(("found", "sentence"), SENTENCES)
def test_verdicts(found: dict[str, Any], sentence: str) -> None:
    assert verdict_sentence(found) == sentence


CHOICE = {"n_states": 4, "agreement": 0.956, "worst": 0.8}
MODELS = ("gaussian", "autoregressive", "vector_autoregressive")


@pytest.mark.parametrize("model", MODELS)
def test_choices(model: str) -> None:
    choice = {**CHOICE, "model": model}
    kind = {"gaussian": "Gaussian"}.get(model, model.replace("_", " "))
    assert choice_sentence({"choice": {**choice, "found_again": True}}) == (
        f"Halves of the runs agree on 4 {kind} states (adjusted Rand index 0.96, at worst 0.80)."
    )
    assert choice_sentence({"choice": {**choice, "found_again": False}}) == (
        f"Halves of the runs agree on no number of states; most on 4 {kind} states (adjusted Rand "
        "index 0.96, at worst 0.80)."
    )


def test_few_runs_are_no_halves() -> None:
    choice = {**CHOICE, "model": "gaussian", "found_again": True}
    assert choice_sentence({"choice": choice, "scheme": "leave_one_out"}).startswith(
        "Fits without single runs agree on 4 Gaussian states"
    )


def test_a_drift_is_one_where_states_surely_gain_nothing() -> None:
    open_ = structure("drift", gaussian=gain(-1.0, -3.0, 1.0))
    assert not is_judged(open_)
    assert map_sentence(open_, "gaussian", 3) == "The 3 states below may be slices of a drift."
    worse = gain(-1.0, -3.0, -0.1)
    assert is_judged(structure("drift", gaussian=worse))
    assert is_judged(structure("drift", gaussian=worse, autoregressive=worse))
    assert not is_judged(structure("drift", gaussian=worse, autoregressive=gain(-2.0, -9.0, 0.1)))
    assert not is_judged(structure("drift", gaussian=gain(-1.0)))


def test_states_that_surely_gain_are_a_verdict() -> None:
    assert is_judged(structure("phases", autoregressive=gain(3.0, 1.0, 5.0)))
    assert is_judged(structure("regions", gaussian=gain(3.0, 1.0, 5.0)))
    assert not is_judged(structure(None))


@pytest.mark.parametrize(
    ("verdict", "model", "n_states", "sentence"),
    [
        ("drift", "gaussian", 3, "The 3 states below are slices of that drift."),
        ("drift", "autoregressive", 2, "The 2 states below are slices of that drift."),
        ("drift", "gaussian", 1, None),
        (None, "gaussian", 3, None),
        ("phases", "autoregressive", 3, None),
        ("phases", "vector_autoregressive", 3, None),
        ("regions", "gaussian", 3, None),
        (
            "phases",
            "gaussian",
            3,
            "The map below has Gaussian states, which foretell other runs worse by 4.2 nats a "
            "checkpoint.",
        ),
        (
            "regions",
            "vector_autoregressive",
            3,
            "The map below has vector autoregressive states, which foretell other runs worse by "
            "4.2 nats a checkpoint.",
        ),
    ],
)
def test_what_the_states_of_the_map_are(
    verdict: str | None, model: str, n_states: int, sentence: str | None
) -> None:
    moving = 4.21 if verdict == "phases" else -4.21
    places = gain(-1.0, -2.0, -0.5)
    found = structure(verdict, gaussian=places, moving=gain(moving, moving - 1, moving + 1))
    assert map_sentence(found, model, n_states) == sentence


@pytest.mark.parametrize("moving", [0.4, 0.0, None])
def test_a_map_that_foretells_no_worse_is_not_said_to(moving: float | None) -> None:
    # Autoregressive states may foretell better than Gaussian ones, and not for sure.
    found = structure("regions", moving=gain(moving))
    assert map_sentence(found, "autoregressive", 3) == (
        "The map below has autoregressive states, another kind than the verdict names."
    )


def test_sentences_are_short() -> None:
    sentences = [verdict_sentence(found) for found, _ in SENTENCES]
    for model in MODELS:
        for again in (True, False):
            choice = {**CHOICE, "model": model, "found_again": again}
            sentences.append(choice_sentence({"choice": choice}))
        for verdict in ("drift", "phases", "regions"):
            for moving in (2.0, -2.0):
                found = structure(verdict, moving=gain(moving))
                sentences.append(map_sentence(found, model, 3) or "")
    for sentence in sentences:
        assert len(sentence.split()) <= LONGEST, sentence
