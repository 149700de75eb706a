"""Figures as a paper takes them: of its widths, legible, nothing overlapping, fonts inside."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from PIL import Image

from tests.support.figure_checks import faults
from tests.support.project import ROOT
from tests.support.synthetic_results import write_path_results, write_results
from training_maps import cli
from training_maps.figures import (
    FIGURES,
    draw_metrics_by_state,
    draw_overview,
    draw_training_map,
    save_figure,
)
from training_maps.figures.metrics_by_state import runs_to_show, telling_metric
from training_maps.figures.save import FORMATS, settle
from training_maps.figures.style import COLUMN, PAGE, TALLEST, WIDTHS, Width, state_colour
from training_maps.results import ExperimentResults

INCHES = {"column": COLUMN, "page": PAGE}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> ExperimentResults:
    folder = tmp_path_factory.mktemp("forking")
    write_results(folder, n_runs=12, n_states=5, back_edges=True, n_censored=2)
    return ExperimentResults.read(folder)


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


def test_a_map_with_long_names_keeps_to_the_page(tmp_path: Path) -> None:
    write_results(tmp_path, 40, 12, back_edges=True)
    data = ExperimentResults.read(tmp_path).training_map
    for state in data["states"]:
        state["features"] = [{"metric": f"gradient_norm_{i}"} for i in range(3)]
    for edge in data["transitions"]:
        for i, change in enumerate(edge["feature_changes"]):
            change["metric"] = ("median_w", "gradient_norm_of_it", "own_metric_MWM")[i]
    for width in WIDTHS:
        figure = draw_training_map(data, width=width)
        assert figure.get_figwidth() == pytest.approx(INCHES[width])
        assert figure.get_figheight() <= TALLEST + 1e-9
        assert faults(figure) == []
    # On a page the table stands beside the map.
    tall, table = figure.axes
    assert table.get_position().x0 > tall.get_position().x0
    assert table.get_position().y0 > 0


def test_files_are_the_same_each_time_and_need_no_fonts(
    results: ExperimentResults, tmp_path: Path
) -> None:
    for suffix in FORMATS:
        for name in ("a", "b"):
            figure = FIGURES["convergence_times"](results, "epoch", "column")
            settle(figure)
            save_figure(figure, tmp_path / f"{name}.{suffix}")
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    svg = (tmp_path / "a.svg").read_text()
    assert "<text" not in svg
    assert "dc:date" not in svg
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    assert b"/CreationDate" not in pdf
    with Image.open(tmp_path / "a.png") as image:
        assert abs(image.width - 300 * COLUMN) < 1


def test_a_settled_figure_stays_as_it_is(results: ExperimentResults) -> None:
    figure = FIGURES["loss_by_state"](results, "epoch", "column")
    settle(figure)
    places = [ax.get_position().bounds for ax in figure.axes]
    figure.draw_without_rendering()
    assert [ax.get_position().bounds for ax in figure.axes] == places
    assert faults(figure) == []


def test_command_writes_every_figure_at_both_widths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_results(tmp_path / "x", n_runs=5, n_states=3)
    few = {name: FIGURES[name] for name in ("training_map", "convergence_times")}
    monkeypatch.setattr("training_maps.figures.catalogue.FIGURES", few)
    output = tmp_path / "figures"
    arguments = ["figures", "--results", str(tmp_path / "x"), "--output", str(output)]
    assert cli.main(arguments) == 0
    for width in ("column", "page"):
        written = {path.name for path in (output / width).iterdir()}
        assert written == {f"{name}.{suffix}" for name in few for suffix in ("svg", "pdf", "png")}


def test_workflow_knows_every_figure() -> None:
    rules = ROOT / "workflow" / "rules"
    text = (rules / "report_common.smk").read_text(encoding="utf-8")
    listed = text[text.index("FIGURES = {") :]
    listed = listed[: listed.index("}")]
    assert [line.split('"')[1] for line in listed.splitlines() if '": ' in line] == list(FIGURES)


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


def test_metric_and_loss_are_those_of_the_run(results: ExperimentResults) -> None:
    metric = telling_metric(results)
    assert metric is not None
    observed = pd.read_parquet(results.folder / "observations.parquet")
    figure = draw_metrics_by_state(results, "epoch")
    panels = {str(ax.get_gid()): ax for ax in figure.axes}
    assert len(panels) == 6
    for _, seed in runs_to_show(results):
        (line,) = panels[f"metric-{seed}"].collections
        assert isinstance(line, LineCollection)
        pieces = line.get_segments()
        points = np.vstack([pieces[0], *(piece[1:] for piece in pieces[1:])])
        rows = observed[observed["seed"] == seed]
        np.testing.assert_allclose(points[:, 1], rows[metric])
        np.testing.assert_allclose(points[:, 0], results.times(seed, rows["step"], "epoch"))
        _, states = results.state_sequence(seed, "epoch")
        starts = np.flatnonzero(np.append(True, np.diff(states) != 0))
        colours = [mpl.colors.to_hex(colour) for colour in line.get_colors()]
        assert colours == [state_colour(state) for state in states[starts]]
        (loss,) = panels[f"loss-{seed}"].lines
        np.testing.assert_allclose(loss.get_ydata(), results.logs[seed]["eval_loss"])
        np.testing.assert_allclose(loss.get_xdata(), results.logs[seed]["epoch"])


def test_metrics_as_computed_come_before_observations(
    results: ExperimentResults, tmp_path: Path
) -> None:
    write_results(tmp_path, n_runs=3, n_states=3, logs=False)
    own = ExperimentResults.read(tmp_path)
    metric = telling_metric(own)
    observed = pd.read_parquet(tmp_path / "observations.parquet")
    for seed in own.seeds:
        (tmp_path / "runs" / f"seed-{seed}").mkdir(parents=True, exist_ok=True)
        rows = observed[observed["seed"] == seed]
        rows[["step"]].assign(**{str(metric): 7.0}).to_parquet(
            tmp_path / "runs" / f"seed-{seed}" / "metrics.parquet"
        )
    figure = draw_metrics_by_state(own)
    assert len(figure.axes) == len(runs_to_show(own))  # no log, no axis of a loss
    for ax in figure.axes:
        assert {y for piece in ax.collections[0].get_segments() for y in piece[:, 1]} == {7.0}
    assert "s.d." not in figure.axes[0].get_ylabel()
    assert "s.d." in draw_metrics_by_state(results).axes[0].get_ylabel()


def test_telling_metric_is_the_one_that_tells_branches_apart(results: ExperimentResults) -> None:
    states = [
        {**s, "mean": dict.fromkeys(results.training_map["metrics"], 0.0)}
        for s in results.training_map["states"]
    ]
    first, *_, last = [branch["to"] for branch in results.forks["forks"][0]["branches"]]
    states[first] = {**states[first], "mean": {**states[first]["mean"], "trace": -3.0, "l1": 2.0}}
    states[last] = {**states[last], "mean": {**states[last]["mean"], "trace": 3.0, "l1": 2.0}}
    tmap = {**results.training_map, "states": states}
    assert telling_metric(dataclasses.replace(results, training_map=tmap)) == "trace"
    # Without a fork, what changes most along the way: l1 rises and falls, trace falls once.
    changed = [{**s, "mean": {**s["mean"], "trace": 0.0, "l1": 0.0}} for s in states]
    changed[1] = {**changed[1], "mean": {**changed[1]["mean"], "l1": 2.0}}
    for later in changed[2:]:
        later["mean"]["trace"] = -3.0
    tmap = {**tmap, "states": changed, "paths": [{"states": [0, 1, 2, 3, 4], "seeds": [0]}]}
    linear = dataclasses.replace(results, training_map=tmap, forks={"forks": []})
    assert telling_metric(linear) == "l1"
