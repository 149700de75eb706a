"""One metric and the loss of a few runs, in the colours of the states."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection

from tests.support.synthetic_results import write_results
from training_maps.figures import (
    draw_metrics_by_state,
)
from training_maps.figures.metrics_by_state import runs_to_show, telling_metric
from training_maps.figures.style import state_colour
from training_maps.results import ExperimentResults


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
