"""All figures: fit for print, and in words where there is nothing to draw."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from tests.support.figure_checks import drawn, faults, texts
from tests.support.project import ROOT
from tests.support.synthetic_results import write_path_results, write_results
from training_maps.config.jobs import FIGURES as SHOWN
from training_maps.figures import (
    FIGURES,
    draw_convergence_times,
    draw_forks,
    draw_phase_transitions,
    draw_regression,
)
from training_maps.figures.metrics_by_state import telling_metric
from training_maps.figures.style import (
    COLUMN,
    PAGE,
    TALLEST,
    WIDTHS,
    Width,
)
from training_maps.results import ExperimentResults


def test_what_is_missing_is_said_in_words(tmp_path: Path) -> None:
    write_results(tmp_path, n_runs=1, n_states=1, logs=False, n_censored=1)
    results = ExperimentResults.read(tmp_path)
    said = {name: " ".join(texts(drawn(draw(results, "epoch")))) for name, draw in FIGURES.items()}
    assert "no log of training has a loss" in said["loss_by_state"]
    assert "only one run" in said["dissimilarity"]
    assert "did not converge" in said["convergence_times"]
    (tmp_path / "convergence.csv").unlink()
    results = ExperimentResults.read(tmp_path)
    figure = draw_convergence_times(results, "epoch")
    assert "not defined" in " ".join(texts(figure))


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


INCHES = {"column": COLUMN, "page": PAGE}


@pytest.fixture(scope="module", params=[(1, 1), (2, 5), (12, 5), (12, 100)], ids=str)
def any_results(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> ExperimentResults:
    """Of so many states and runs."""
    n_states, n_runs = request.param
    folder = tmp_path_factory.mktemp("any")
    write_results(folder, n_runs, n_states, back_edges=True, n_censored=min(n_runs - 1, 3))
    return ExperimentResults.read(folder)


@pytest.mark.parametrize("width", WIDTHS)
def test_every_figure_is_fit_for_print(any_results: ExperimentResults, width: Width) -> None:
    for name, draw in FIGURES.items():
        figure = draw(any_results, "epoch", width)
        assert figure.get_figwidth() == pytest.approx(INCHES[width]), name
        assert figure.get_figheight() <= TALLEST + 1e-9, name
        assert faults(figure) == [], name


@pytest.mark.parametrize("width", WIDTHS)
def test_state_paths_alone_have_figures_too(tmp_path: Path, width: Width) -> None:
    write_path_results(tmp_path)
    results = ExperimentResults.read(tmp_path)
    assert telling_metric(results) is None
    for name, draw in FIGURES.items():
        assert faults(draw(results, "epoch", width)) == [], name


def test_faults_are_found() -> None:
    figure = Figure(figsize=(3, 2))
    ax = figure.add_axes((0.2, 0.2, 0.6, 0.6))
    ax.set_xlim(0, 1)
    assert faults(figure) == []
    ax.text(0.5, 0.5, "one")
    ax.text(0.52, 0.5, "other")
    ax.text(0.1, 0.9, "tiny", fontsize=3)
    ax.text(0.95, 0.1, "a long way out")
    assert faults(figure) == [
        "'tiny' is set in 3.0 points",
        "'a long way out' leaves the paper",
        "'one' and 'other' overlap",
    ]
    ax.set_axis_off()
    hidden = ax.text(0.5, 0.5, "hidden")
    hidden.set_visible(False)
    assert len(faults(figure)) == 3


def test_workflow_knows_every_figure() -> None:
    assert list(SHOWN) == list(FIGURES)
    assert all((ROOT / f"workflow/report/{figure}.rst").is_file() for figure in FIGURES)
