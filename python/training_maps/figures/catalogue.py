"""`FIGURES`: every figure of an experiment by the name of its files."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from training_maps.figures.convergence_times import draw_convergence_times
from training_maps.figures.dissimilarity import MOST_HEAT_RUNS, draw_dissimilarity, drawn_pairs
from training_maps.figures.forks import draw_forks
from training_maps.figures.layers import draw_layers
from training_maps.figures.loss_by_state import draw_loss_by_state
from training_maps.figures.map.drawing import draw_training_map
from training_maps.figures.metrics_by_state import draw_metrics_by_state
from training_maps.figures.model_selection import draw_model_selection
from training_maps.figures.overview import draw_overview
from training_maps.figures.phase_transitions import draw_phase_transitions
from training_maps.figures.regression import draw_regression
from training_maps.figures.state_timelines import draw_state_timelines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from training_maps.figures.style import Width
    from training_maps.results import ExperimentResults, Time


class DrawFigure(Protocol):
    """Draws a figure of an experiment, for a column or a page."""

    def __call__(self, results: ExperimentResults, time: Time, width: Width = ...) -> Figure:
        """The figure, with times in epochs or steps."""


def _map(results: ExperimentResults, time: Time, width: Width = "page") -> Figure:
    time = results.time_axis(time)
    return draw_training_map(
        results.drawn_map,
        delay_states=results.delay_states,
        faint=results.rarely_found,
        first_visits=results.first_visits(time),
        time=time,
        width=width,
    )


def _selection(results: ExperimentResults, time: Time, width: Width = "page") -> Figure:
    return draw_model_selection(results.model_selection, results.stability, width=width)


def _dissimilarity(results: ExperimentResults, time: Time, width: Width = "page") -> Figure:
    pairs = drawn_pairs(results)
    means = results.dissimilarity_per_run
    some = results.n_runs > MOST_HEAT_RUNS
    of_all = (results.n_runs, float(means["index"].mean())) if some and len(means) else None
    return draw_dissimilarity(pairs, outliers=results.outlier_seeds, of_all=of_all, width=width)


def _regression(results: ExperimentResults, time: Time, width: Width = "page") -> Figure:
    return draw_regression(results, width=width)


def _timed(draw: Callable[..., Figure]) -> DrawFigure:
    """A function of the results, the time axis and the width, in this order."""

    def figure(results: ExperimentResults, time: Time, width: Width = "page") -> Figure:
        return draw(results, time, width=width)

    return figure


#: Each figure's file name, and the function that draws it from an experiment's results.
FIGURES: dict[str, DrawFigure] = {
    "overview": _timed(draw_overview),
    "training_map": _map,
    "forks": _timed(draw_forks),
    "model_selection": _selection,
    "layers": _timed(draw_layers),
    "loss_by_state": _timed(draw_loss_by_state),
    "metrics_by_state": _timed(draw_metrics_by_state),
    "phase_transitions": _timed(draw_phase_transitions),
    "state_timelines": _timed(draw_state_timelines),
    "convergence_times": _timed(draw_convergence_times),
    "regression": _regression,
    "dissimilarity": _dissimilarity,
}
