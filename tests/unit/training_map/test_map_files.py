"""The map of state paths alone, its files, and the command that makes it."""

from __future__ import annotations

import json
from itertools import pairwise

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from tests.support.known_chains import MEANS, METRICS, NOTE_OF_MODEL, model_of, paths_of, run_of
from training_maps.training_map.map import TrainingMap
from training_maps.training_map.paths import read_state_paths
from training_maps.utils.errors import InputError
from training_maps.utils.notes import Note


class TestPathsAlone:
    """The map of a table of `seed`, `step`, `state`, without any model."""

    runs = ([0, 0, 1, 1, 2], [0, 0, 0, 2, 2], [0, 1, 0, 1, 2])

    def make(self):
        return TrainingMap.from_paths(paths_of(*self.runs), experiment="toy")

    def test_counts_and_probabilities_by_a_plain_loop(self):
        tmap = self.make()
        follow = {}
        for run in self.runs:
            for pair in pairwise(run):
                follow[pair] = follow.get(pair, 0) + 1
        leaving = {k: sum(n for pair, n in follow.items() if pair[0] == k) for k in (0, 1, 2)}
        everything = [state for run in self.runs for state in run]
        for state in tmap.states:
            k = state.state
            assert state.share_of_checkpoints == everything.count(k) / len(everything)
            assert state.n_runs == sum(k in run for run in self.runs)
            assert state.stay_probability == follow.get((k, k), 0) / leaving[k]
            assert (state.features, state.mean, state.inverse_covariance) == ((), None, None)
            assert state.name == f"state {k}"
        moves = {pair: n for pair, n in follow.items() if pair[0] != pair[1]}
        assert [(edge.source, edge.target) for edge in tmap.transitions] == sorted(moves)
        for edge in tmap.transitions:
            pair = (edge.source, edge.target)
            assert edge.n_uses == moves[pair]
            assert edge.n_runs == sum(pair in list(pairwise(run)) for run in self.runs)
            assert edge.probability == moves[pair] / leaving[edge.source]
            assert edge.feature_changes == ()

    def test_equals_a_models_map_of_the_same_paths_where_both_know(self):
        of_model = TrainingMap.from_model(model_of([run_of(0, 1, 3), run_of(0, 3, 1, 3)]))
        of_paths = TrainingMap.from_paths(of_model.paths)
        assert of_paths.routes == of_model.routes
        assert of_paths.is_linear == of_model.is_linear
        pd.testing.assert_frame_equal(of_paths.paths, of_model.paths)
        for ours, theirs in zip(of_paths.states, of_model.states, strict=True):
            assert ours.state == theirs.state
            assert ours.share_of_checkpoints == theirs.share_of_checkpoints
            assert ours.n_runs == theirs.n_runs
        for ours, theirs in zip(of_paths.transitions, of_model.transitions, strict=True):
            assert (ours.source, ours.target) == (theirs.source, theirs.target)
            assert (ours.n_runs, ours.n_uses) == (theirs.n_runs, theirs.n_uses)

    def test_a_state_that_nothing_follows_has_no_probability_to_stay(self):
        tmap = TrainingMap.from_paths(paths_of([0, 0, 1]))
        assert [state.stay_probability for state in tmap.states] == [0.5, None]

    def test_json_has_the_keys_of_a_models_map(self, tmp_path):
        tmap = self.make()
        of_model = TrainingMap.from_model(model_of([run_of(0, 1)])).to_dict()
        data = tmap.to_dict()
        assert set(data) == set(of_model)
        assert set(data["states"][0]) == set(of_model["states"][0])
        assert set(data["transitions"][0]) == set(of_model["transitions"][0])
        assert (data["selected_model"], data["feature_ranking"]) == (None, None)
        tmap.to_json(tmp_path / "map.json")
        again = TrainingMap.from_json(tmp_path / "map.json", tmap.paths)
        assert again.to_dict() == data
        assert again.means is None

    def test_can_be_drawn_and_told(self):
        tmap = self.make()
        assert tmap.plot().axes
        assert tmap.to_networkx().graph["selected_model"] is None
        assert "  state 0 (47% of checkpoints, 3 runs)" in repr(tmap).splitlines()

    def test_order_of_rows_and_further_columns_do_not_matter(self):
        table = paths_of(*self.runs).assign(epoch=0.5).sample(frac=1, random_state=0)
        assert TrainingMap.from_paths(table, "toy").to_dict() == self.make().to_dict()

    def test_numbers_that_are_not_in_the_order_of_visits_are_kept_and_noted(self):
        tmap = TrainingMap.from_paths(paths_of([5, 5, 2, 2], [5, 2, 2, 2]))
        assert [state.state for state in tmap.states] == [2, 5]
        assert any("keep the numbers that they were given" in note.text for note in tmap.notes)
        assert self.make().notes == ()

    @pytest.mark.parametrize(
        ("table", "words"),
        [
            (paths_of([0, 1]).drop(columns="state"), "has no column state"),
            (paths_of(), "has no rows"),
            (paths_of([0, 1]).assign(state=["a", "b"]), "state must hold whole numbers"),
            (paths_of([0, 1]).assign(step=0), "seed 0 has step 0 twice"),
            (
                paths_of([0, 1]).assign(state=pd.array([0, None], dtype="Int64")),
                "state must hold whole numbers",
            ),
        ],
    )
    def test_what_is_no_table_of_paths(self, table, words):
        with pytest.raises(InputError, match=words):
            TrainingMap.from_paths(table)


