"""States and transitions, to JSON and back."""

import json
from dataclasses import asdict

import pytest

from training_maps.training_map.elements import (
    Feature,
    FeatureChange,
    State,
    Transition,
    state_from_dict,
    transition_from_dict,
    transition_to_dict,
)

STATE = State(
    state=2,
    name="L2, trace",
    features=(Feature("l2", 4.0, -0.5, 0.25), Feature("trace", 2.0, 1.5)),
    share_of_checkpoints=0.25,
    n_runs=3,
    stay_probability=None,
    mean={"l2": -0.5, "trace": 1.5},
    inverse_covariance=None,
)
EDGE = Transition(0, 2, 0.125, 3, 4, (FeatureChange("l2", -1.5), FeatureChange("trace", 0.5, 2.0)))


def test_a_state_comes_back_from_json():
    assert state_from_dict(json.loads(json.dumps(asdict(STATE)))) == STATE
    bare = State(0, "state 0", (), 1.0, 1, 1.0, None, None)
    assert state_from_dict(json.loads(json.dumps(asdict(bare)))) == bare


def test_a_transition_comes_back_and_calls_its_ends_from_and_to():
    data = json.loads(json.dumps(transition_to_dict(EDGE)))
    assert (data["from"], data["to"]) == (0, 2)
    assert "source" not in data
    assert transition_from_dict(data) == EDGE


def test_reading_leaves_what_is_read_alone():
    data = transition_to_dict(EDGE)
    before = json.dumps(data)
    transition_from_dict(data)
    assert json.dumps(data) == before
    state = asdict(STATE)
    state_from_dict(state)
    assert state == asdict(STATE)


@pytest.mark.parametrize("key", ["from", "to", "feature_changes", "probability"])
def test_a_transition_without_a_part_is_none(key):
    data = transition_to_dict(EDGE)
    del data[key]
    with pytest.raises((KeyError, TypeError)):
        transition_from_dict(data)


def test_a_state_of_other_parts_is_none():
    with pytest.raises(KeyError):
        state_from_dict({"state": 1})
    with pytest.raises(TypeError):
        state_from_dict(asdict(STATE) | {"colour": "red"})
    with pytest.raises(TypeError):
        state_from_dict(asdict(STATE) | {"features": [{"metric": "l2"}]})
