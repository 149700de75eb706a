"""The histogram of convergence times counts every run once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.support.figure_checks import texts
from training_maps.figures import (
    draw_convergence_times,
)
from training_maps.figures.convergence_times import bin_edges, draw_censored
from training_maps.results import ExperimentResults


def test_histogram_counts_every_run_once(results: ExperimentResults) -> None:
    (ax,) = draw_convergence_times(results, "epoch").axes
    assert sum(bar.get_height() for bar in ax.patches) == results.n_runs
    (never,) = [bar for bar in ax.patches if bar.get_hatch()]
    assert never.get_height() == 2
    assert "0.9" in ax.get_xlabel()
    reached = results.convergence.query("converged")["epoch"]
    assert never.get_x() > reached.max()
    for bar in set(ax.patches) - {never}:
        inside = (reached >= bar.get_x() - 1e-9) & (reached < bar.get_x() + bar.get_width() - 1e-9)
        last = np.isclose(bar.get_x() + bar.get_width(), reached.max())
        assert bar.get_height() == inside.sum() + (last * (reached == reached.max()).sum())


@pytest.mark.parametrize("values", [[3.0], [5.0, 5.0], [0.0], [1.0, 2.0, 8.0], range(2000)])
def test_bins_hold_all_values_and_have_one_width(values: Sequence[float]) -> None:
    found = np.array(values, dtype=float)
    edges = bin_edges(found)
    assert 5 <= len(edges) - 1 <= 25
    np.testing.assert_allclose(np.diff(edges), edges[1] - edges[0])
    assert edges[1] > edges[0]
    assert np.histogram(found, edges)[0].sum() == len(found)


def test_the_median_is_marked_among_those_that_converge(results: ExperimentResults) -> None:
    (ax,) = draw_convergence_times(results, "epoch").axes
    reached = results.convergence.query("converged")["epoch"]
    (line,) = ax.lines
    assert line.get_xdata()[0] == np.median(reached)


def test_the_runs_without_a_time_stand_apart_under_their_word() -> None:
    figure = Figure()
    ax = figure.subplots()
    draw_censored(ax, np.array([0.0, 10.0, 20.0]), 3, "not reached")
    (bar,) = ax.patches
    assert bar.get_height() == 3
    assert bar.get_x() > 20
    assert "3 not reached" in texts(figure)
    assert max(ax.get_xticks()) <= 20  # it lies off the axis of time
