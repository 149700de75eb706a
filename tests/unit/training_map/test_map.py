"""The map of chains whose states, transitions and routes are known."""

from __future__ import annotations

import pytest

from tests.support.known_chains import model_of, run_of
from training_maps.training_map.map import TrainingMap
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
