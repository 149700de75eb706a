"""Figures of forks: a dot for every run, and the means of the branches."""

from __future__ import annotations

import dataclasses

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.collections import PathCollection

from tests.support.figure_checks import by_gid, drawn, texts
from training_maps.figures import (
    draw_forks,
)
from training_maps.figures.forks import MOST_FORKS, timed_forks
from training_maps.figures.style import state_colour
from training_maps.results import ExperimentResults


def test_dots_of_a_fork_are_the_runs_and_the_lines_their_means(detours: ExperimentResults) -> None:
    (fork,) = detours.forks["forks"]
    figure = drawn(draw_forks(detours, "step"))
    known = detours.convergence.set_index("seed")["step"]
    for branch in fork["branches"]:
        dots = by_gid(figure, f"branch-0-{branch['to']}")
        assert isinstance(dots, PathCollection)
        assert sorted(dots.get_offsets()[:, 0]) == sorted(known[list(branch["seeds"])])
        assert mpl.colors.to_hex(dots.get_facecolors()[0]) == state_colour(branch["to"])
        mean = by_gid(figure, f"mean-0-{branch['to']}").get_xdata()[0]
        assert mean == pytest.approx(known[list(branch["seeds"])].mean())
    said = texts(figure)
    assert f"from state 0, p = {fork['p_value_adjusted']:.3f}" in said
    assert {f"to {b['to']} ({b['n_runs']} runs)" for b in fork["branches"]} <= set(said)


def test_runs_that_never_converge_are_hollow(logged: ExperimentResults) -> None:
    fork = timed_forks(logged)[0]
    figure = drawn(draw_forks(logged, "epoch"))
    never = {17, 18, 19}
    for branch in fork["branches"]:
        name = f"branch-{fork['state']}-{branch['to']}"
        hollow = figure.findobj(lambda a, gid=f"{name}-never": a.get_gid() == gid)
        expected = len(never & set(branch["seeds"]))
        assert sum(len(dots.get_offsets()) for dots in hollow) == expected
    assert "run that never converges (its last step)" in texts(figure)


def test_a_wide_interval_does_not_squeeze_the_runs(detours: ExperimentResults) -> None:
    (fork,) = detours.forks["forks"]
    wide = {**fork["branches"][0], "interval_step": [-1e6, 1e6]}
    forks = {**detours.forks, "forks": [{**fork, "branches": [wide, fork["branches"][1]]}]}
    (ax,) = draw_forks(dataclasses.replace(detours, forks=forks), "step").axes
    times = detours.convergence["step"]
    low, high = ax.get_xlim()
    assert low < times.min()
    assert times.max() < high
    assert high - low < 2 * np.ptp(times)


def test_of_many_forks_those_of_most_runs_are_drawn(detours: ExperimentResults) -> None:
    (fork,) = detours.forks["forks"]
    half = [{**branch, "n_runs": 1} for branch in fork["branches"]]
    many = [
        {**fork, "state": k, "branches": half if k == 3 else fork["branches"]} for k in range(9)
    ]
    changed = dataclasses.replace(detours, forks={**detours.forks, "forks": many})
    drawn_forks = timed_forks(changed)
    assert len(drawn_forks) == MOST_FORKS
    assert [f["state"] for f in drawn_forks] == [0, 1, 2, 4, 5, 6, 7, 8]
