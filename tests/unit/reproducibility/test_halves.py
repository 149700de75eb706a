"""Which runs each refit sees, and which refits are compared."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from training_maps.hmm.observations import Observations, observations
from training_maps.reproducibility.halves import (
    FOLDS,
    judging_scheme,
    n_fits,
    observations_of,
    pairs_of,
    runs_of,
    scheme_of,
)


@pytest.mark.parametrize("n", [10, 11, 40, 41])
def test_halves_of_a_pair_share_no_run_and_leave_out_one_at_most(n: int) -> None:
    seeds = list(range(3, 3 + n))
    first = FOLDS if n < 20 else 0
    for pair in range(6):
        numbers = [first + 2 * pair + side for side in (0, 1)]
        assert {scheme_of(n, number) for number in numbers} == {"halves"}
        a, b = (set(runs_of(seeds, number, 0)) for number in numbers)
        assert len(a) == len(b) == n // 2
        assert not a & b
        assert a | b <= set(seeds)


def test_pairs_differ_and_are_drawn_the_same_way_again() -> None:
    drawn = [tuple(runs_of(range(40), number, 0)) for number in range(10)]
    assert len(set(drawn)) == 10
    assert drawn == [tuple(runs_of(list(range(40))[::-1], number, 0)) for number in range(10)]
    assert drawn != [tuple(runs_of(range(40), number, 1)) for number in range(10)]
    assert all(list(half) == sorted(half) for half in drawn)


def test_every_run_is_as_likely_to_be_in_a_half() -> None:
    counts = np.bincount(
        [seed for number in range(2000) for seed in runs_of(range(20), number, 0)], minlength=20
    )
    assert counts.tolist() == [1000] * 20  # with an even number each pair has all runs


@pytest.mark.parametrize("n", range(10, 20))
def test_of_few_runs_to_halve_folds_judge_that_leave_out_each_run_once(n: int) -> None:
    assert judging_scheme(n) == "folds"
    folds = [runs_of(range(n), number, 0) for number in range(FOLDS)]
    left_out = [set(range(n)) - set(fold) for fold in folds]
    assert sorted(run for out in left_out for run in out) == list(range(n))
    assert {len(out) for out in left_out} <= {n // FOLDS, -(-n // FOLDS)}
    assert [scheme_of(n, number) for number in range(FOLDS + 1)] == ["folds"] * FOLDS + ["halves"]
    assert folds != [runs_of(range(n), number, 1) for number in range(FOLDS)]


def test_of_enough_runs_halves_judge() -> None:
    assert judging_scheme(20) == scheme_of(20, 0) == scheme_of(400, 7) == "halves"
    assert judging_scheme(9) == scheme_of(9, 8) == "leave_one_out"


@pytest.mark.parametrize("n", range(2, 10))
def test_of_few_runs_each_fit_leaves_out_another(n: int) -> None:
    fits = [runs_of(range(n), number, 0) for number in range(n)]
    left_out = [set(range(n)) - set(fit) for fit in fits]
    assert all(len(out) == 1 for out in left_out)
    assert set().union(*left_out) == set(range(n))
    assert runs_of(range(n), n, 0) == []


def test_a_single_run_cannot_be_left_out() -> None:
    assert runs_of([0], 0, 0) == []
    assert n_fits(1, 5) == n_fits(0, 5) == 0


@pytest.mark.parametrize("n", range(2, 60))
@pytest.mark.parametrize("halves", [0, 1, 5])
def test_the_fits_see_no_more_runs_than_the_pairs_would(n: int, halves: int) -> None:
    number = n_fits(n, halves)
    seen = sum(len(runs_of(range(n), i, 0)) for i in range(number))
    folds = sum(scheme_of(n, i) == "folds" for i in range(number))
    assert folds == (FOLDS if 10 <= n < 20 and halves else 0)
    assert seen <= halves * n + (FOLDS - 1) * n * (folds > 0)
    if n >= 10:
        assert number == folds + 2 * halves
    elif number < n:  # one more would be too much
        assert seen + n - 1 > halves * n


def test_fits_are_compared_with_their_other_half_or_the_next() -> None:
    assert pairs_of(range(6), "halves") == [(0, 1), (2, 3), (4, 5)]
    assert pairs_of([5, 4, 0, 3], "halves") == [(4, 5)]
    assert FOLDS % 2 == 0  # or the first half would be compared with one of another pair
    assert pairs_of([0, 1, 3], "leave_one_out") == [(0, 1), (1, 3), (3, 0)]
    assert pairs_of([4, 2], "leave_one_out") == [(2, 4)]
    assert pairs_of([2], "leave_one_out") == pairs_of([], "halves") == []


@pytest.fixture
def obs() -> Observations:
    rng = np.random.default_rng(0)
    tables = {
        seed: pd.DataFrame({"step": range(12), "l1": rng.normal(size=12), "l2": rng.random(12)})
        for seed in range(2, 14)
    }
    return observations(tables)


def test_rows_of_a_half_are_those_of_all_runs(obs: Observations) -> None:
    half = observations_of(obs, [2, 5, 7, 8, 13], 0.4, [0])
    assert half.seeds == [2, 5, 7, 8, 13]
    assert half.metrics == obs.metrics
    rows = obs.table[obs.table["seed"].isin(half.seeds)].reset_index(drop=True)
    pd.testing.assert_frame_equal(
        half.table.drop(columns="split"), rows.drop(columns="split"), check_exact=True
    )


@pytest.mark.parametrize(("share", "held_out"), [(0.0, 0), (0.2, 1), (0.4, 2), (0.79, 3)])
def test_a_half_holds_out_runs_of_its_own(obs: Observations, share: float, held_out: int) -> None:
    seeds = [2, 5, 7, 8, 13]
    half = observations_of(obs, seeds, share, [0])
    train, validation = (set(half.sequences(split)[2]) for split in ("train", "validation"))
    assert len(validation) == held_out
    assert train | validation == set(seeds)
    assert not train & validation


def test_each_half_draws_its_validation_runs_itself(obs: Observations) -> None:
    drawn = {
        tuple(observations_of(obs, obs.seeds, 0.25, [0, i, 1]).sequences("validation")[2])
        for i in range(8)
    }
    assert len(drawn) > 4
