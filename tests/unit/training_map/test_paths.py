"""State paths: their table, their routes, and when runs enter and leave states."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.known_chains import model_of, paths_of, run_of
from training_maps.training_map.map import TrainingMap
from training_maps.training_map.paths import (
    WHY_NOT_LINEAR,
    Route,
    check_state_paths,
    explain_routes,
    find_routes,
    path_times,
    read_state_paths,
    state_shares,
)
from training_maps.utils.errors import InputError


class TestPathTimes:
    def test_by_hand(self):
        table = paths_of([0, 0, 1, 1, 0], [2, 2, 2])
        table["step"] *= 10
        log = pd.DataFrame({"step": [0, 40], "epoch": [0.0, 8.0]})
        times = path_times(table.sample(frac=1, random_state=0), {0: log})
        assert times.to_dict("list") == {
            "seed": [0, 0, 0, 1],
            "visit": [0, 1, 2, 0],
            "state": [0, 1, 0, 2],
            "step": [0, 20, 40, 0],
            "epoch": [0, 4, 8, pytest.approx(np.nan, nan_ok=True)],
            "fraction": [0, 0.5, 1, 0],
            "n_checkpoints": [2, 2, 1, 3],
            "is_first": [True, True, False, True],
        }


class TestRoutes:
    def test_linear(self):
        runs = [run_of(0, 1, 2, stay=n) for n in (3, 5, 8)]
        tmap = TrainingMap.from_model(model_of(runs))
        assert tmap.is_linear
        assert [(route.states, route.seeds) for route in tmap.routes] == [((0, 1, 2), (0, 1, 2))]

    def test_fork_most_common_first(self):
        runs = [run_of(0, 2), run_of(0, 1, 2), run_of(0, 1, 2), run_of(0, 3, 2)]
        tmap = TrainingMap.from_model(model_of(runs))
        assert not tmap.is_linear
        assert [(route.states, route.seeds) for route in tmap.routes] == [
            ((0, 1, 2), (1, 2)),
            ((0, 2), (0,)),
            ((0, 3, 2), (3,)),
        ]
        assert not any(note.kind == WHY_NOT_LINEAR for note in tmap.notes)

    def test_run_that_ends_early_forks_and_is_noted(self):
        tmap = TrainingMap.from_model(model_of([run_of(0, 1, 2), run_of(0, 1), run_of(0)]))
        assert not tmap.is_linear
        (note,) = [note for note in tmap.notes if note.kind == WHY_NOT_LINEAR]
        assert note.text == (
            "All runs take the same route; 2 runs (seeds 1,2) stopped before the last state."
        )

    def test_how_many_states_a_run_stopped_early_is_told(self):
        routes = find_routes(paths_of([0, 1, 2], [0, 1, 2], [0, 1]))
        (note,) = explain_routes(routes)
        assert note.text == "All runs take the same route; seed 2 stopped one state early."
        (note,) = explain_routes(find_routes(paths_of([0, 1, 2], [0], [0])))
        assert note.text.endswith("; 2 runs (seeds 1,2) stopped 2 states early.")

    def test_return_forks_and_is_noted(self):
        tmap = TrainingMap.from_model(model_of([run_of(0, 1, 0, 1, 2), run_of(0, 1, 2)]))
        assert not tmap.is_linear
        (note,) = [note for note in tmap.notes if note.kind == WHY_NOT_LINEAR]
        assert note.text == (
            "All runs enter the same states in the same order; seed 0 went back to an earlier "
            "state."
        )

    def test_runs_that_go_back_are_not_said_to_make_the_others_end_early(self):
        """Of the longest way, the common one is the beginning: yet it reaches the same states."""
        routes = find_routes(paths_of([0, 1, 2], [0, 1, 2, 1, 2], [0, 1, 2, 1], [0, 1, 2]))
        (note,) = explain_routes(routes)
        assert note.text == (
            "All runs enter the same states in the same order; 2 runs (seeds 1,2) went back to "
            "earlier states."
        )

    def test_runs_that_end_early_and_runs_that_go_back_are_both_noted(self):
        (note,) = explain_routes(find_routes(paths_of([0, 1, 2], [0, 1, 0, 1], [0, 1, 2])))
        early = "seed 1 stopped one state early and seed 1 went back to an earlier state"
        assert note.text == f"All runs enter the same states in the same order; {early}."
        assert explain_routes(find_routes(paths_of([0, 1, 2], [0, 2, 1, 2]))) == []

    def test_same_return_in_all_runs_is_linear(self):
        assert len(find_routes(paths_of([0, 1, 1, 0, 2], [0, 0, 1, 0, 2, 2]))) == 1

    def test_neighbouring_runs_do_not_merge(self):
        """Run 0 ends in the state in which run 1 begins and stays."""
        routes = find_routes(paths_of([0, 1], [1, 1], [1, 0]))
        assert [(route.states, route.seeds) for route in routes] == [
            ((0, 1), (0,)),
            ((1,), (1,)),
            ((1, 0), (2,)),
        ]
        assert explain_routes(routes) == []

    @given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=8), min_size=1, max_size=6))
    @settings(max_examples=60, deadline=None)
    def test_equals_a_plain_loop_in_any_order_of_rows(self, runs):
        expected = {}
        for seed, run in enumerate(runs):
            route = [s for i, s in enumerate(run) if i == 0 or s != run[i - 1]]
            expected.setdefault(tuple(route), []).append(seed)
        table = paths_of(*runs).sample(frac=1, random_state=1)
        routes = find_routes(table)
        assert {route.states: list(route.seeds) for route in routes} == expected
        counts = [len(route.seeds) for route in routes]
        assert counts == sorted(counts, reverse=True)


class TestShares:
    def test_by_counting(self):
        runs = [[0, 0, 3, 0], [3, 1]]
        shares = state_shares(paths_of(*runs).sample(frac=1, random_state=0))
        assert shares.columns.tolist() == [0, 1, 3]
        assert shares.index.tolist() == [0, 1]
        assert shares.to_numpy().tolist() == [[0.75, 0, 0.25], [0, 0.5, 0.5]]

    def test_nothing_to_count(self):
        with pytest.raises(InputError, match="is empty"):
            state_shares(paths_of())
        with pytest.raises(InputError, match="lacks the column state"):
            state_shares(paths_of([0]).drop(columns="state"))


class TestTable:
    def test_it_is_sorted_and_further_columns_are_left_out(self, tmp_path):
        table = paths_of([0, 1], [2]).sample(frac=1, random_state=1).assign(note="x")
        table.to_csv(tmp_path / "paths.csv", index=False)
        pd.testing.assert_frame_equal(
            read_state_paths(tmp_path / "paths.csv"), paths_of([0, 1], [2])
        )

    def test_where_it_is_wrong_is_said(self):
        with pytest.raises(InputError, match=r"^here: has no column step, state; it has seed"):
            check_state_paths(pd.DataFrame({"seed": [0]}), "here")
        with pytest.raises(InputError, match="column state must hold whole numbers"):
            check_state_paths(paths_of([0, 1]).astype({"state": float}))


def test_routes_say_how_many_take_them():
    assert str(Route((0, 1, 2), (3, 5))) == "2 runs: 0-1-2"
    assert str(Route((4,), (3,))) == "1 run: 4"
