"""What the restarts say of each run, and splits of the same runs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from training_maps.hmm.observations import Observations, observations
from training_maps.model_selection.criteria import (
    Candidate,
)
from training_maps.model_selection.fit import fit_hmm
from training_maps.model_selection.restarts import (
    OWN_SPLIT,
    Restarts,
    from_arrays,
    other_splits,
    to_arrays,
    visiting_order,
    with_split,
)


def test_every_run_of_every_restart_is_scored_and_decoded(three_phases, fits):
    fit = fits[Candidate("gaussian", 3)]
    own = fit.restarts[0]
    x, lengths, seeds = three_phases.sequences()
    assert own.seeds.tolist() == seeds
    assert own.seeds[own.judging].tolist() == three_phases.sequences("validation")[2]
    assert own.best == fit.restart
    plain = fit.hmm.to_hmmlearn()
    for run, rows in enumerate(np.split(x, np.cumsum(lengths)[:-1])):
        assert own.log_likelihood[fit.restart, run] == pytest.approx(plain.score(rows), rel=1e-8)
    np.testing.assert_array_equal(own.paths[fit.restart], plain.predict(x, lengths))
    again = from_arrays(to_arrays(fit.restarts))
    for before, after in zip(fit.restarts, again, strict=True):
        for name, value in vars(before).items():
            np.testing.assert_array_equal(getattr(after, name), value)
    with pytest.raises(ValueError, match="restarts_seeds has shape"):
        from_arrays(to_arrays(fit.restarts) | {"restarts_seeds": np.zeros((1, 2))})


def test_runs_need_not_be_kept(three_phases):
    kept, bare = (fit_hmm(three_phases, 2, restarts=2, keep_runs=keep) for keep in (True, False))
    assert bare.restarts == ()
    assert len(kept.restarts) == 1
    pd.testing.assert_frame_equal(kept.scores, bare.scores)
    np.testing.assert_array_equal(kept.hmm.means_, bare.hmm.means_)


def test_other_splits_are_those_of_the_seed_and_are_fitted_anew(three_phases, fits):
    tables = dict(iter(three_phases.table.groupby("seed")))
    splits = other_splits(three_phases, 4)
    assert len(splits) == 4
    drawn = [frozenset(split.sequences("validation")[2]) for _, split in splits]
    own = frozenset(three_phases.sequences("validation")[2])
    assert len({own, *drawn}) == 5
    for (seed, split), held_out in zip(splits, drawn, strict=True):
        same = observations(
            {s: t.drop(columns="split") for s, t in tables.items()}, split_seed=seed
        )
        assert frozenset(same.sequences("validation")[2]) == held_out
        pd.testing.assert_frame_equal(
            split.table.drop(columns="split"), three_phases.table.drop(columns="split")
        )
    for (seed, split), there in zip(
        splits[:2], fits[Candidate("gaussian", 2)].restarts[1:], strict=True
    ):
        assert there.split_seed == seed
        direct = fit_hmm(split, 2, restarts=3).restarts[0]
        np.testing.assert_array_equal(there.log_likelihood, direct.log_likelihood)
        np.testing.assert_array_equal(there.paths, direct.paths)


def test_splits_run_out_where_there_are_few_runs(three_phases):
    table = three_phases.table[three_phases.table["seed"] < 3].assign(split="train")
    assert other_splits(Observations(table, three_phases.metrics), 3) == []
    table.loc[table["seed"] == 0, "split"] = "validation"
    held_out = [
        s.sequences("validation")[2]
        for _, s in other_splits(Observations(table, three_phases.metrics), 9)
    ]
    assert sorted(held_out) == [[1], [2]]


@pytest.mark.parametrize(
    ("paths", "order"),
    [
        ([[2, 2, 0, 1], [2, 0, 0, 1]], [2, 0, 1]),
        # State 1 is visited by one run only, but early there.
        ([[0, 0, 0, 2, 2], [0, 1, 2, 2, 2]], [0, 1, 2]),
        # Equal first visits (2 in both): the one left earlier comes first.
        ([[1, 1, 0, 0, 0, 1], [1, 1, 2, 2, 1, 1]], [1, 2, 0]),
        # Never visited: last, in their old order.
        ([[3, 3, 1]], [3, 1, 0, 2]),
    ],
)
def test_visiting_order(paths, order):
    result = visiting_order([np.array(path) for path in paths], len(order))
    assert result.tolist() == order


def hand_made(log_likelihood, judging, split_seed=OWN_SPLIT):
    log_likelihood = np.array(log_likelihood, dtype=float)
    n_restarts, n_runs = log_likelihood.shape
    return Restarts(
        seeds=np.arange(n_runs),
        lengths=np.full(n_runs, 2),
        judging=np.array(judging),
        log_likelihood=log_likelihood,
        paths=np.zeros((n_restarts, 2 * n_runs), dtype=np.int64),
        n_parameters=3,
        split_seed=split_seed,
    )


def test_the_best_restart_is_that_of_the_judging_runs_and_of_equals_the_first():
    assert hand_made([[9, 1], [0, 2], [0, 2]], [False, True]).best == 1
    assert hand_made([[9, 1], [0, 2], [0, 2]], [True, True]).best == 0


def test_arrays_of_nothing_are_no_restarts_and_what_is_missing_is_named():
    arrays = to_arrays([hand_made([[1, 2]], [True, False]), hand_made([[3, 4]], [True, True], 5)])
    first, second = from_arrays(arrays)
    assert (first.split_seed, second.split_seed) == (OWN_SPLIT, 5)
    assert second.judging.tolist() == [True, True]
    assert from_arrays(to_arrays([])) == ()
    for name in arrays:
        with pytest.raises(KeyError, match=name):
            from_arrays({key: value for key, value in arrays.items() if key != name})


def test_a_split_of_another_seed_holds_out_as_many_runs(three_phases):
    again = with_split(three_phases, 7)
    held_out = again.sequences("validation")[2]
    assert len(held_out) == len(three_phases.sequences("validation")[2])
    drawn = np.random.default_rng(7).permutation(three_phases.seeds)[: len(held_out)]
    assert set(held_out) == set(drawn)
    assert with_split(three_phases, 7).table.equals(again.table)
