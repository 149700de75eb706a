"""Map, table of the transitions and coloured runs in one (Hu et al. 2023, Figures 2 to 5, 8)."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from training_maps.figures.loss_by_state import (
    curves_height,
    draw_curves,
    featured_runs,
    logged_curves,
)
from training_maps.figures.map.drawing import map_figure
from training_maps.figures.map.plan import plan_map
from training_maps.figures.style import COLUMN, PAGE, Width, styled
from training_maps.results import ExperimentResults, Time


@styled
def draw_overview(
    results: ExperimentResults, time: Time = "epoch", *, width: Width = "page"
) -> Figure:
    """Draw the map, the table of its transitions, and a fast, a median and a slow run below.

    The circles of the map are the legend of the curves' colours. Where a column has no room for a
    table, there is none.

    Args:
        results: an experiment's results.
        time: time axis, "epoch" or "step".
        width: "page" or "column".

    Returns:
        The figure; without training logs it is the map and its table.
    """
    time = results.time_axis(time)
    inches = PAGE if width == "page" else COLUMN
    delays = frozenset(results.delay_states)
    first_visits = results.first_visits(time)
    drawing = plan_map(
        results.drawn_map, inches, None, delays, first_visits, time, results.rarely_found
    )
    curves = logged_curves(results)
    if not curves or not featured_runs(results):
        return map_figure(drawing, inches, table=True)
    below = curves_height(curves, width)
    figure = map_figure(drawing, inches, table=True, below=below)
    share = below / figure.get_figheight()
    figure.set_layout_engine(ConstrainedLayoutEngine(rect=(0, 0, 1, share)))
    draw_curves(figure, results, time, width)
    return figure
