"""How firm a choice is, in words."""

from __future__ import annotations

import pytest

from training_maps.model_selection.criteria import (
    MODEL_NAMES,
)
from training_maps.model_selection.fit import MODELS
from training_maps.model_selection.stability_sentences import (
    Finding,
    amount,
    candidate_name,
    same_candidate,
    sentence_of,
    verdict_of,
    within_margin,
)


def test_kinds_of_model_are_named_where_there_are_several():
    rows = [{"model": model, "n_states": k} for model in MODEL_NAMES for k in (1, 2)]
    names = [candidate_name(row, rows) for row in rows]
    assert names == [
        "1 Gaussian state", "2 Gaussian states", "1 autoregressive state",
        "2 autoregressive states", "1 vector autoregressive state",
        "2 vector autoregressive states",
    ]  # fmt: skip
    assert candidate_name(rows[3], rows[2:4]) == "2 states"
    assert tuple(MODELS) == MODEL_NAMES


def numbers_of(values, chosen, margin=2.0):
    """What is known of candidates by number of states: difference and standard error."""
    rows = [
        {"model": "gaussian", "n_states": k, "difference": difference, "standard_error": error}
        for k, (difference, error) in values.items()
    ]
    (own,) = (row for row in rows if row["n_states"] == chosen)
    return {"candidates": rows, "chosen": own, "limits": {"margin": margin}}


@pytest.mark.parametrize(
    ("fragile", "verdict"),
    [
        ([], "stable"),
        ([False, False], "stable"),
        ([False, None], "not known"),
        ([None, True], "fragile"),
        ([True, False], "fragile"),
    ],
)
def test_one_reason_is_enough_for_a_verdict(fragile, verdict):
    findings = [Finding(str(i), one, f"reason {i}") for i, one in enumerate(fragile)]
    assert verdict_of(findings) == verdict
    if findings:
        said = sentence_of(numbers_of({3: (0, None), 4: (9, 1)}, 3), findings)
        assert "3 states" in said
        wanted = {"stable": False, "fragile": True, "not known": None}[verdict]
        for i, one in enumerate(fragile):  # the reasons for the verdict, and no others
            assert (f"reason {i}" in said) == (one is wanted)


def test_only_candidates_within_the_margin_are_near():
    numbers = numbers_of({2: (4.0, 2.0), 3: (0.0, None), 4: (4.1, 2.0), 5: (1.0, None)}, 3)
    assert [row["n_states"] for row in within_margin(numbers)] == [2]
    wider = numbers | {"limits": {"margin": 3.0}}
    assert [row["n_states"] for row in within_margin(wider)] == [2, 4]


def test_candidates_are_the_same_by_kind_and_number():
    one = {"model": "gaussian", "n_states": 2, "share": 0.5}
    assert same_candidate(one, {"model": "gaussian", "n_states": 2})
    assert not same_candidate(one, {"model": "autoregressive", "n_states": 2})
    assert not same_candidate(one, {"model": "gaussian", "n_states": 3})


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.01234, "0.0123"), (46.89, "46.9"), (99.97, "100"), (8010.6, "8,011"), (1069.5, "1,070")],
)
def test_amounts_are_those_of_the_tables(value, said):
    assert amount(value) == said
