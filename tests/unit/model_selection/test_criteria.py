"""Choosing between numbers of states and kinds of model by a table of scores."""

from __future__ import annotations

import numpy as np
import pandas as pd

from training_maps.model_selection.criteria import (
    Candidate,
    by_candidate,
    choose,
    criterion_value,
    judged,
)


def score_table(rows):
    table = pd.DataFrame(rows, columns=["n_states", "restart", "bic", "aic", "ll"])
    return table.rename(columns={"ll": "log_likelihood_validation"}).assign(
        model="gaussian", split=0
    )


def chosen(scores, *how):
    """The chosen number of states and restart."""
    candidate, restart = choose(scores, *how)
    return candidate.n_states, restart


def test_choice_by_criterion_and_aggregate():
    scores = score_table(
        [
            (2, 0, 10.0, 8.0, -4.0),
            (2, 1, 12.0, 10.0, -5.0),
            (3, 0, 30.0, 4.0, -2.5),
            (3, 1, 6.0, 5.0, -2.0),
            (4, 1, 20.0, 3.0, -3.0),
            (4, 0, 20.0, 7.0, -1.0),
        ]
    )
    assert chosen(scores, "bic", "mean") == (2, 0)
    assert chosen(scores, "bic", "best") == (3, 1)
    assert chosen(scores, "aic", "mean") == (3, 1)
    assert chosen(scores, "aic", "best") == (4, 0)
    assert chosen(scores, "log_likelihood", "mean") == (4, 0)
    assert chosen(scores, "log_likelihood", "best") == (4, 0)
    assert chosen(scores.sample(frac=1, random_state=0), "bic", "mean") == (2, 0)


def test_the_mean_is_taken_over_restarts():
    scores = score_table([(2, r, bic, 0.0, -bic) for r, bic in enumerate([1.0, 2.0, 12.0])])
    scores = pd.concat([scores, score_table([(3, r, 4.0, 0.0, -4.0) for r in range(3)])])
    assert chosen(scores, "bic", "mean") == (3, 0)
    assert chosen(scores, "log_likelihood", "mean") == (3, 0)
    assert chosen(scores, "bic", "best") == (2, 0)


def test_of_equals_the_fewest_states_and_the_first_restart_are_chosen():
    scores = score_table([(4, 1, 5.0, 5.0, -1.0), (4, 0, 5.0, 5.0, -1.0), (3, 0, 5.0, 5.0, -1.0)])
    for criterion in ("bic", "aic", "log_likelihood"):
        for aggregate in ("mean", "best"):
            assert chosen(scores, criterion, aggregate) == (3, 0)
    assert chosen(scores.head(2)) == (4, 0)


def test_of_equal_kinds_the_gaussian_is_chosen():
    table = score_table([(3, 0, 5.0, 5.0, -1.0), (2, 0, 5.0, 5.0, -1.0)])
    both = pd.concat([table.assign(model="autoregressive"), table], ignore_index=True)
    assert choose(both) == (Candidate("gaussian", 2), 0)
    assert list(by_candidate(both)) == [
        ("gaussian", 2), ("autoregressive", 2), ("gaussian", 3), ("autoregressive", 3)
    ]  # fmt: skip
    both.loc[both["model"] == "autoregressive", "bic"] = 4.0
    assert choose(both) == (Candidate("autoregressive", 2), 0)
    assert judged(both, "bic", "mean")["gaussian", 3] == 5.0


def test_criteria_are_those_of_their_formulas():
    likelihood, n = np.array([-10.0, -20.0]), np.array([100.0, 50.0])
    np.testing.assert_allclose(
        criterion_value("bic", likelihood, 3, n), [20 + 3 * np.log(100), 40 + 3 * np.log(50)]
    )
    assert criterion_value("aic", likelihood, 3, n).tolist() == [26, 46]
    assert criterion_value("log_likelihood", likelihood, 3, n).tolist() == [10, 20]


def test_splits_count_alike_and_the_own_one_gives_the_restart():
    own = score_table([(2, 0, 10.0, 0, -1.0), (2, 1, 14.0, 0, -2.0), (3, 0, 13.0, 0, -9.0)])
    other = score_table([(2, 0, 40.0, 0, -9.0), (3, 0, 30.0, 0, -1.0), (3, 1, 50.0, 0, -0.5)])
    scores = pd.concat([own, other.assign(split=1)], ignore_index=True)
    # By mean: (12 + 40) / 2 and (13 + 40) / 2; by best: (10 + 40) / 2 and (13 + 30) / 2.
    assert judged(scores, "bic", "mean") == {
        Candidate("gaussian", 2): 26.0,
        Candidate("gaussian", 3): 26.5,
    }
    assert chosen(scores, "bic", "mean") == (2, 0)
    assert chosen(scores, "bic", "best") == (3, 0)  # restart 0: the only one on the own split
