"""GraphML and DOT of a map, read back by networkx and by a plain parser of the language."""

from __future__ import annotations

import copy
import json
import re

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.known_chains import METRICS, model_of, paths_of, run_of
from training_maps.training_map.export import flat_graph, write_dot, write_graphml
from training_maps.training_map.map import TrainingMap
from training_maps.utils.errors import InputError

HOSTILE = 'a "quoted" <b>&lt; \\N \\" ]]> \u00e9\n; } -> [x] \\'


def a_map(**options):
    runs = [run_of(0, 1, 2), run_of(0, 2), run_of(0, 1, 2)]
    return TrainingMap.from_model(model_of(runs), experiment="toy", **options)


def hostile_map():
    """A map whose experiment, metrics and labels are all hostile."""
    data = copy.deepcopy(a_map(features="posterior_gradient").to_dict())
    text = json.dumps(data).replace("own_metric", json.dumps(HOSTILE)[1:-1])
    return json.loads(text) | {"experiment": HOSTILE}


def read_dot(path):
    """Name, vertices and edges of a DOT file with one statement a line, by the grammar's tokens."""
    token = re.compile(r'\s*("(?:[^"\\]|\\.)*"|->|[\[\]{};=,]|[^\s\[\]{};=,"]+)', re.DOTALL)
    text = path.read_text(encoding="utf-8")
    found, at = [], 0
    while at < len(text.rstrip()):
        match = token.match(text, at)
        assert match, text[at : at + 40]
        found.append(match[1])
        at = match.end()

    def plain(word):
        if not word.startswith('"'):
            return float(word)
        escapes = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}
        return re.sub(r"\\.", lambda m: escapes[m[0]], word[1:-1])

    assert found[0] == "digraph"
    assert found[2] == "{"
    assert found[-1] == "}"
    name, nodes, edges = plain(found[1]), {}, {}
    at = 3
    while found[at] != "}":
        end = found.index(";", at)
        words = found[at:end]
        at = end + 1
        if words[0] in ("rankdir", "node"):
            continue
        opened = words.index("[")
        inner = [word for word in words[opened + 1 : -1] if word not in ("=", ",")]
        attributes = {key: plain(value) for key, value in zip(inner[::2], inner[1::2], strict=True)}
        if opened == 3:
            edges[int(words[0]), int(words[2])] = attributes
        else:
            nodes[int(words[0])] = attributes
    return name, nodes, edges


class TestGraphML:
    @pytest.mark.parametrize("ranking", ["inverse_covariance", "posterior_gradient"])
    def test_round_trip(self, tmp_path, ranking):
        tmap = a_map(features=ranking)
        tmap.to_graphml(tmp_path / "map.graphml")
        graph = nx.read_graphml(tmp_path / "map.graphml", node_type=int)
        assert graph.is_directed()
        assert graph.graph["experiment"] == "toy"
        assert graph.graph["linear"] is False
        assert graph.graph["feature_ranking"] == ranking
        assert graph.graph["model_n_states"] == 4
        assert set(graph.nodes) == {state.state for state in tmap.states}
        for state in tmap.states:
            node = graph.nodes[state.state]
            assert node["name"] == state.name
            assert node["features"].split() == [feature.metric for feature in state.features]
            assert node["share_of_checkpoints"] == state.share_of_checkpoints
            assert node["n_runs"] == state.n_runs
            assert node["stay_probability"] == state.stay_probability
            for metric in METRICS:
                assert node[f"mean_{metric}"] == state.mean[metric]
                value = state.inverse_covariance[metric]
                assert node[f"inverse_covariance_{metric}"] == value
        assert len(graph.edges) == len(tmap.transitions)
        for edge in tmap.transitions:
            found = graph.edges[edge.source, edge.target]
            assert found["probability"] == edge.probability
            assert (found["n_runs"], found["n_uses"]) == (edge.n_runs, edge.n_uses)
            for change in edge.feature_changes:
                assert found[f"change_{change.metric}"] == change.change
                gradient = found.get(f"posterior_gradient_{change.metric}")
                assert gradient == change.posterior_gradient

    def test_a_map_of_paths(self, tmp_path):
        tmap = TrainingMap.from_paths(paths_of([0, 1, 1, 2], [0, 2, 2, 2]))
        tmap.to_graphml(tmp_path / "map.graphml")
        graph = nx.read_graphml(tmp_path / "map.graphml", node_type=int)
        assert graph.nodes[1]["stay_probability"] == 0.5
        assert set(graph.nodes[1]) == {
            "name", "features", "share_of_checkpoints", "n_runs", "stay_probability",
        }  # fmt: skip
        assert graph.edges[0, 1]["probability"] == 0.5
        assert "experiment" not in graph.graph

    def test_hostile_names(self, tmp_path):
        data = hostile_map()
        write_graphml(data, tmp_path / "map.graphml")
        graph = nx.read_graphml(tmp_path / "map.graphml", node_type=int)
        assert graph.graph["experiment"] == HOSTILE
        for state in data["states"]:
            assert graph.nodes[state["state"]]["name"] == state["name"]
            assert graph.nodes[state["state"]][f"mean_{HOSTILE}"] == state["mean"][HOSTILE]

    @given(st.text(max_size=20), st.text(min_size=1, max_size=20))
    @settings(max_examples=30, deadline=None)
    def test_any_text_is_read_back(self, tmp_path_factory, experiment, metric):
        folder = tmp_path_factory.mktemp("any")
        data = a_dict(experiment, metric)
        write_graphml(data, folder / "map.graphml")
        graph = nx.read_graphml(folder / "map.graphml", node_type=int)
        flat = flat_graph(data)
        # ElementTree reads an empty text as none.
        assert (graph.graph["experiment"] or "") == flat.graph["experiment"]
        assert dict(graph.nodes[0]) == dict(flat.nodes[0])
        assert dict(graph.edges) == dict(flat.edges)


