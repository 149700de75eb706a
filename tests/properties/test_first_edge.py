"""The first transition's drop of L2 on runs where it is planted, or is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tools.first_edge import changes, correlation, first_edge


def results_of(folder: Path, drops: list[float], fractions: list[float]) -> Path:
    """Runs that spend two checkpoints in state 0, two in 1, and two in 2; L2 falls as given."""
    observed, paths, times = [], [], []
    for seed, (drop, fraction) in enumerate(zip(drops, fractions, strict=True)):
        levels = [5.0, 5.0, 5.0 - drop, 5.0 - drop, 1.0, 1.0]
        for step, (level, state) in enumerate(zip(levels, [0, 0, 1, 1, 2, 2], strict=True)):
            observed.append((seed, 10 * step, level))
            paths.append((seed, 10 * step, state))
        times.append((seed, fraction, True))
    pd.DataFrame(observed, columns=["seed", "step", "l2"]).to_parquet(
        folder / "observations.parquet"
    )
    pd.DataFrame(paths, columns=["seed", "step", "state"]).to_csv(
        folder / "state_paths.csv", index=False
    )
    pd.DataFrame(times, columns=["seed", "fraction", "converged"]).to_csv(
        folder / "convergence.csv", index=False
    )
    return folder


def test_a_change_is_that_of_the_means_of_the_first_two_stays(tmp_path: Path) -> None:
    table = changes(results_of(tmp_path, [1.0, 2.0], [0.5, 0.2]))
    for drop, found in zip([1.0, 2.0], table["change"], strict=True):
        levels = [5.0, 5.0, 5.0 - drop, 5.0 - drop, 1.0, 1.0]
        assert found == pytest.approx(-drop / np.std(levels))
    assert table[["from", "to"]].to_numpy().tolist() == [[0, 1], [0, 1]]
    assert table["fraction"].tolist() == [0.5, 0.2]


def test_runs_whose_l2_falls_more_and_that_converge_earlier_correlate(tmp_path: Path) -> None:
    drops = np.linspace(0.5, 3, 20)
    found = first_edge(results_of(tmp_path, drops.tolist(), (1 - drops / 4).tolist()))
    assert found["rank_correlation"] == pytest.approx(1)
    (edge,) = found["edges"]
    assert edge["n_runs"] == found["n_runs"] == 20
    assert edge["l2_change"] < 0


def test_the_interval_of_unrelated_values_holds_none_most_of_the_time() -> None:
    rng = np.random.default_rng(0)
    holds = 0
    for _ in range(400):
        found = correlation(rng.normal(size=30), rng.normal(size=30))
        holds += found["low"] <= 0 <= found["high"]
    assert 369 <= holds <= 391  # 380 are expected; others have a probability of 0.01


def test_it_is_spearman_s() -> None:
    x, y = np.random.default_rng(1).normal(size=(2, 15))
    ranks = stats.rankdata(x), stats.rankdata(y)
    assert correlation(x, y)["rank_correlation"] == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert correlation(x, np.ones(15))["low"] is None
