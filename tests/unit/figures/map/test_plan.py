"""The plan of a map before it is drawn."""

from __future__ import annotations

import copy
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from tests.support.known_chains import paths_of
from training_maps.figures.map.plan import (
    MapDrawing,
    edge_width,
    explain_map,
    format_mean,
    map_data,
    per_checkpoint,
    plan_map,
)
from training_maps.figures.style import COLUMN, PAGE
from training_maps.results import ExperimentResults
from training_maps.training_map.map import TrainingMap


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0431, "4.3 %"), (0.0997, "10 %"), (0.25, "25 %"), (1.0, "100 %"), (0.0002, "<0.1 %")],
)
def test_probabilities(value: float, text: str) -> None:
    assert per_checkpoint(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1.26, "+1.3"), (-0.84, "−0.8"), (0.04, "0.0"), (-0.04, "0.0")]
)
def test_means_have_their_direction(value: float, text: str) -> None:
    assert format_mean(value) == text


def plan(data: dict[str, Any], inches: float = PAGE, **options: Any) -> MapDrawing:
    arguments = {"orientation": None, "delays": frozenset(), "first_visits": {}, "time": "step"}
    return plan_map(data, inches, **(arguments | options))


def test_a_map_is_its_dict() -> None:
    data = TrainingMap.from_paths(paths_of([0, 1, 1], [0, 1])).to_dict()
    assert map_data(data) is data
    assert map_data(TrainingMap.from_paths(paths_of([0, 1, 1], [0, 1]))) == data


def test_states_are_as_large_as_their_share_and_say_when_they_come(
    results: ExperimentResults,
) -> None:
    data = results.training_map
    found = plan(data, first_visits={0: 0, 1: 8470, 2: 123_456, 3: 2e6}, time="step")
    assert found.n_runs == results.n_runs
    assert set(found.layout.positions) == set(found.labels) == set(found.label_boxes)
    shares = {s["state"]: s["share_of_checkpoints"] for s in data["states"]}
    by_share = sorted(shares, key=lambda state: shares[state])
    radii = [found.layout.radii[state] for state in by_share]
    assert radii == sorted(radii)
    # Areas are as the shares, but for states that would be too small to hold their number.
    for state, share in shares.items():
        area = (found.layout.radii[state] / radii[-1]) ** 2
        assert area == pytest.approx(share / max(shares.values())) or (
            found.layout.radii[state] == radii[0]
        )
    assert radii[0] < radii[-2]
    said = {state: label.split("\n")[-1] for state, label in found.labels.items()}
    assert said[0] == "step 0"
    assert said[1] == "step 8,470"
    assert said[2] == "step 123.5k"
    assert said[3] == "step 2M"
    assert not said[4].startswith("step")


def test_time_runs_down_where_there_is_no_room_to_the_right(results: ExperimentResults) -> None:
    assert plan(results.training_map).layout.orientation == "horizontal"
    assert plan(results.training_map, 1.5).layout.orientation == "vertical"
    turned = plan(results.training_map, orientation="vertical")
    assert turned.layout.orientation == "vertical"


@pytest.mark.parametrize("inches", [COLUMN, PAGE])
def test_all_parts_lie_in_the_frame_and_labels_touch_nothing(
    results: ExperimentResults, inches: float
) -> None:
    found = plan(results.training_map, inches, delays=frozenset({1, 2}))
    assert set(found.word_boxes) == {1, 2}
    assert set(found.edge_boxes) == set(found.edge_labels) <= set(found.layout.curves)
    boxes = [
        *found.label_boxes.values(), *found.word_boxes.values(), *found.edge_boxes.values()
    ]  # fmt: skip
    for box in boxes:
        assert found.frame.left < box.left < box.right < found.frame.right
        assert found.frame.bottom < box.bottom < box.top < found.frame.top
    for one, other in combinations(boxes, 2):
        assert not one.touches(other)


def test_lines_are_wider_the_more_runs_take_them() -> None:
    widths = [edge_width(n, 10) for n in range(11)]
    assert (np.diff(widths) > 0).all()
    assert edge_width(100, 100) == pytest.approx(edge_width(3, 3))
    assert edge_width(0, 0) == edge_width(0, 5)


def test_the_caption_names_only_what_is_there(results: ExperimentResults) -> None:
    data = results.training_map
    assert any(t["to"] < t["from"] for t in data["transitions"])
    assert "return" in explain_map(data, [])
    assert "delay" not in explain_map(data, [])
    assert "delay" in explain_map(data, [1])
    assert "faint" not in explain_map(data, [])
    assert "faint" in explain_map(data, [], {(0, 1)})
    forward = [t for t in data["transitions"] if t["to"] > t["from"]]
    assert "return" not in explain_map({**data, "transitions": forward}, [])
    assert "metrics" in explain_map(data, [])
    assert "metrics" not in explain_map({**data, "metrics": []}, [])


def test_a_state_of_noise_alone_is_labelled_so(results: ExperimentResults) -> None:
    data = copy.deepcopy(results.training_map)
    assert "Noise alone" not in explain_map(data, [])
    assert not any("noise alone" in label for label in plan(data).labels.values())
    data["states"][1]["noise_of"] = 0
    assert "“Noise alone” marks a state" in explain_map(data, [])
    labels = plan(data).labels
    marked = [state for state, label in labels.items() if label.endswith("noise alone")]
    assert marked == [data["states"][1]["state"]]
