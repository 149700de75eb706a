"""States and transitions of a map, against plain loops over the paths."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.known_chains import MEANS, METRICS, VARIANCES, model_of, paths_of, run_of
from training_maps.training_map.extraction import (
    entered_rows,
    numbering_notes,
    scarcity_notes,
    states_of_model,
    states_of_paths,
    transitions_of_model,
    transitions_of_paths,
    used_transitions,
    viterbi_paths,
)
from training_maps.training_map.features import features_by_inverse_covariance

RUNS = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=12), min_size=1, max_size=4)


@given(RUNS)
@settings(max_examples=50, deadline=None)
def test_states_and_transitions_of_paths_are_counted(runs):
    paths = paths_of(*runs)
    follow = [pair for run in runs for pair in pairwise(run)]
    moves = [(j, k) for j, k in follow if j != k]
    everything = [state for run in runs for state in run]
    states = states_of_paths(paths)
    assert [s.state for s in states] == sorted(set(everything))
    for s in states:
        leaving = [k for j, k in follow if j == s.state]
        assert s.share_of_checkpoints == pytest.approx(everything.count(s.state) / len(everything))
        assert s.n_runs == sum(s.state in run for run in runs)
        if leaving:
            assert s.stay_probability == pytest.approx(leaving.count(s.state) / len(leaving))
        else:
            assert s.stay_probability is None
        assert (s.mean, s.inverse_covariance, s.features) == (None, None, ())
    edges = transitions_of_paths(paths)
    assert [(e.source, e.target) for e in edges] == sorted(set(moves)) == used_transitions(paths)
    uses = Counter(moves)
    for e in edges:
        edge = (e.source, e.target)
        assert e.n_uses == uses[edge]
        assert e.n_runs == sum(edge in pairwise(run) for run in runs)
        leaving = sum(j == e.source for j, _ in follow)
        assert e.probability == pytest.approx(uses[edge] / leaving)


@given(RUNS)
@settings(max_examples=50, deadline=None)
def test_entered_rows_are_those_after_a_move(runs):
    paths = paths_of(*runs)
    edges = used_transitions(paths)
    found = entered_rows(paths, edges)
    expected = {edge: [] for edge in edges}
    rows = list(paths.itertuples(index=False))
    for place, (before, here) in enumerate(pairwise(rows), start=1):
        if before.seed == here.seed and before.state != here.state:
            expected[before.state, here.state].append(place)
    assert {edge: rows.tolist() for edge, rows in found.items()} == expected


def test_a_models_paths_are_those_that_it_decodes():
    model = model_of([run_of(0, 1, 2), run_of(0, 2, stay=4)], first_seed=5)
    paths = viterbi_paths(model)
    assert list(paths.columns) == ["seed", "step", "state"]
    for seed, states in ((5, run_of(0, 1, 2)), (6, run_of(0, 2, stay=4))):
        rows = paths[paths["seed"] == seed]
        assert rows["state"].tolist() == states
        assert rows["step"].tolist() == (32 * np.arange(len(states))).tolist()


def test_a_models_states_and_transitions_have_its_parameters():
    model = model_of([run_of(0, 1, 0, 2), run_of(0, 2)])
    paths = viterbi_paths(model)
    inverse = {k: 1 / VARIANCES[k] for k in (0, 1, 2)}
    edges = used_transitions(paths)
    features, changes = features_by_inverse_covariance(model, inverse, edges, 2)
    states = states_of_model(paths, model, features, inverse, {2: 1})
    assert [s.state for s in states] == [0, 1, 2]
    for s in states:
        assert s.mean == dict(zip(METRICS, MEANS[s.state], strict=True))
        assert s.inverse_covariance == dict(zip(METRICS, 1 / VARIANCES[s.state], strict=True))
        assert s.stay_probability == pytest.approx(0.85)
        assert s.features == features[s.state]
    assert [s.noise_of for s in states] == [None, None, 1]
    assert states[1].name == "trace, L2"  # the symbols of its features
    assert states[2].name == "own_metric, L2"  # a user's metric has none
    transitions = transitions_of_model(paths, model, changes)
    assert [(e.source, e.target) for e in transitions] == [(0, 1), (0, 2), (1, 0)]
    assert [(e.n_runs, e.n_uses) for e in transitions] == [(1, 1), (2, 2), (1, 1)]
    assert [e.probability for e in transitions] == pytest.approx([0.05] * 3)
    assert transitions[1].feature_changes == changes[0, 2]


def test_too_few_checkpoints_for_a_covariance_are_noted_for_a_full_one_alone():
    runs = [run_of(0, 1, stay=9) + [2] * 4, [0] * 9]
    for covariance, noted in (("full", ["2"]), ("diag", [])):
        model = model_of(runs, covariance=covariance)
        notes = scarcity_notes(viterbi_paths(model), model)
        assert len(notes) == len(noted)
        for note, state in zip(notes, noted, strict=True):
            assert note.text.startswith(f"State {state} has 4 checkpoints for 4 metrics")


@pytest.mark.parametrize(
    ("runs", "in_order"),
    [
        ([[0, 1, 2]], True),
        ([[1, 0]], False),
        ([[0, 0, 0, 1], [0, 2, 2, 1, 1]], False),
        ([[0, 1, 0, 2]], True),
        # Runs of other lengths: what counts is how far along each is.
        ([[0, 0, 0, 0, 0, 0, 0, 0, 1, 2], [0, 2]], False),
        ([[3]], True),
    ],
)
def test_numbers_out_of_the_order_of_visits_are_noted(runs, in_order):
    notes = numbering_notes(paths_of(*runs))
    assert len(notes) == (0 if in_order else 1)
