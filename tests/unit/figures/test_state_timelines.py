"""Timelines are the state paths."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import matplotlib as mpl
import numpy as np

from tests.support.figure_checks import by_gid, drawn, faults
from tests.support.synthetic_results import write_results
from training_maps.figures import (
    draw_state_timelines,
    save_figure,
)
from training_maps.figures.state_timelines import draw_two_colourings, stretches
from training_maps.figures.style import state_colour
from training_maps.results import ExperimentResults


def test_timelines_are_the_paths(results: ExperimentResults) -> None:
    figure = draw_state_timelines(results, "epoch")
    (ax,) = figure.axes
    order = results.seeds_by_convergence()
    for y, seed in enumerate(order):
        (bars,) = [c for c in ax.collections if c.get_gid() == f"run-{seed}"]
        times, states = results.state_sequence(seed, "epoch")
        paths = bars.get_paths()
        colours = [mpl.colors.to_hex(c) for c in bars.get_facecolor()]
        for time, state in zip(times + 0.5, states, strict=True):
            inside = [
                colour
                for path, colour in zip(paths, colours, strict=True)
                if path.get_extents().contains(time, y)
            ]
            assert inside == [state_colour(state)]
    (marks,) = ax.lines
    converged = [(results.convergence_time(s, "epoch"), y) for y, s in enumerate(order)]
    expected = [(when[0], y) for when, y in converged if when is not None and when[1]]
    assert list(zip(*marks.get_data(), strict=True)) == expected


def test_two_colourings_have_each_run_in_the_same_row(tmp_path: Path) -> None:
    one = ExperimentResults.read(write_results(tmp_path / "a", 6, seed=1))
    other = ExperimentResults.read(write_results(tmp_path / "b", 5, seed=2))  # lacks seed 5
    figure = draw_two_colourings(one, other, ("mine", "yours"), "epoch")
    order = one.seeds_by_convergence()
    for ax, results, title in zip(figure.axes, (one, other), ("mine", "yours"), strict=True):
        assert ax.get_title("left") == title
        rows = {c.get_gid(): c for c in ax.collections if (c.get_gid() or "").startswith("run-")}
        assert set(rows) == {f"run-{seed}" for seed in results.seeds}
        for y, seed in enumerate(order):
            if seed not in results.seeds:
                continue
            bars = rows[f"run-{seed}"]
            box = bars.get_paths()[0].get_extents()
            assert box.ymin < y < box.ymax
            _, states = results.state_sequence(seed, "epoch")
            stays = states[np.append(True, states[1:] != states[:-1])]
            assert [mpl.colors.to_hex(c) for c in bars.get_facecolor()] == [
                state_colour(state) for state in stays
            ]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(map(str, order))


def test_long_titles_of_two_colourings_do_not_meet(tmp_path: Path) -> None:
    one = ExperimentResults.read(write_results(tmp_path / "a", 6, seed=1))
    long = "modular_addition_stabilized_{}: 5 vector autoregressive states"
    titles = (long.format("recommended"), long.format("paper"))
    assert faults(draw_two_colourings(one, one, titles, "epoch")) == []


def test_stretches_cover_time_without_gaps() -> None:
    times, states = np.array([0.0, 1.0, 3.0, 4.0]), np.array([0, 0, 2, 1])
    assert stretches(times, states) == [(0, 3, 0), (3, 1, 2), (4, 1, 1)]
    assert stretches(np.array([7.0]), np.array([3])) == [(7, 1, 3)]


def test_many_short_stays_become_an_image(tmp_path: Path) -> None:
    write_results(tmp_path, 12, 4, n_checkpoints=600)
    results = ExperimentResults.read(tmp_path)
    flicker = results.state_paths.assign(state=results.state_paths.index % 4)
    object.__setattr__(results, "state_paths", flicker)
    figure = draw_state_timelines(results, "epoch")
    save_figure(figure, tmp_path / "x.svg")
    assert (tmp_path / "x.svg").stat().st_size < 500_000


def test_outliers_are_marked_in_their_rows(logged: ExperimentResults) -> None:
    outliers = logged.outliers.assign(is_outlier=logged.outliers["seed"].isin([3, 11]))
    changed = dataclasses.replace(logged, outliers=outliers)
    figure = drawn(draw_state_timelines(changed, "epoch"))
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert sorted(rows[round(y)] for y in by_gid(figure, "outliers").get_ydata()) == ["11", "3"]
