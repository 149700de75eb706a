"""The overview: the map with its table above the curves."""

from __future__ import annotations

from matplotlib.collections import LineCollection

from training_maps.figures import (
    draw_overview,
)
from training_maps.results import ExperimentResults


def test_overview_is_the_map_with_its_table_and_the_curves(results: ExperimentResults) -> None:
    figure = draw_overview(results, "epoch")
    gids = {artist.get_gid() for artist in figure.findobj(lambda a: a.get_gid() is not None)}
    assert {f"state-{state}" for state in results.states} <= gids
    words = [text.get_text() for ax in figure.axes for text in ax.texts]
    for edge in results.training_map["transitions"]:
        assert f"{edge['from']} → {edge['to']}" in words
    curves = [
        ax for ax in figure.axes if any(isinstance(c, LineCollection) for c in ax.collections)
    ]
    assert len(curves) == 6
    figure.draw_without_rendering()
    lowest_of_map = min(ax.get_position().y0 for ax in figure.axes[:2])
    assert max(ax.get_position().y1 for ax in curves) < lowest_of_map
