"""The figure of the regression is its tables."""

from __future__ import annotations

import dataclasses

import numpy as np

from tests.support.figure_checks import by_gid, drawn, texts
from training_maps.figures import (
    draw_regression,
)
from training_maps.results import ExperimentResults


def test_coefficients_and_predictions_are_the_tables(detours: ExperimentResults) -> None:
    figure = drawn(draw_regression(detours))
    left, right = figure.axes
    for row in detours.coefficients.itertuples():
        point = by_gid(figure, f"coefficient-{row.state}")
        assert point.get_xdata()[0] == row.coefficient
        (line,) = [one for one in left.lines if list(one.get_ydata()) == [row.Index] * 2]
        assert list(line.get_xdata()) == [row.interval_low, row.interval_high]
    assert texts(figure).count(" paper's detour") == detours.coefficients["is_detour"].sum() == 1
    (points,) = [line for line in right.lines if len(line.get_xdata()) == detours.n_runs]
    np.testing.assert_array_equal(points.get_ydata(), detours.outcomes["outcome"])
    np.testing.assert_array_equal(points.get_xdata(), detours.outcomes["predicted"])


def test_without_predictions_the_coefficients_stand_alone(detours: ExperimentResults) -> None:
    outcomes = detours.outcomes.assign(predicted=np.nan)
    (ax,) = draw_regression(dataclasses.replace(detours, outcomes=outcomes)).axes
    assert ax.get_title(loc="left") == "coefficient of each state"


def test_outliers_that_lie_on_each_other_are_named_in_one_label(detours: ExperimentResults) -> None:
    outcomes = detours.outcomes.copy()
    first, second, third = outcomes["seed"][:3]
    columns = ["outcome", "predicted"]
    outcomes.loc[outcomes["seed"].isin([first, second]), columns] = 0.9, 0.8
    outcomes.loc[outcomes["seed"] == third, columns] = 0.2, 0.3
    outliers = detours.outliers.assign(
        is_outlier=detours.outliers["seed"].isin(outcomes["seed"][:3])
    )
    figure = drawn(
        draw_regression(dataclasses.replace(detours, outcomes=outcomes, outliers=outliers))
    )
    labels = [text for text in texts(figure) if text.startswith("seed")]
    assert sorted(labels) == [f"seed {third}", f"seeds {first} and {second}"]
