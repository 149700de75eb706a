"""The map as a figure: every state and transition is drawn, in place, width and colour."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.support.figure_checks import bounds, drawn, faults, texts
from tests.support.synthetic_results import write_results
from training_maps.figures import (
    draw_training_map,
)
from training_maps.figures.map.layout import sample
from training_maps.figures.style import (
    COLUMN,
    PAGE,
    TALLEST,
    WIDTHS,
    state_colour,
)
from training_maps.results import ExperimentResults


def test_map_shows_every_state_and_transition(results: ExperimentResults) -> None:
    figure = draw_training_map(results.training_map, delay_states=[1])
    gids = {artist.get_gid() for artist in figure.findobj(lambda a: a.get_gid() is not None)}
    assert {f"state-{state}" for state in results.states} <= gids
    assert {
        f"transition-{t['from']}-{t['to']}" for t in results.training_map["transitions"]
    } <= gids
    assert texts(figure).count("delay") == 1


def test_map_widths_grow_with_runs_and_colours_are_the_states(results: ExperimentResults) -> None:
    figure = draw_training_map(results.training_map)
    by_runs = {}
    for edge in results.training_map["transitions"]:
        gid = f"transition-{edge['from']}-{edge['to']}"
        (line,) = figure.findobj(lambda artist, gid=gid: artist.get_gid() == gid)
        by_runs.setdefault(edge["n_runs"], set()).add(round(line.get_linewidth(), 6))
        dashed = line.get_linestyle() != "-" and line.get_linestyle() != "solid"
        assert dashed == (edge["to"] < edge["from"])
    assert all(len(widths) == 1 for widths in by_runs.values())
    widths = [by_runs[n].pop() for n in sorted(by_runs)]
    assert widths == sorted(set(widths))
    for state in results.states:
        (circle,) = figure.findobj(lambda artist, s=state: artist.get_gid() == f"state-{s}")
        assert mpl.colors.to_hex(circle.get_facecolor()) == state_colour(state)


def test_map_fits_given_axes(results: ExperimentResults) -> None:
    figure = Figure(figsize=(5, 2))
    ax = figure.add_subplot(1, 2, 1)
    assert draw_training_map(results.training_map, ax=ax) is figure
    assert len(figure.axes) == 1
    drawn(figure)
    frame = ax.get_window_extent().extents
    for name, box in bounds(figure, "state-").items():
        assert (box[:2] >= frame[:2] - 2).all(), name
        assert (box[2:] <= frame[2:] + 2).all(), name


def test_map_of_metric_names_that_look_like_formulas(results: ExperimentResults) -> None:
    data = {**results.training_map}
    data["states"] = [
        {**s, "features": [{"metric": r"$\frac{", "inverse_covariance": 1.0, "mean": 0.0}]}
        for s in data["states"]
    ]
    figure = drawn(draw_training_map(data))
    assert r"$\frac{ 0.0" in texts(figure)


def test_lines_run_through_no_state(results: ExperimentResults) -> None:
    figure = drawn(draw_training_map(results.training_map))
    circles = {
        artist.get_gid(): artist
        for artist in figure.findobj(lambda a: str(a.get_gid() or "").startswith("state-"))
        if hasattr(artist, "radius")
    }
    for edge in results.training_map["transitions"]:
        gid = f"transition-{edge['from']}-{edge['to']}"
        (line,) = figure.findobj(lambda artist, gid=gid: artist.get_gid() == gid)
        points = sample(line.get_path().vertices)
        for name, circle in circles.items():
            distance = np.linalg.norm(points - circle.center, axis=1).min()
            assert distance > circle.radius, f"{gid} runs through {name}"


def test_drawing_leaves_the_users_settings_alone(results: ExperimentResults) -> None:
    before = dict(mpl.rcParams)
    draw_training_map(results.training_map)
    assert dict(mpl.rcParams) == before


INCHES = {"column": COLUMN, "page": PAGE}


def test_a_map_with_long_names_keeps_to_the_page(tmp_path: Path) -> None:
    write_results(tmp_path, 40, 12, back_edges=True)
    data = ExperimentResults.read(tmp_path).training_map
    for state in data["states"]:
        state["features"] = [{"metric": f"gradient_norm_{i}"} for i in range(3)]
    for edge in data["transitions"]:
        for i, change in enumerate(edge["feature_changes"]):
            change["metric"] = ("median_w", "gradient_norm_of_it", "own_metric_MWM")[i]
    for width in WIDTHS:
        figure = draw_training_map(data, width=width)
        assert figure.get_figwidth() == pytest.approx(INCHES[width])
        assert figure.get_figheight() <= TALLEST + 1e-9
        assert faults(figure) == []
    # On a page the table stands beside the map.
    tall, table = figure.axes
    assert table.get_position().x0 > tall.get_position().x0
    assert table.get_position().y0 > 0


def test_what_is_rarely_found_again_is_faint_and_nothing_else(results: ExperimentResults) -> None:
    edge = results.training_map["transitions"][0]
    pair = (edge["from"], edge["to"])
    drawn = {
        name: {
            patch.get_gid(): (patch.get_facecolor(), patch.get_alpha())
            for patch in draw_training_map(results.training_map, faint=faint, table=False)
            .axes[0]
            .patches
            if patch.get_gid()
        }
        for name, faint in (("plain", ()), ("faint", {1, pair}))
    }
    changed = {gid for gid in drawn["plain"] if drawn["plain"][gid] != drawn["faint"][gid]}
    assert changed == {"state-1", f"transition-{pair[0]}-{pair[1]}"}
    assert drawn["faint"][f"transition-{pair[0]}-{pair[1]}"][1] < 0.5
    assert min(drawn["faint"]["state-1"][0]) > min(drawn["plain"]["state-1"][0])
