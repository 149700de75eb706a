"""The map as SVG text, and the page's colours."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.support.synthetic_results import write_results
from training_maps.figures.map.layout import assign_layers
from training_maps.figures.map.svg import map_svg
from training_maps.figures.style import (
    state_colour,
    text_colour_on,
)
from training_maps.results import ExperimentResults
from training_maps.training_map.map import TrainingMap

SVG = "{http://www.w3.org/2000/svg}"


def parts(svg: str, kind: str) -> dict[str, ElementTree.Element]:
    """The groups of a class, by their state or edge."""
    root = ElementTree.fromstring(svg)
    return {
        node.get("data-state") or node.get("data-edge") or "": node
        for node in root.iter(f"{SVG}g")
        if node.get("class") == kind
    }


def circle(node: ElementTree.Element) -> tuple[float, float, float]:
    (disc,) = [one for one in node.iter(f"{SVG}circle") if one.get("class") == "disc"]
    x, y, r = (float(disc.get(name) or 0) for name in ("cx", "cy", "r"))
    return x, y, r


@pytest.mark.parametrize(("n_states", "inches"), [(2, 3.0), (6, 8.2), (6, 3.0), (12, 8.2)])
def test_every_state_and_transition_is_there_in_order_of_time(
    tmp_path: Path, n_states: int, inches: float
) -> None:
    results = ExperimentResults.read(write_results(tmp_path, 20, n_states, back_edges=True))
    tmap = results.training_map
    svg = map_svg(tmap, inches=inches, delay_states=[1], fork_states=[0])
    states, edges = parts(svg, "state-node"), parts(svg, "edge")
    assert set(states) == {str(state["state"]) for state in tmap["states"]}
    assert set(edges) == {f"{edge['from']}-{edge['to']}" for edge in tmap["transitions"]}
    root = ElementTree.fromstring(svg)
    _, _, width, height = map(float, root.get("viewBox", "").split())
    weights = [(edge["from"], edge["to"]) for edge in tmap["transitions"]]
    layers = assign_layers(results.states, weights, {tmap["paths"][0]["states"][0]})
    for name, node in states.items():
        x, y, r = circle(node)
        assert r < x < width - r
        assert r < y < height - r
        assert ("delay-ring" in ElementTree.tostring(node, "unicode")) == (name == "1")
        assert ("fork-mark" in ElementTree.tostring(node, "unicode")) == (name == "0")
    along = {int(name): circle(node)[:2] for name, node in states.items()}
    down = height > width
    for j, k in combinations(along, 2):
        if layers[j] < layers[k]:
            assert along[j][down] < along[k][down]


def test_arrows_begin_and_end_at_their_states_and_are_as_thick_as_their_runs(
    tmp_path: Path,
) -> None:
    results = ExperimentResults.read(write_results(tmp_path, 20, 5))
    svg = map_svg(results.training_map)
    states, edges = parts(svg, "state-node"), parts(svg, "edge")
    widths = {}
    for edge in results.training_map["transitions"]:
        node = edges[f"{edge['from']}-{edge['to']}"]
        line, head = (
            next(one for one in node if one.get("class") == name) for name in ("line", "head")
        )
        numbers = [float(one) for one in re.findall(r"-?[\d.]+", line.get("d") or "")]
        tip = [float(one) for one in re.findall(r"-?[\d.]+", head.get("d") or "")][:2]
        for state, point in ((edge["from"], numbers[:2]), (edge["to"], tip)):
            x, y, r = circle(states[str(state)])
            assert np.hypot(point[0] - x, point[1] - y) == pytest.approx(r, abs=2.5)
        found = re.search(r"stroke-width:([\d.]+)", line.get("style") or "")
        assert found
        widths[edge["n_runs"]] = float(found[1])
    assert len(widths) > 2
    assert [widths[n] for n in sorted(widths)] == sorted(widths.values())


def test_a_map_in_memory_and_its_file_give_the_same_picture(tmp_path: Path) -> None:
    folder = write_results(tmp_path, 8, 4)
    results = ExperimentResults.read(folder)
    tmap = TrainingMap.from_paths(results.state_paths, experiment="x")
    assert map_svg(tmap) == map_svg(tmap.to_dict())
    assert map_svg(tmap, first_visits={0: 12345.0}, time="epoch").count("epoch 12.35k") == 1


def test_text_of_others_is_escaped(tmp_path: Path) -> None:
    results = ExperimentResults.read(write_results(tmp_path, 3, 2))
    hostile = '<b>"&'
    for state in results.training_map["states"]:
        for feature in state["features"]:
            feature["metric"] = hostile
    svg = map_svg(results.training_map, titles={"state-0": hostile}, label=hostile)
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == hostile
    assert parts(svg, "state-node")["0"].findtext(f"{SVG}title") == hostile
    shown = [node.text or "" for node in root.iter(f"{SVG}tspan")]
    assert sum(text.startswith(f"{hostile} ") for text in shown) == 6


def test_states_have_the_figures_colours_where_no_page_sets_others(tmp_path: Path) -> None:
    results = ExperimentResults.read(write_results(tmp_path, 3, 2))
    svg = map_svg(results.training_map)
    for state in results.states:
        assert f"fill:var(--s{state},{state_colour(state)})" in svg
        assert f"fill:var(--t{state},{text_colour_on(state_colour(state))})" in svg


def test_what_is_rarely_found_again_is_faint_and_nothing_else(tmp_path: Path) -> None:
    results = ExperimentResults.read(write_results(tmp_path, 12, 4))
    assert results.rarely_found
    states = {part for part in results.rarely_found if isinstance(part, int)}
    edges = {f"{part[0]}-{part[1]}" for part in results.rarely_found - states}
    svg = map_svg(results.training_map, faint=results.rarely_found)
    picture = ElementTree.fromstring(svg)
    for group in picture.iter("{http://www.w3.org/2000/svg}g"):
        text = ElementTree.tostring(group, encoding="unicode")
        if "data-edge" in group.attrib and group.attrib["class"] == "edge":
            assert ("opacity:0.3" in text) == (group.attrib["data-edge"] in edges)
        if group.attrib.get("class") == "state-node":
            assert ("fill-opacity:0.3" in text) == (int(group.attrib["data-state"]) in states)
    assert "opacity:0.3" not in map_svg(results.training_map)
