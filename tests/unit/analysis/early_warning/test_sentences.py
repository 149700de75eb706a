"""Early warning in words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from training_maps.analysis.early_warning.sentences import SIGNIFICANCE, predicts, sentences_of
from training_maps.result_tables import EARLY_WARNING_COLUMNS


def row_of(fraction, runs, features, p, already=0, **numbers):
    empty = dict.fromkeys(EARLY_WARNING_COLUMNS, np.nan)
    return empty | {
        "fraction": fraction, "last_step": 100 * fraction, "target": "time", "runs": runs,
        "features": features, "n_runs": 20, "n_already": already, "r_squared": 0.5,
        "rank_correlation": 0.6, "p_value": p, "p_value_adjusted": p, **numbers,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            [row_of(0.1, "all", "states", 0.4), row_of(0.1, "all", "metrics", 0.4)],
            "No beginning's states are seen to tell time of runs for which it is not known yet.",
        ),
        (
            [row_of(0.1, "all", "states", 0.4), row_of(0.1, "all", "metrics", 0.01)],
            "not known yet; the mean metrics alone do from the first 10 %.",
        ),
        (
            [row_of(0.2, "all", "states", 0.01), row_of(0.2, "all", "metrics", 0.2)],
            "States of the first 20 % of training tell time of runs for which it is not known yet "
            "better than chance does; the mean metrics alone never do.",
        ),
        (
            [
                row_of(0.2, runs, name, 0.01 if runs == "all" else 0.6, already=5)
                for runs in ("all", "not yet")
                for name in ("states", "metrics")
            ],
            "not known yet; what they tell is known by then.",
        ),
    ],
)
def test_conclusions(rows, expected):
    first = sentences_of(pd.DataFrame(rows))[0]
    assert first.kind == "conclusion"
    assert first.text.endswith(expected)


def told(*rows):
    return [sentence.text for sentence in sentences_of(pd.DataFrame(rows))]


def test_every_beginning_of_every_target_has_a_sentence():
    rows = [
        row_of(fraction, "all", name, 0.4) | {"target": target}
        for target in ("time", "way")
        for fraction in (0.1, 0.3)
        for name in ("states", "metrics")
    ]
    sentences = told(*rows)
    assert len(sentences) == 2 * (1 + 2)
    assert "first 10 % of training (to step 10" in sentences[1]
    assert "first 30 %" in sentences[2]
    assert "way" in sentences[3]


def test_only_what_chance_does_not_explain_is_a_prediction():
    assert predicts({"p_value_adjusted": SIGNIFICANCE / 2})
    assert not predicts({"p_value_adjusted": SIGNIFICANCE})
    assert not predicts({"p_value_adjusted": np.nan})


def test_numbers_of_times_and_of_classes():
    time = told(row_of(0.1, "all", "states", 0.01), row_of(0.1, "all", "metrics", 0.4))[1]
    assert "rank correlation 0.60 by states (p = 0.01; R² 0.50)" in time
    assert "by metrics (p = 0.4" in time
    shares = {"r_squared": np.nan, "accuracy": 0.9, "balanced_accuracy": 0.8, "baseline": 0.6}
    way = told(*(row_of(0.1, "all", name, 0.01, **shares) for name in ("states", "metrics")))[1]
    assert "90 % right by states, balanced 80 %" in way
    assert "most frequent is 60 %" in way


def test_what_cannot_be_told_has_its_reason():
    rows = [
        row_of(0.1, "all", name, np.nan, reason="All runs are alike.")
        for name in ("states", "metrics")
    ]
    first, second = told(*rows)
    assert first.endswith("cannot be told: All runs are alike.")
    assert "20 runs, not predicted (All runs are alike)" in second


def test_runs_of_which_it_was_known_are_told_apart():
    rows = [
        row_of(0.2, runs, name, 0.6, already=5, n_runs=15 if runs == "not yet" else 20)
        for runs in ("all", "not yet")
        for name in ("states", "metrics")
    ]
    said = told(*rows)[1]
    assert "Of 5 of them it was known by then; of the others: 15 runs" in said
    assert "known of none of them" in told(*(row | {"n_already": 0} for row in rows[:2]))[1]
