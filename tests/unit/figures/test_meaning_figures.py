"""Figures of forks, phase transitions, the regression and outliers show what the files say."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from tests.support.simulated_runs import detour, simulate
from tests.support.synthetic_results import write_analysis, write_results
from tests.unit.figures.test_figures import drawn, texts
from training_maps.figures import (
    draw_dissimilarity,
    draw_forks,
    draw_phase_transitions,
    draw_regression,
    draw_state_timelines,
)
from training_maps.figures.forks import MOST_FORKS, timed_forks
from training_maps.figures.style import state_colour
from training_maps.figures.symbols import in_brackets, plain_text
from training_maps.results import ExperimentResults


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> ExperimentResults:
    """Half the runs go 0-1-2 and are late, the others 0-2."""
    folder = tmp_path_factory.mktemp("detour")
    write_analysis(folder, *simulate(detour, 20, 1))
    return ExperimentResults.read(folder)


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> ExperimentResults:
    folder = tmp_path_factory.mktemp("logged")
    write_results(folder, n_runs=20, n_states=4, n_censored=3)
    return ExperimentResults.read(folder)


def by_gid(figure: Figure, gid: str) -> Any:
    (artist,) = figure.findobj(lambda artist: artist.get_gid() == gid)
    return artist


def test_dots_of_a_fork_are_the_runs_and_the_lines_their_means(results: ExperimentResults) -> None:
    (fork,) = results.forks["forks"]
    figure = drawn(draw_forks(results, "step"))
    known = results.convergence.set_index("seed")["step"]
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


def test_a_wide_interval_does_not_squeeze_the_runs(results: ExperimentResults) -> None:
    (fork,) = results.forks["forks"]
    wide = {**fork["branches"][0], "interval_step": [-1e6, 1e6]}
    forks = {**results.forks, "forks": [{**fork, "branches": [wide, fork["branches"][1]]}]}
    (ax,) = draw_forks(dataclasses.replace(results, forks=forks), "step").axes
    times = results.convergence["step"]
    low, high = ax.get_xlim()
    assert low < times.min()
    assert times.max() < high
    assert high - low < 2 * np.ptp(times)


def test_of_many_forks_those_of_most_runs_are_drawn(results: ExperimentResults) -> None:
    (fork,) = results.forks["forks"]
    half = [{**branch, "n_runs": 1} for branch in fork["branches"]]
    many = [
        {**fork, "state": k, "branches": half if k == 3 else fork["branches"]} for k in range(9)
    ]
    changed = dataclasses.replace(results, forks={**results.forks, "forks": many})
    drawn_forks = timed_forks(changed)
    assert len(drawn_forks) == MOST_FORKS
    assert [f["state"] for f in drawn_forks] == [0, 1, 2, 4, 5, 6, 7, 8]


def test_histograms_of_phases_count_every_run_in_its_state(logged: ExperimentResults) -> None:
    figure = drawn(draw_phase_transitions(logged, "epoch"))
    table = logged.phase_transitions
    for phase in ("memorisation", "generalisation"):
        ax = by_gid(figure, f"times-{phase}")
        rows = table[table["phase"] == phase]
        found = rows[rows["status"] == "found"]
        bars = [bar for bar in ax.patches if not bar.get_hatch()]
        for state in found["state"].unique():
            colour = state_colour(int(state))
            mine = [bar for bar in bars if mpl.colors.to_hex(bar.get_facecolor()) == colour]
            assert sum(bar.get_height() for bar in mine) == (found["state"] == state).sum()
            low = min(bar.get_x() for bar in mine if bar.get_height())
            assert low <= found.loc[found["state"] == state, "epoch"].min()
        assert sum(bar.get_height() for bar in bars) == len(found)
        never = sum(bar.get_height() for bar in ax.patches if bar.get_hatch())
        assert never == (rows["status"] == "not reached").sum()
    assert "generalisation: 17 of 20 runs, 3 never" in texts(figure)


def test_coincidences_stand_beside_chance(logged: ExperimentResults) -> None:
    figure = drawn(draw_phase_transitions(logged, "epoch", width="column"))
    for phase, found in logged.phases["phases"].items():
        ax = by_gid(figure, f"coincidences-{phase}")
        rows = [row for row in found["coincidences"] if row["n_runs"]][:6]
        assert [bar.get_width() for bar in ax.patches] == [row["n_runs"] for row in rows]
        random, others = ax.lines
        assert random.get_xdata().tolist() == [row["expected_at_random"] for row in rows]
        assert others.get_xdata().tolist() == [row["expected_of_other_runs"] for row in rows]
        names = [label.get_text() for label in ax.get_yticklabels()]
        expected = [
            f"in state {row['state']}"
            if row["transition"] is None
            else "{} → {}".format(*row["transition"])
            for row in rows
        ]
        assert names == expected


def test_coefficients_and_predictions_are_the_tables(results: ExperimentResults) -> None:
    figure = drawn(draw_regression(results))
    left, right = figure.axes
    for row in results.coefficients.itertuples():
        point = by_gid(figure, f"coefficient-{row.state}")
        assert point.get_xdata()[0] == row.coefficient
        (line,) = [one for one in left.lines if list(one.get_ydata()) == [row.Index] * 2]
        assert list(line.get_xdata()) == [row.interval_low, row.interval_high]
    assert texts(figure).count(" detour") == results.coefficients["is_detour"].sum() == 1
    (points,) = [line for line in right.lines if len(line.get_xdata()) == results.n_runs]
    np.testing.assert_array_equal(points.get_ydata(), results.outcomes["outcome"])
    np.testing.assert_array_equal(points.get_xdata(), results.outcomes["predicted"])


def test_without_predictions_the_coefficients_stand_alone(results: ExperimentResults) -> None:
    outcomes = results.outcomes.assign(predicted=np.nan)
    (ax,) = draw_regression(dataclasses.replace(results, outcomes=outcomes)).axes
    assert ax.get_title(loc="left") == "coefficient of each state"


def _marked(ax: Axes) -> list[float]:
    (marks,) = [line for line in ax.lines if line.get_gid() == "outliers"]
    return [float(y) for y in marks.get_ydata()]


def test_outliers_are_marked_in_their_rows(logged: ExperimentResults) -> None:
    outliers = logged.outliers.assign(is_outlier=logged.outliers["seed"].isin([3, 11]))
    changed = dataclasses.replace(logged, outliers=outliers)
    ax = drawn(draw_state_timelines(changed, "epoch")).axes[0]
    rows = [label.get_text() for label in ax.get_yticklabels()]
    assert sorted(rows[round(y)] for y in _marked(ax)) == ["11", "3"]
    figure = drawn(draw_dissimilarity(changed.dissimilarity, outliers=changed.outlier_seeds))
    seeds = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert sorted(seeds[int(y)] for y in _marked(figure.axes[0])) == ["11", "3"]
    assert "outlier run" in texts(figure)
    plain = draw_dissimilarity(changed.dissimilarity)
    assert not [line for line in plain.axes[0].lines if line.get_gid() == "outliers"]


def test_what_there_is_nothing_to_draw_of_is_said(tmp_path: Path) -> None:
    write_results(tmp_path, 3, 3, forking=False, logs=False)
    results = ExperimentResults.read(tmp_path)
    assert "There is no fork" in " ".join(texts(drawn(draw_forks(results))))
    assert "There is no regression" in " ".join(texts(drawn(draw_regression(results))))
    assert "no training logs" in " ".join(texts(drawn(draw_phase_transitions(results))))
    none = dataclasses.replace(
        results,
        convergence=results.convergence.iloc[:0],
        forks={"forks": [{"state": 0, "branches": [{"n_timed": 0}]}]},
    )
    assert "not known when runs converge" in " ".join(texts(drawn(draw_forks(none))))


def test_names_of_the_users_are_no_formulas(results: ExperimentResults) -> None:
    assert plain_text("$x$") == r"\$x\$"
    assert len(plain_text("x" * 99)) == 44
    assert in_brackets("") == ""
    regression = {
        **results.regression,
        "column": r"$\frac{",
        "outcome": {**results.outcome, "name": r"$\frac{", "unit": r"$\frac{$, as given"},
    }
    odd = dataclasses.replace(results, regression=regression)
    drawn(draw_regression(odd))
    assert r"converged (\$\frac{ > 0.9)" in texts(drawn(draw_state_timelines(odd)))
    assert isinstance(odd.run_paths, pd.DataFrame)
