"""The figure of layers: a panel a metric, a row a layer, the run's states above."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.figure_checks import faults
from tests.support.synthetic_layers import LAYERS, METRICS, write_layers
from tests.support.synthetic_results import write_results
from training_maps.figures.captions import captions
from training_maps.figures.layers import draw_layers, telling_metrics, typical_run
from training_maps.figures.style import WIDTHS, Width
from training_maps.results import ExperimentResults
from training_maps.utils.files import read_table


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> ExperimentResults:
    folder = tmp_path_factory.mktemp("layers")
    return ExperimentResults.read(write_layers(write_results(folder, 4, 4)))


@pytest.mark.parametrize("width", WIDTHS)
def test_what_is_drawn_are_the_runs_scores(results: ExperimentResults, width: Width) -> None:
    figure = draw_layers(results, width=width)
    assert faults(figure) == []
    panels = {
        str(ax.get_gid()): ax for ax in figure.axes if str(ax.get_gid()).startswith("layers-")
    }
    assert set(panels) == {f"layers-{metric}" for metric in telling_metrics(results)}

    path = results.folder / f"runs/seed-{typical_run(results)}/layers.parquet"
    table = read_table(path)
    for metric in METRICS:
        colours = panels[f"layers-{metric}"].collections[0].get_array()
        drawn = np.asarray(colours).reshape(len(LAYERS), -1)
        for row, (tensor, *_) in zip(drawn, LAYERS, strict=True):
            values = table[table["tensor"] == tensor].groupby("step")[metric].mean().to_numpy()
            np.testing.assert_allclose(row, (values - values.mean()) / values.std(), atol=1e-9)


def test_metrics_and_run_can_be_chosen(results: ExperimentResults) -> None:
    figure = draw_layers(results, "step", metrics=["mean_w"], seed=3)
    [ax] = [ax for ax in figure.axes if ax.get_gid() == "layers-mean_w"]
    assert ax.get_xlabel() == "step (seed 3)"
    assert [label.get_text() for label in ax.get_yticklabels()][1] == "blocks.0.mlp"


def test_metrics_are_those_that_change_most(results: ExperimentResults) -> None:
    changes = results.layer_changes
    sizes = changes.assign(change=changes["change"].abs()).groupby("metric")["change"].mean()
    assert telling_metrics(results) == list(sizes.sort_values(ascending=False).index)


def test_where_layers_are_not_kept_it_says_so(results: ExperimentResults) -> None:
    without = results.without_layers()
    [ax] = draw_layers(without).axes
    assert "were not kept" in ax.texts[0].get_text()
    assert "were not kept" in captions(without, "epoch")["layers"]
    assert f"seed {typical_run(results)}" in captions(results, "epoch")["layers"]
