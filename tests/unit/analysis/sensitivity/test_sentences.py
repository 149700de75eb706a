"""The sensitivity analysis in words."""

from __future__ import annotations

import pandas as pd

from training_maps.analysis.sensitivity.sentences import (
    COLUMNS,
    sensitivity_table,
    sentence_of,
    sentences_of,
)
from training_maps.analysis.sensitivity.variants import (
    OTHER_STARTS,
)


def test_words_where_nothing_moves_and_there_is_no_regression():
    reference = {
        "variant": "reference", "metrics": ["a", "b"], "n_states": 2, "r_squared": None,
        "detour_states": [], "adjusted_rand_index": 1.0,
    }  # fmt: skip
    same = reference | {"detours_kept": [], "detours_new": [], "reason": None}
    variants = [
        same | {"variant": OTHER_STARTS, "adjusted_rand_index": 0.5},
        same | {"variant": "without_a", "metrics": ["b"], "left_out": "a"},
    ]
    told = " ".join(sentences_of(reference, variants))
    assert "Refitting with other random starts changes the paths this much (0.50)" in told
    assert "keeps 2 states in 1 of 1 cases." in told
    assert "no regression" in told
    assert "There is no detour, whichever metric is left out." in told
    assert len(sensitivity_table(reference, variants)) == 3


REFERENCE = {
    "variant": "reference", "metrics": ["a", "b", "c"], "n_states": 3, "r_squared": 0.9,
    "detour_states": [1], "adjusted_rand_index": 1.0, "n_detours": 1,
}  # fmt: skip


def variant(name, **changes):
    same = {"detours_kept": [1], "detours_lost": [], "detours_new": [], "reason": None}
    return REFERENCE | same | {"variant": name} | changes


def test_what_moves_when_a_metric_is_left_out():
    variants = [
        variant(OTHER_STARTS, adjusted_rand_index=0.97),
        variant("without_a", left_out="a", r_squared=0.8),
        variant("without_b", left_out="b", n_states=4, adjusted_rand_index=0.4, r_squared=0.95),
        variant(
            "without_c", left_out="c", n_states=2, adjusted_rand_index=0.9, detours_kept=[],
            detours_lost=[1], detours_new=[0], r_squared=None,
        ),
    ]  # fmt: skip
    said = sentences_of(REFERENCE, variants)
    assert "hardly changes the paths (0.97)" in said[0]
    rest = " ".join(said[1:])
    assert "keeps 3 states in 1 of 3 cases; there are 2 without c, 4 without b." in rest
    assert "in 2 of 3 cases; they agree least without b, 0.40." in rest
    assert "from 0.800 (without a) to 0.950 (without b)" in rest
    assert "State 1 remains a detour in 2 of 3 cases." in rest
    assert "Without c there is a detour that was none before." in rest


def test_a_variant_in_a_sentence():
    subset = variant("small", metrics=["a"], n_states=1, adjusted_rand_index=0.25)
    said = sentence_of(subset, REFERENCE)
    assert "With a (small) one state is chosen" in said
    assert "0.25" in said
    assert "R² is 0.90, the reference's 0.90" in said
    changed = variant("other", changes={"covariance": "diag"}, r_squared=None)
    assert "With covariance diag (other)" in sentence_of(changed, REFERENCE)
    assert "R²" not in sentence_of(changed, REFERENCE)
    many = variant("many", metrics=list("abcdefg"))
    assert "With 7 metrics (many)" in sentence_of(many, REFERENCE)
    assert sentence_of({"reason": "Nothing is left."}, REFERENCE) == "Nothing is left."


def test_variants_that_cannot_be_come_last_with_their_reason():
    variants = [{"variant": "none", "reason": "No metric is left."}, variant("small")]
    said = sentences_of(REFERENCE, variants)
    assert len(said) == 2
    assert said[-1] == "none: No metric is left."


def test_the_table_has_a_row_a_variant_and_the_reference_first():
    variants = [
        variant("small", metrics=["a", "b"], seconds=1.5),
        {"variant": "none", "reason": "No metric is left."},
    ]
    table = sensitivity_table(REFERENCE, variants)
    assert list(table.columns) == list(COLUMNS)
    assert table["variant"].tolist() == ["reference", "small", "none"]
    assert table["metrics"].tolist() == ["a b c", "a b", ""]
    assert table["detours_kept"].tolist() == ["", "1", ""]
    assert table["n_states"].tolist()[:2] == [3, 3]
    assert pd.isna(table["n_states"].iloc[2])
    assert table["n_states"].dtype == "Int64"
    assert table["reason"].iloc[2] == "No metric is left."