class TestFiles:
    def make(self):
        runs = [run_of(0, 1, 2), run_of(0, 2), run_of(0, 1, 2)]
        model = model_of(runs, notes=(Note("data", "A note of the data."), NOTE_OF_MODEL))
        return TrainingMap.from_model(model, experiment="toy")

    def test_round_trip(self, tmp_path):
        tmap = self.make()
        tmap.to_json(tmp_path / "map.json", criterion="bic")
        tmap.paths.to_csv(tmp_path / "paths.csv", index=False)
        for paths in (tmap.paths, tmp_path / "paths.csv"):
            again = TrainingMap.from_json(tmp_path / "map.json", paths)
            assert again.to_dict() == tmap.to_dict()
            assert again.states == tmap.states
            assert again.transitions == tmap.transitions
            pd.testing.assert_frame_equal(again.paths, tmap.paths)
            pd.testing.assert_frame_equal(again.means, tmap.means)

    def test_json_is_as_documented(self, tmp_path):
        tmap = self.make()
        tmap.to_json(tmp_path / "map.json", criterion="bic")
        data = json.loads((tmp_path / "map.json").read_text())
        assert data["made_by"]["criterion"] == "bic"
        assert data["experiment"] == "toy"
        assert data["linear"] is False
        assert data["metrics"] == list(METRICS)
        assert data["feature_ranking"] == "inverse_covariance"
        assert data["selected_model"] == {
            "model": "gaussian",
            "n_states": 4,
            "restart": 2,
            "criterion": "bic",
            "aggregate": "mean",
            "covariance": "full",
            "value": -12.5,
        }
        assert data["paths"][0] == {"states": [0, 1, 2], "seeds": [0, 2]}
        assert data["notes"][:2] == [
            {"kind": "data", "text": "A note of the data."},
            {"kind": "model", "text": "A note of the model."},
        ]
        state, edge = data["states"][1], data["transitions"][0]
        assert {"state", "name", "features", "share_of_checkpoints", "n_runs", "mean"} <= set(state)
        assert state["features"][0]["posterior_gradient"] is None
        assert set(state["features"][0]) == {
            "metric",
            "inverse_covariance",
            "mean",
            "posterior_gradient",
        }
        assert (edge["from"], edge["to"]) == (0, 1)
        assert set(edge["feature_changes"][0]) == {"metric", "change", "posterior_gradient"}

    def test_notes_of_older_versions_are_refused(self, tmp_path):
        tmap = self.make()
        data = tmap.to_dict()
        data["notes"] = [note["text"] for note in data["notes"]]
        (tmp_path / "map.json").write_text(json.dumps(data))
        with pytest.raises(InputError, match=r"map\.json: has notes without a kind"):
            TrainingMap.from_json(tmp_path / "map.json", tmap.paths)

    @pytest.mark.parametrize("text", ['{"states": [1]}', "[]", '{"states": [{"state": 1}]}', "{"])
    def test_broken_files_are_named(self, tmp_path, text):
        (tmp_path / "map.json").write_text(text)
        with pytest.raises(InputError, match=r"map\.json"):
            TrainingMap.from_json(tmp_path / "map.json", paths_of([0]))

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("seed,step\n0,1\n", "no column state"),
            ("seed,step,state\n", "has no rows"),
            ("seed,step,state\n0,1,a\n", "state must hold whole numbers"),
            ("seed,step,state\n0,1,\n0,2,1\n", "state must hold whole numbers"),
            ("seed,step,state\n0,1,1\n0,1,2\n", "seed 0 has step 1 twice"),
        ],
    )
    def test_broken_paths_are_named(self, tmp_path, text, words):
        (tmp_path / "paths.csv").write_text(text)
        with pytest.raises(InputError, match=words):
            read_state_paths(tmp_path / "paths.csv")

    def test_networkx(self):
        tmap = self.make()
        graph = tmap.to_networkx()
        assert isinstance(graph, nx.DiGraph)
        assert graph.graph["experiment"] == "toy"
        assert graph.graph["linear"] is False
        assert set(graph.nodes) == {0, 1, 2}
        assert set(graph.edges) == {(0, 1), (0, 2), (1, 2)}
        assert graph.nodes[0]["n_runs"] == 3
        assert graph.nodes[1]["features"][0]["metric"] == "trace"
        assert graph.nodes[2]["mean"]["l2"] == 20
        edge = graph.edges[0, 1]
        assert (edge["n_runs"], edge["n_uses"]) == (2, 2)
        assert edge["probability"] == pytest.approx(0.05)
        assert edge["feature_changes"][0] == {
            "metric": "trace",
            "change": 0,
            "posterior_gradient": None,
        }

    def test_repr_reads_well(self):
        lines = repr(self.make()).splitlines()
        assert lines[0] == ("TrainingMap: 3 states, 3 transitions, 3 runs, forks into 2 routes")
        assert lines[-2:] == ["  2 runs: 0-1-2", "  1 run: 0-2"]

    def test_means(self):
        means = self.make().means
        assert means.index.tolist() == [0, 1, 2]
        np.testing.assert_array_equal(means.to_numpy(), MEANS[:3])
