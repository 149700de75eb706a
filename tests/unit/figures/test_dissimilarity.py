"""The heat map is the table of dissimilarities, with similar runs side by side."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from tests.support.figure_checks import by_gid, drawn, texts
from training_maps.figures import (
    draw_dissimilarity,
)
from training_maps.figures.catalogue import FIGURES
from training_maps.figures.dissimilarity import distance_matrix, drawn_pairs, order_by_similarity
from training_maps.results import ExperimentResults


def test_heat_map_is_the_table_reordered(results: ExperimentResults) -> None:
    for column in ("index", "discrete", "means"):
        ax = draw_dissimilarity(results.dissimilarity, column).axes[0]
        matrix = ax.collections[0].get_array().reshape(12, 12)
        seeds = [int(label.get_text()) for label in ax.get_xticklabels()]
        assert sorted(seeds) == results.seeds
        pairs = results.dissimilarity.set_index(["seed_a", "seed_b"])[column]
        for (i, a), (j, b) in combinations(enumerate(seeds), 2):
            assert matrix[i, j] == matrix[j, i] == pairs[min(a, b), max(a, b)]
        assert f"{pairs.mean():.3f}" in ax.get_title(loc="left")


def test_similar_runs_become_neighbours() -> None:
    groups = np.array([0, 1, 0, 1, 0, 1])
    matrix = np.abs(groups[:, None] - groups[None, :]) + 0.1 * (1 - np.eye(6))
    ordered = groups[order_by_similarity(matrix)]
    assert np.abs(np.diff(ordered)).sum() == 1


def test_outliers_are_marked_in_their_rows(logged: ExperimentResults) -> None:
    figure = drawn(draw_dissimilarity(logged.dissimilarity, outliers=[3, 11]))
    seeds = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert sorted(seeds[int(y)] for y in by_gid(figure, "outliers").get_ydata()) == ["11", "3"]
    assert "outlier run" in texts(figure)
    plain = draw_dissimilarity(logged.dissimilarity)
    assert not [line for line in plain.axes[0].lines if line.get_gid() == "outliers"]


def test_few_runs_or_equal_ones_are_each_there_once() -> None:
    for n in (0, 1, 2, 3):
        assert sorted(order_by_similarity(np.zeros((n, n))).tolist()) == list(range(n))


def test_the_matrix_has_every_pair_twice_and_zeros_between() -> None:
    table = pd.DataFrame({"seed_a": [7, 2, 2], "seed_b": [9, 9, 7], "index": [1.0, 2.0, 4.0]})
    seeds, matrix = distance_matrix(table, "index")
    assert seeds == [2, 7, 9]
    np.testing.assert_array_equal(matrix, [[0, 4, 2], [4, 0, 1], [2, 1, 0]])


def test_the_largest_and_the_least_distance_span_the_colours() -> None:
    table = pd.DataFrame({"seed_a": [0, 0, 1], "seed_b": [1, 2, 2], "index": [0.0, 2.0, 1.0]})
    mesh = draw_dissimilarity(table, "index").axes[0].collections[0]
    low, high = mesh.get_clim()
    assert low <= 0.0
    assert high >= 2.0


def test_of_many_runs_some_are_drawn_with_the_mean_of_all(
    results: ExperimentResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is computed for those drawn is what the table of all pairs says."""
    assert drawn_pairs(results) is results.dissimilarity
    for module in ("dissimilarity", "catalogue"):
        monkeypatch.setattr(f"training_maps.figures.{module}.MOST_HEAT_RUNS", 4)
    pairs = drawn_pairs(results)
    assert len(pairs) == 6
    of_table = pairs[["seed_a", "seed_b"]].merge(results.dissimilarity, on=["seed_a", "seed_b"])
    np.testing.assert_allclose(pairs["index"], of_table["index"], atol=1e-12)
    figure = FIGURES["dissimilarity"](results, "epoch", "page")
    mean = results.dissimilarity["index"].mean()
    assert f"4 of {results.n_runs} runs; mean over all pairs: {mean:.3f}" in texts(figure)
