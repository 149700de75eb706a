"""The choice of the map's model: each rule, ties, and what halves do not agree on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from training_maps.model_selection.criteria import Candidate
from training_maps.structure.choice import (
    AGREE,
    AGREE_AT_WORST,
    Agreed,
    Choice,
    choose_found_again,
)
from training_maps.structure.ladder import Gain, Ladder, rung_of

PLACES = [Candidate("gaussian", k) for k in (1, 2, 3, 4)]
MOVING = [Candidate("autoregressive", k) for k in (1, 2, 3)]
FULL = [Candidate("vector_autoregressive", k) for k in (1, 2)]
ALL = [*PLACES, *MOVING, *FULL]


def agreed(indices: Sequence[float], information: float = 0.0) -> list[Agreed]:
    """Pairs of halves that agree so far, each on states that tell as much on average."""
    about = np.linspace(-0.1, 0.1, len(indices)) if len(indices) > 1 else [0.0]
    return [Agreed(i, information + float(a)) for i, a in zip(indices, about, strict=True)]


# The more states there are, the more they tell.
AGREED = {candidate: agreed([1.0, 0.9], candidate.n_states / 2) for candidate in ALL}


def ladder(verdict: Any, rates: Mapping[Candidate, float], moving: float = -1.0) -> Ladder:
    """A ladder with this verdict, on which models foretell at these rates.

    `moving` is how much better autoregressive states foretell than Gaussian ones.
    """
    members = [
        {"rung": rung_of(*candidate), **candidate._asdict(), "mean": rate}
        for candidate, rate in rates.items()
    ]
    members.append({"rung": "field", "model": "field_wide", "n_states": None, "mean": 100.0})
    gains = {"moving": Gain(moving, None, None, 0)}
    return Ladder(verdict, {}, gains, "field", members)


RATES = {candidate: float(i) for i, candidate in enumerate(ALL) if candidate != PLACES[0]}


@pytest.mark.parametrize(
    ("verdict", "tried", "expected"),
    [
        # The verdict names the kind; of it, the states that tell most.
        ("phases", ALL, MOVING[2]),
        ("phases", [*MOVING[:1], *FULL], FULL[1]),
        ("regions", ALL, PLACES[3]),
        ("drift", ALL, PLACES[3]),
        (None, ALL, PLACES[3]),
        # Of what the experiment tries.
        ("phases", [*PLACES, *MOVING], MOVING[2]),
        ("regions", PLACES[:3], PLACES[2]),
        # Of the other kind, where that of the verdict was not tried.
        ("phases", PLACES, PLACES[3]),
        ("regions", MOVING, MOVING[2]),
        # One state where nothing else was tried.
        ("phases", MOVING[:1], MOVING[0]),
    ],
)
def test_the_kind_is_the_verdict_s_and_its_states_tell_most(
    verdict: Any, tried: list[Candidate], expected: Candidate
) -> None:
    choice = choose_found_again(ladder(verdict, RATES), AGREED, tried)
    told = pytest.approx(expected.n_states / 2)
    assert choice == Choice(*expected, pytest.approx(0.95), 0.9, told, True)
    assert choose_found_again(ladder(verdict, RATES), AGREED, reversed(tried)) == choice


def test_slices_of_a_drift_are_of_the_kind_that_foretells_better() -> None:
    for moving, expected in ((0.5, MOVING[2]), (-0.5, PLACES[3])):
        choice = choose_found_again(ladder("drift", RATES, moving), AGREED, ALL)
        assert choice is not None
        assert Candidate(choice.model, choice.n_states) == expected


@pytest.mark.parametrize(
    ("indices", "counts"),
    [
        ([AGREE, AGREE], True),
        ([1.0, AGREE_AT_WORST], True),  # 0.9 on average
        ([1.0, 1.0, AGREE_AT_WORST - 0.01], False),
        ([AGREE - 0.01, AGREE - 0.01], False),
        ([1.0], True),
    ],
)
def test_what_halves_must_agree_on(indices: list[float], counts: bool) -> None:
    agreement = {**AGREED, PLACES[3]: agreed(indices, 2.0)}
    choice = choose_found_again(ladder("regions", RATES), agreement, ALL)
    assert choice is not None
    assert choice.found_again
    assert Candidate(choice.model, choice.n_states) == (PLACES[3] if counts else PLACES[2])


def test_where_no_number_of_states_counts_halves_agree_on_it_most() -> None:
    indices = {PLACES[1]: [0.5, 0.6], PLACES[2]: [0.7, 0.6], PLACES[3]: [0.9, 0.1]}
    agreement = {**AGREED, **{candidate: agreed(pair, 1.0) for candidate, pair in indices.items()}}
    choice = choose_found_again(ladder("regions", RATES), agreement, ALL)
    assert choice == Choice("gaussian", 3, pytest.approx(0.65), 0.6, 1.0, False)
    assert choice.to_dict() == {
        "model": "gaussian",
        "n_states": 3,
        "agreement": pytest.approx(0.65),
        "worst": 0.6,
        "information": 1.0,
        "found_again": False,
    }


def test_agreement_below_chance_is_still_an_agreement() -> None:
    agreement = {PLACES[1]: agreed([-0.2]), PLACES[2]: agreed([-0.1]), PLACES[3]: agreed([-0.3])}
    choice = choose_found_again(ladder("regions", RATES), agreement, ALL)
    assert choice == Choice("gaussian", 3, -0.1, -0.1, 0.0, False)


def test_what_models_foretell_has_no_say() -> None:
    worse = {candidate: -rate for candidate, rate in RATES.items()}
    for verdict in ("phases", "regions"):
        assert choose_found_again(ladder(verdict, worse), AGREED, ALL) == choose_found_again(
            ladder(verdict, RATES), AGREED, ALL
        )


def test_more_states_that_halves_agree_on_less_may_tell_less() -> None:
    for information, expected in ((1.4, PLACES[2]), (1.6, PLACES[3])):
        agreement = {**AGREED, PLACES[3]: agreed([0.9, 0.9], information)}
        choice = choose_found_again(ladder("regions", RATES), agreement, ALL)
        assert choice is not None
        assert Candidate(choice.model, choice.n_states) == expected


def test_of_equals_the_fewest_states_and_the_simplest_kind() -> None:
    for indices in ([1.0, 0.9], [0.2, 0.2]):
        equal = {candidate: agreed(indices, 1.0) for candidate in ALL}
        for verdict, expected in (("regions", PLACES[1]), ("phases", MOVING[1])):
            choice = choose_found_again(ladder(verdict, RATES), equal, ALL[::-1])
            assert choice is not None
            assert Candidate(choice.model, choice.n_states) == expected


def test_what_no_half_says_anything_of_is_not_chosen() -> None:
    assert choose_found_again(ladder("phases", RATES), {}, ALL) is None
    assert choose_found_again(ladder("phases", RATES), {MOVING[2]: []}, ALL) is None
    assert choose_found_again(ladder(None, {}), {}, []) is None
    # Of one kind nothing is known: the other.
    known = {candidate: AGREED[candidate] for candidate in PLACES}
    choice = choose_found_again(ladder("phases", RATES), known, ALL)
    assert choice is not None
    assert (choice.model, choice.n_states) == ("gaussian", 4)
