"""The map of chains whose states, transitions and routes are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.known_chains import VARIANCES, model_of, paths_of, run_of
from training_maps.training_map.features import inverse_diagonal, inverse_diagonals, rank_features
from training_maps.training_map.map import TrainingMap
from training_maps.training_map.paths import WHY_NOT_LINEAR, explain_routes, find_routes
from training_maps.utils.errors import InputError


class TestVerticesAndEdges:
    def test_viterbi_paths_of_all_runs(self):
        runs = [run_of(0, 1, 2), run_of(0, 2, stay=4), run_of(0, 1, 2, stay=2)]
        paths = TrainingMap.from_model(model_of(runs, first_seed=7)).paths
        assert list(paths) == ["seed", "step", "state"]
        assert paths["seed"].unique().tolist() == [7, 8, 9]
        for i, states in enumerate(runs):
            run = paths[paths["seed"] == 7 + i]
            assert run["state"].tolist() == states
            assert run["step"].tolist() == [32 * j for j in range(len(states))]

    def test_unvisited_states_and_unused_transitions_are_pruned(self):
        tmap = TrainingMap.from_model(model_of([run_of(0, 2), run_of(0, 2, 0, 2)]))
        assert [state.state for state in tmap.states] == [0, 2]
        assert [(edge.source, edge.target) for edge in tmap.transitions] == [(0, 2), (2, 0)]
        assert tmap.selected_model["n_states"] == 4

    def test_counts_and_probabilities(self):
        runs = [run_of(0, 1, 0, 1, 2), run_of(0, 1, 2), run_of(0, 2, stay=12)]
        tmap = TrainingMap.from_model(model_of(runs))
        edges = {(edge.source, edge.target): edge for edge in tmap.transitions}
        assert {pair: (edge.n_runs, edge.n_uses) for pair, edge in edges.items()} == {
            (0, 1): (2, 3),
            (0, 2): (1, 1),
            (1, 0): (1, 1),
            (1, 2): (2, 2),
        }
        assert edges[0, 1].probability == pytest.approx(0.05)
        states = {state.state: state for state in tmap.states}
        assert {k: state.n_runs for k, state in states.items()} == {0: 3, 1: 2, 2: 3}
        checkpoints = [state for run in runs for state in run]
        for k, state in states.items():
            assert state.share_of_checkpoints == pytest.approx(
                checkpoints.count(k) / len(checkpoints)
            )
            assert state.stay_probability == pytest.approx(0.85)

    def test_features_and_changes_by_hand(self):
        tmap = TrainingMap.from_model(model_of([run_of(0, 1, 3)]))
        first, second, _ = tmap.states
        # Inverse variances of state 0 are 100, 1/0.3, 1/0.4, 1/0.5.
        assert [feature.metric for feature in first.features] == ["l2", "trace", "own_metric"]
        assert [f.inverse_covariance for f in first.features] == pytest.approx([100, 1 / 0.3, 2.5])
        assert [feature.metric for feature in second.features] == ["trace", "l2", "own_metric"]
        assert [feature.mean for feature in second.features] == [0, 10, 0]
        edge = tmap.transitions[1]
        assert (edge.source, edge.target) == (1, 3)
        # mu_3 - mu_1 in the top features of 3.
        assert {c.metric: c.change for c in edge.feature_changes} == {
            "var_w": -5,
            "l2": 30,
            "trace": -5,
        }
        assert [c.metric for c in edge.feature_changes] == ["var_w", "l2", "trace"]

    def test_number_of_features(self):
        model = model_of([run_of(0, 1)])
        assert len(TrainingMap.from_model(model, n_features=1).states[0].features) == 1
        assert len(TrainingMap.from_model(model, n_features=9).states[0].features) == 4
        with pytest.raises(InputError, match="at least 1"):
            TrainingMap.from_model(model, n_features=0)

    def test_one_state(self):
        tmap = TrainingMap.from_model(model_of([run_of(0), run_of(0)]))
        assert tmap.is_linear
        assert tmap.transitions == ()
        assert [route.states for route in tmap.routes] == [(0,)]

    def test_own_metric_is_named_by_its_column(self):
        name = TrainingMap.from_model(model_of([run_of(2)])).states[0].name
        assert name.split(", ")[0] == "own_metric"

    def test_state_of_few_checkpoints_is_noted_for_full_covariance_only(self):
        runs = [[*run_of(0), 1, 1, *run_of(2)]]
        notes = TrainingMap.from_model(model_of(runs)).notes
        assert any("State 1 has 2 checkpoints for 4 metrics" in note.text for note in notes)
        notes = TrainingMap.from_model(model_of(runs, covariance="diag")).notes
        assert not any("checkpoints for" in note.text for note in notes)


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
        assert not any("only because" in note.text for note in tmap.notes)

    def test_run_that_ends_early_forks_and_is_noted(self):
        tmap = TrainingMap.from_model(model_of([run_of(0, 1, 2), run_of(0, 1), run_of(0)]))
        assert not tmap.is_linear
        (note,) = [note for note in tmap.notes if note.kind == WHY_NOT_LINEAR]
        assert "only because 2 of 3 runs (seeds 1,2) did not reach" in note.text

    def test_return_forks_and_is_noted(self):
        tmap = TrainingMap.from_model(model_of([run_of(0, 1, 0, 1, 2), run_of(0, 1, 2)]))
        assert not tmap.is_linear
        (note,) = [note for note in tmap.notes if note.kind == WHY_NOT_LINEAR]
        assert "only because 1 of 2 runs (seed 0) returns to an earlier state; as far" in note.text

    def test_runs_that_go_back_are_not_said_to_make_the_others_end_early(self):
        """Of the longest way, the common one is the beginning: yet it reaches the same states."""
        routes = find_routes(paths_of([0, 1, 2], [0, 1, 2, 1, 2], [0, 1, 2, 1], [0, 1, 2]))
        (note,) = explain_routes(routes)
        assert "only because 2 of 4 runs (seeds 1,2) return to earlier states; as far" in note.text
        assert note.text.endswith(
            "all runs enter the same states for the first time in the same order."
        )

    def test_runs_that_end_early_and_runs_that_go_back_are_both_noted(self):
        (note,) = explain_routes(find_routes(paths_of([0, 1, 2], [0, 1, 0, 1], [0, 1, 2])))
        early = "1 of 3 runs (seed 1) did not reach the last state of the others and 1 of 3 runs"
        assert f"only because {early} (seed 1) returns to an earlier state; as far" in note.text
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


class TestInverseCovariance:
    @given(st.integers(1, 8), st.integers(0, 1000))
    @settings(max_examples=50, deadline=None)
    def test_equals_the_inverse(self, d, seed):
        rng = np.random.default_rng(seed)
        root = rng.normal(size=(d, d + 3)) * 10.0 ** rng.uniform(-3, 3, size=(d, 1))
        covariance = root @ root.T
        diagonal, condition = inverse_diagonal(covariance)
        np.testing.assert_allclose(diagonal, np.diag(np.linalg.inv(covariance)), rtol=1e-6)
        scale = np.sqrt(np.diag(covariance))
        expected = np.linalg.cond(covariance / np.outer(scale, scale))
        assert condition == pytest.approx(expected, rel=1e-6)

    def test_is_one_over_the_residual_variance(self):
        """Entry i of the diagonal is 1 / Var(z_i given the other metrics)."""
        covariance = np.array([[2.0, 0.8, 0.1], [0.8, 1.0, -0.3], [0.1, -0.3, 0.5]])
        diagonal, _ = inverse_diagonal(covariance)
        for i in range(3):
            others = [j for j in range(3) if j != i]
            cross = covariance[i, others]
            weights = np.linalg.solve(covariance[np.ix_(others, others)], cross)
            assert diagonal[i] == pytest.approx(1 / (covariance[i, i] - cross @ weights))

    @pytest.mark.parametrize(
        "covariance",
        [
            np.ones((3, 3)),
            np.diag([1.0, 0.0, 2.0]),
            np.outer([1, 1e-8, 3], [1, 1e-8, 3]),
            np.zeros((2, 2)),
        ],
    )
    def test_singular_covariances_give_finite_positive_numbers(self, covariance):
        diagonal, condition = inverse_diagonal(covariance.astype(float))
        assert np.isfinite(diagonal).all()
        assert (diagonal > 0).all()
        assert np.isfinite(condition)

    def test_nearly_singular_is_noted(self):
        covars = np.stack([np.diag(v) for v in VARIANCES])
        covars[1, :2, :2] = [[1, 1 - 1e-13], [1 - 1e-13, 1]]
        diagonals, notes = inverse_diagonals(covars, [0, 1, 3])
        assert sorted(diagonals) == [0, 1, 3]
        assert len(notes) == 1
        assert "covariance of state 1 is nearly singular" in notes[0].text

    def test_ties_keep_the_order_of_columns(self):
        assert rank_features(["c", "a", "b"], np.array([1.0, 2.0, 1.0])) == ["a", "c", "b"]
