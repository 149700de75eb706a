"""Rates: what models foretell of each run that a half did not see, a checkpoint."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.support.half_fits import half_of
from training_maps.model_selection.criteria import Candidate
from training_maps.reproducibility.rates import ON_LADDER, rates_of
from training_maps.reproducibility.refit import HalfFit
from training_maps.structure.ladder import LADDER, Member

RUNS = [[0, 0, 1, 1], [0, 1, 1], [0], [0, 1]]
CANDIDATES = (
    Candidate("gaussian", 1),
    Candidate("gaussian", 2),
    Candidate("autoregressive", 1),
    Candidate("vector_autoregressive", 2),
)


def fit(number: int, inside: list[bool], candidates: tuple[Candidate, ...] = CANDIDATES) -> HalfFit:
    """A half whose candidate c foretells run i by 100 c + 10 i + its number."""
    c, i = np.arange(len(candidates))[:, None], np.arange(len(RUNS))
    return replace(
        half_of(number, {2: RUNS}),
        inside=np.array(inside),
        candidates=candidates,
        predictive=100.0 * c + 10.0 * i + number,
        others={"field_wide": -1.0 * i - number},
    )


def test_rates_are_densities_of_unseen_runs_by_checkpoints_foretold() -> None:
    halves = [fit(4, [True, False, False, False]), fit(7, [False, True, True, False])]
    rates = rates_of(halves)
    assert list(rates) == [
        Member("field", "field_wide", None),
        Member("gaussian", "gaussian", 2),
        Member("one_state", "autoregressive", 1),
        Member("autoregressive", "vector_autoregressive", 2),
    ]  # one Gaussian state is on no rung
    nan = np.nan
    # Runs have 3, 2, 0 and 1 checkpoints to foretell.
    for member, level in zip(list(rates)[1:], (100, 200, 300), strict=True):
        expected = [
            [nan, (level + 14) / 2, nan, level + 34],
            [(level + 7) / 3, nan, nan, level + 37],
        ]
        np.testing.assert_allclose(rates[member], expected)
    field = rates[Member("field", "field_wide", None)]
    np.testing.assert_allclose(field, [[nan, -5 / 2, nan, -7], [-7 / 3, nan, nan, -10]])


def test_a_half_that_did_not_fit_a_model_says_nothing_of_it() -> None:
    halves = [fit(0, [True, False, False, False], CANDIDATES[:2]), fit(1, [False] * 4)]
    found = rates_of(halves)[Member("autoregressive", "vector_autoregressive", 2)]
    assert np.isnan(found[0]).all()
    assert found[1].tolist()[:2] == [301 / 3, 311 / 2]
    without = replace(fit(2, [True] * 4), reason="too few", candidates=(), others={})
    again = rates_of([*halves, without])[Member("autoregressive", "vector_autoregressive", 2)]
    np.testing.assert_array_equal(again, found)
    assert rates_of([without]) == rates_of([]) == {}


def test_where_there_are_folds_they_alone_judge() -> None:
    folds = [replace(fit(i, [i != 1, i == 1, True, True]), scheme="folds") for i in range(2)]
    halves = [fit(i, [True, False] * 2) for i in (6, 7)]
    alone, beside = rates_of(folds), rates_of([*folds, *halves])
    assert list(alone) == list(beside)
    for member, rate in alone.items():
        assert len(rate) == 2
        np.testing.assert_array_equal(rate, beside[member])
    empty = [replace(fold, reason="too few", candidates=(), others={}) for fold in folds]
    assert len(rates_of([*empty, *halves])[member]) == 2


def test_all_rungs_are_on_the_ladder() -> None:
    assert {(c.model, c.n_states) for c in ON_LADDER} == {
        (model, k) for model, numbers in LADDER.items() for k in numbers
    }
    assert len(ON_LADDER) == len(set(ON_LADDER))
