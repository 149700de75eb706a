"""Curves of loss and accuracy are the logs, in the colours of the states."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from tests.support.figure_checks import drawn, texts
from tests.support.synthetic_results import write_results
from training_maps.figures import (
    draw_loss_by_state,
)
from training_maps.figures.loss_by_state import (
    coloured_line,
    featured_runs,
    logged_curves,
    scale_losses,
)
from training_maps.figures.style import state_colour
from training_maps.results import ExperimentResults


def test_loss_curves_are_the_logs_in_the_states_colours(results: ExperimentResults) -> None:
    figure = draw_loss_by_state(results, "epoch")
    order = results.seeds_by_convergence()
    for column, seed in enumerate((order[0], order[5], order[11])):
        log = results.logs[seed]
        for row, what in enumerate(("loss", "accuracy")):
            ax = figure.axes[3 * row + column]
            for collection in ax.collections:
                assert isinstance(collection, LineCollection)
                pieces = collection.get_segments()
                points = np.vstack([pieces[0], *(piece[1:] for piece in pieces[1:])])
                assert points[:, 0] == pytest.approx(log["epoch"])
                assert points[:, 1] == pytest.approx(log[str(collection.get_label())])
                _, states = results.state_sequence(seed, "epoch")
                starts = np.flatnonzero(np.append(True, np.diff(states) != 0))
                colours = [mpl.colors.to_hex(c) for c in collection.get_colors()]
                assert colours == [state_colour(s) for s in states[starts]]
            assert len(ax.collections) == 2, what


def test_only_what_was_logged_is_drawn(tmp_path: Path) -> None:
    write_results(tmp_path, n_runs=3, n_states=3)
    for seed in range(3):
        path = tmp_path / "runs" / f"seed-{seed}" / "training_log.parquet"
        log = pd.read_parquet(path)[["step", "epoch", "eval_loss"]]
        log.loc[log.index % 4 > 0, "eval_loss"] = np.nan  # logged at every fourth step
        log.to_parquet(path)
    results = ExperimentResults.read(tmp_path)
    assert logged_curves(results) == ["loss"]
    figure = drawn(draw_loss_by_state(results, "epoch"))
    assert len(figure.axes) == 3
    legend = texts(figure)
    assert "evaluation" in legend
    assert "training" not in legend
    for ax, (_, seed) in zip(figure.axes, featured_runs(results), strict=True):
        (line,) = (c for c in ax.collections if isinstance(c, LineCollection))
        points = np.unique(np.vstack(line.get_segments()), axis=0)
        rows = results.logs[seed].dropna(subset=["eval_loss"])
        np.testing.assert_allclose(points, rows[["epoch", "eval_loss"]])


@pytest.mark.parametrize("loss", [0.0, 0.5, -1.0, np.nan])
def test_losses_of_any_kind_can_be_drawn(tmp_path: Path, loss: float) -> None:
    write_results(tmp_path, n_runs=3, n_states=3)
    for seed in range(3):
        path = tmp_path / "runs" / f"seed-{seed}" / "training_log.parquet"
        log = pd.read_parquet(path)
        log.loc[5:, ["train_loss", "eval_loss"]] = loss
        log.to_parquet(path)
    drawn(draw_loss_by_state(ExperimentResults.read(tmp_path), "epoch"))


def test_the_loss_axis_has_all_decades_and_marks_where_0_lies() -> None:
    ax = Figure().subplots()
    log = pd.DataFrame({"train_loss": [10.0, 1e-4, 0.0], "eval_loss": [10.0, 3e-7, 2e-7]})
    scale_losses(ax, [log])
    places = ax.transData.transform([[0, 0.0], [0, 1e-7], [0, 2e-7], [0, 1e-4], [0, 10.0]])[:, 1]
    low, high = ax.bbox.extents[[1, 3]]
    assert (np.diff(places) > 0.02 * (high - low)).all()
    assert low <= places[0]
    assert places[-1] <= high
    assert 0.0 in ax.get_yticks()
    assert (np.diff(np.log10(ax.get_yticks()[1:])) < 0).all()
    assert len(ax.get_yticks()) <= 7
    assert [text.get_gid() for text in ax.texts] == ["cut"]
    whole = Figure().subplots()
    scale_losses(whole, [log.iloc[:2]])
    assert whole.get_yscale() == "log"
    assert not whole.texts


def test_a_line_of_very_many_pieces_becomes_an_image() -> None:
    points = np.column_stack([np.arange(8000.0), np.zeros(8000)])
    few = coloured_line(points, np.arange(8000) // 4 % 5, "-", 1.0, "loss")
    many = coloured_line(points, np.arange(8000) // 2 % 5, "-", 1.0, "loss")
    assert [len(line.get_segments()) for line in (few, many)] == [2000, 4000]
    assert [line.get_rasterized() for line in (few, many)] == [False, True]
