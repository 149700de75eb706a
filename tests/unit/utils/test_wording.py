"""Words for numbers, lists and probabilities."""

from __future__ import annotations

import pandas as pd

from training_maps.utils import wording
from training_maps.utils.wording import listing, p_value, plural


def test_words() -> None:
    assert (
        wording.interval(None)
        == wording.interval((None, 1.0))
        == wording.interval((1.0, float("nan")))
    )
    assert wording.interval((-1056.2, 41.23)) == "−1,056 to 41.2"
    assert wording.interval((-0.25, 0.5), 2) == "−0.25 to 0.50"
    assert wording.true_minus("-0.5 (-1 to 2), 3-1-2, seeds 96-99, x-1") == (
        "−0.5 (−1 to 2), 3-1-2, seeds 96-99, x-1"
    )
    assert wording.numbered("seed", [3, 4]) == "seeds 3 and 4"


def test_states_are_listed() -> None:
    assert wording.numbered("state", [3]) == "state 3"
    assert wording.numbered("state", pd.Index([1, 2, 3])) == "states 1, 2 and 3"


def test_numbers_in_words() -> None:
    assert [plural(n, "run") for n in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]
    assert plural(10_000, "run") == "10,000 runs"
    assert listing([1]) == "1"
    assert listing([1, 3, 4]) == "1, 3 and 4"
    assert [wording.first_of(range(n), 2) for n in (0, 1, 2, 4)] == [
        "",
        "0",
        "0, 1",
        "0, 1 and 2 more",
    ]
    assert wording.first_of(range(1500)) == ", ".join(map(str, range(20))) + " and 1,480 more"
    assert [wording.amount(x) for x in (None, 0.04, -46.94, 1040.2)] == [
        "–",
        "0.0",
        "−46.9",
        "1,040",
    ]
    assert [wording.share(x) for x in (None, 0.9, 0.4051)] == ["–", "90 %", "40.5 %"]
    assert [p_value(p) for p in (None, 0.0009, 0.001, 0.4691)] == ["–", "<0.001", "0.001", "0.469"]


def test_decimals_have_a_true_minus_and_a_dash_stands_for_nothing() -> None:
    assert wording.decimal(-0.25, 2) == "−0.25"
    assert wording.decimal(1 / 3) == "0.333"
    assert wording.decimal(None) == wording.decimal(float("nan")) == wording.amount(None)


def test_p_values_in_a_sentence() -> None:
    assert wording.equals_p(0.0004) == "p < 0.001"
    assert wording.equals_p(0.4691) == "p = 0.469"


def test_clauses_become_sentences_and_routes_arrows() -> None:
    assert wording.sentence("x is DNA") == "X is DNA."
    assert wording.route([0, 1, 3]) == "0 → 1 → 3"
    assert wording.route([4]) == "4"


def test_a_route_of_very_many_states_is_told_by_its_first() -> None:
    assert wording.route([0, 1] * 100).count("→") == 199
    told = wording.route([0, 1] * 600, "-")
    assert told == "-".join(["0-1"] * 20) + "-1,160 more"
    assert len(wording.first_stops([0, 1] * 600)) == 40


def test_the_word_before_the_last_may_be_another() -> None:
    assert wording.listing(["a", "b", "c"], "or") == "a, b or c"
    assert wording.listing([]) == ""


def test_thousands_are_grouped() -> None:
    assert wording.decimal(-20139.94, 1) == "−20,139.9"
    assert wording.amount(20139.94) == "20,140"
    assert wording.percent(0.072, 1) == "7.2 %"
    assert wording.percent(0.9955) == "100 %"
