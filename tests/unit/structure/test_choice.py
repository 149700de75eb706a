"""The choice of the map's model: each rule, ties, and what halves do not agree on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from training_maps.model_selection.criteria import Candidate
from training_maps.structure.choice import AGREE, AGREE_AT_WORST, Choice, choose_found_again
from training_maps.structure.ladder import Gain, Ladder, rung_of

PLACES = [Candidate("gaussian", k) for k in (1, 2, 3, 4)]
MOVING = [Candidate("autoregressive", k) for k in (1, 2, 3)]
FULL = [Candidate("vector_autoregressive", k) for k in (1, 2)]
ALL = [*PLACES, *MOVING, *FULL]
AGREED = {candidate: [1.0, 0.9] for candidate in ALL}


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
        # The verdict names the kind; of it, the most states that are found again.
        ("phases", ALL, MOVING[2]),
        ("phases", [*MOVING[:2], *FULL], FULL[1]),  # of as many, those that foretell better
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
def test_the_kind_is_the_verdict_s_and_the_number_the_largest_found_again(
    verdict: Any, tried: list[Candidate], expected: Candidate
) -> None:
    choice = choose_found_again(ladder(verdict, RATES), AGREED, tried)
    assert choice == Choice(*expected, pytest.approx(0.95), 0.9, True)
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
    agreement = {**AGREED, PLACES[3]: indices}
    choice = choose_found_again(ladder("regions", RATES), agreement, ALL)
    assert choice is not None
    assert choice.found_again
    assert Candidate(choice.model, choice.n_states) == (PLACES[3] if counts else PLACES[2])


def test_where_no_number_of_states_counts_halves_agree_on_it_most() -> None:
    agreement = {**AGREED, PLACES[1]: [0.5, 0.6], PLACES[2]: [0.7, 0.6], PLACES[3]: [0.9, 0.1]}
    choice = choose_found_again(ladder("regions", RATES), agreement, ALL)
    assert choice == Choice("gaussian", 3, pytest.approx(0.65), 0.6, False)
    assert choice.to_dict() == {
        "model": "gaussian",
        "n_states": 3,
        "agreement": pytest.approx(0.65),
        "worst": 0.6,
        "found_again": False,
    }


def test_agreement_below_chance_is_still_an_agreement() -> None:
    agreement = {PLACES[1]: [-0.2], PLACES[2]: [-0.1], PLACES[3]: [-0.3]}
    choice = choose_found_again(ladder("regions", RATES), agreement, ALL)
    assert choice == Choice("gaussian", 3, -0.1, -0.1, False)


def test_of_equals_the_fewest_states_and_the_simplest_kind() -> None:
    equal = dict.fromkeys(RATES, 3.0)
    assert choose_found_again(ladder("regions", equal), AGREED, ALL) == Choice(
        *PLACES[1], pytest.approx(0.95), 0.9, True
    )
    choice = choose_found_again(ladder("phases", equal), AGREED, ALL[::-1])
    assert choice is not None
    assert Candidate(choice.model, choice.n_states) == MOVING[1]
    doubtful = {candidate: [0.2, 0.2] for candidate in ALL}
    choice = choose_found_again(ladder("phases", equal), doubtful, ALL)
    assert choice is not None
    assert Candidate(choice.model, choice.n_states) == MOVING[1]


def test_what_no_half_says_anything_of_is_not_chosen() -> None:
    assert choose_found_again(ladder("phases", RATES), {}, ALL) is None
    assert choose_found_again(ladder("phases", RATES), {MOVING[2]: []}, ALL) is None
    assert choose_found_again(ladder("phases", {}), AGREED, ALL) is None
    assert choose_found_again(ladder(None, {}), {}, []) is None
    # Of one kind nothing is known: the other.
    known = {candidate: AGREED[candidate] for candidate in PLACES}
    choice = choose_found_again(ladder("phases", RATES), known, ALL)
    assert choice is not None
    assert (choice.model, choice.n_states) == ("gaussian", 4)