def a_dict(experiment, metric):
    feature = {"metric": metric, "inverse_covariance": 2.0, "mean": 1.5, "posterior_gradient": None}
    state = {
        "name": metric, "features": [feature], "share_of_checkpoints": 0.5, "n_runs": 1,
        "stay_probability": None, "mean": {metric: 1.5}, "inverse_covariance": {metric: 2.0},
    }  # fmt: skip
    change = {"metric": metric, "change": -0.25, "posterior_gradient": 0.125}
    edge = {"from": 0, "to": 1, "probability": 1.0, "n_runs": 1, "n_uses": 1}
    return {
        "experiment": experiment,
        "linear": True,
        "feature_ranking": "inverse_covariance",
        "selected_model": None,
        "states": [{"state": 0, **state}, {"state": 1, **state}],
        "transitions": [{**edge, "feature_changes": [change]}],
    }


class TestDot:
    def test_round_trip(self, tmp_path):
        tmap = a_map()
        tmap.to_dot(tmp_path / "map.dot")
        name, nodes, edges = read_dot(tmp_path / "map.dot")
        assert name == "toy"
        assert set(nodes) == {state.state for state in tmap.states}
        for state in tmap.states:
            node = nodes[state.state]
            assert node["label"] == f"{state.state}\n{state.name}"
            assert node["share_of_checkpoints"] == state.share_of_checkpoints
            assert node["n_runs"] == state.n_runs
            assert node["stay_probability"] == state.stay_probability
        assert set(edges) == {(edge.source, edge.target) for edge in tmap.transitions}
        for edge in tmap.transitions:
            found = edges[edge.source, edge.target]
            assert found["probability"] == edge.probability
            assert (found["n_runs"], found["n_uses"]) == (edge.n_runs, edge.n_uses)
            change = edge.feature_changes[0]
            assert found["tooltip"].startswith(f"{change.metric} {change.change:+.2f}")
        assert edges[0, 1]["label"] == "2 runs\np 0.05"
        assert edges[0, 2]["label"] == "1 run\np 0.05"

    def test_a_map_of_paths(self, tmp_path):
        TrainingMap.from_paths(paths_of([0, 1, 1, 2])).to_dot(tmp_path / "map.dot")
        name, nodes, edges = read_dot(tmp_path / "map.dot")
        assert name == "training map"
        assert nodes[2] == {"label": "2", "share_of_checkpoints": 0.25, "n_runs": 1.0}
        assert set(edges) == {(0, 1), (1, 2)}
        assert "tooltip" not in edges[0, 1]

    def test_hostile_names(self, tmp_path):
        data = hostile_map()
        write_dot(data, tmp_path / "map.dot")
        name, nodes, _ = read_dot(tmp_path / "map.dot")
        assert name == HOSTILE
        for state in data["states"]:
            label = nodes[state["state"]]["label"].replace("&amp;", "&")
            assert label == f"{state['state']}\n{state['name']}"

    @given(st.text(max_size=20), st.text(min_size=1, max_size=20))
    @settings(max_examples=60, deadline=None)
    def test_any_text_is_read_back(self, tmp_path_factory, experiment, metric):
        folder = tmp_path_factory.mktemp("any")
        write_dot(a_dict(experiment, metric), folder / "map.dot")
        name, nodes, edges = read_dot(folder / "map.dot")
        clean = flat_graph(a_dict(experiment, metric))
        assert name == (clean.graph["experiment"] or "training map")
        assert nodes[1]["label"].replace("&amp;", "&") == f"1\n{clean.nodes[1]['name']}"
        assert edges[0, 1]["tooltip"].replace("&amp;", "&") == f"{clean.nodes[1]['name']} -0.25"


def test_not_a_map():
    with pytest.raises(InputError, match="not a training map"):
        flat_graph({"experiment": None})
