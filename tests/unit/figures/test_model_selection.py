"""The figure of the model selection: every restart, the means, the margin and the shares."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PathCollection

from tests.support.figure_checks import drawn, texts
from training_maps.figures import (
    draw_model_selection,
)
from training_maps.results import ExperimentResults


def _sorted(rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort(rows.T)]


def test_model_selection_shows_every_restart_and_the_mean(results: ExperimentResults) -> None:
    table, stability = results.model_selection, results.stability
    figure = draw_model_selection(table, stability)
    columns = ("bic", "aic", "log_likelihood_validation")
    for ax, column in zip(figure.axes, columns, strict=False):
        points = [c.get_offsets() for c in ax.collections if isinstance(c, PathCollection)]
        expected = table[["n_states", column]].to_numpy(float)
        np.testing.assert_allclose(_sorted(np.vstack(points)), _sorted(expected))
        means = table.groupby("n_states")[column].mean()
        (line,) = [one for one in ax.lines if "of the restarts" in str(one.get_label())]
        assert line.get_ydata() == pytest.approx(means.to_numpy())
        (mark,) = [one for one in ax.lines if "chosen" in str(one.get_label())]
        assert mark.get_xdata() == [stability["chosen"]["n_states"]]
        assert mark.get_ydata() == pytest.approx([means[stability["chosen"]["n_states"]]])


def test_model_selection_shows_the_margin_and_the_shares(results: ExperimentResults) -> None:
    table, stability = results.model_selection, results.stability
    candidates = [
        {**row, "standard_error": 2.0 + i, "share": 0.05 * i}
        for i, row in enumerate(stability["candidates"])
    ]
    changed = {**stability, "candidates": candidates}
    figure = draw_model_selection(table, changed)
    bic, _, _, shares = figure.axes
    (bars,) = [c for c in bic.collections if isinstance(c, LineCollection)]
    means = table.groupby("n_states")["bic"].mean()
    others = [row for row in candidates if row["n_states"] != stability["chosen"]["n_states"]]
    for segment, row in zip(bars.get_segments(), others, strict=True):
        low, high = means[row["n_states"]] + 2 * row["standard_error"] * np.array([-1, 1])
        np.testing.assert_allclose(segment, [[row["n_states"], low], [row["n_states"], high]])
    heights = {round(bar.get_center()[0]): bar.get_height() for bar in shares.patches}
    assert heights == pytest.approx({row["n_states"]: row["share"] for row in candidates})
    too_few = [{**row, "standard_error": None, "share": None} for row in candidates]
    figure = drawn(draw_model_selection(table, {**stability, "candidates": too_few}))
    assert any("Too few runs to resample" in text for text in texts(figure))


def test_model_selection_tells_kinds_of_model_apart(results: ExperimentResults) -> None:
    table = results.model_selection
    other = table.assign(model="autoregressive", bic=table["bic"] + 50)
    stability = results.stability
    candidates = [{**row, "share": 0.1} for row in stability["candidates"]]
    both = [*candidates, *({**row, "model": "autoregressive"} for row in candidates)]
    figure = drawn(
        draw_model_selection(
            pd.concat([table, other], ignore_index=True), {**stability, "candidates": both}
        )
    )
    labels = [str(line.get_label()) for line in figure.axes[0].lines]
    for kind in ("Gaussian", "autoregressive"):
        assert f"mean of the restarts ({kind})" in labels
    assert labels.count(f"chosen: {stability['chosen']['n_states']} states (Gaussian)") == 1
    assert len(figure.axes[3].patches) == len(both)
