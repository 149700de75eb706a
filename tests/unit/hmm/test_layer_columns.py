"""Metrics of groups of layers as observations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.synthetic_layers import layers_of_run
from training_maps.cli import main
from training_maps.figures.symbols import metric_symbol
from training_maps.hmm.layer_columns import columns_of_groups, with_groups
from training_maps.hmm.observations import Observations
from training_maps.utils.errors import InputError
from training_maps.utils.files import write_table

STEPS = np.arange(12) * 5
MEMBERS = {
    "attention": ["blocks.0.attention.query", "blocks.1.attention.query"],
    "late": ["blocks.1.attention.query", "blocks.1.mlp.weight"],
    "blocks.0.*": ["blocks.0.attention.query", "blocks.0.mlp.weight"],
}


def tables() -> tuple[dict[int, pd.DataFrame], dict[int, pd.DataFrame]]:
    """Metrics and layers of three runs."""
    rng = np.random.default_rng(0)
    metrics, layers = {}, {}
    for seed in (0, 1, 2):
        layers[seed] = layers_of_run(np.repeat([0, 1, 2], 4), STEPS, seed)
        metrics[seed] = pd.DataFrame({"step": STEPS, "l2": 1.0, "mean_b": rng.normal(size=12),
                                      "lambda_max": 2.0})  # fmt: skip
        metrics[seed].attrs["unreadable"] = [{"step": 3, "reason": "none"}]
    return metrics, layers


def test_a_groups_metric_is_the_mean_over_its_matrices() -> None:
    metrics, layers = tables()
    layers[1].loc[(layers[1]["block"] == 1), "l2"] = np.nan
    found = with_groups(metrics, layers.items(), list(MEMBERS))
    assert list(found[0].columns) == [
        "step", *(f"{m}@{group}" for m in ("l2", "lambda_max") for group in MEMBERS)
    ]  # fmt: skip
    for seed, table in found.items():
        assert table.attrs == metrics[seed].attrs
        for group, tensors in MEMBERS.items():
            for step, value in zip(table["step"], table[f"l2@{group}"], strict=True):
                rows = layers[seed]
                of = rows[(rows["step"] == step) & rows["tensor"].isin(tensors)]
                assert value == pytest.approx(np.nanmean(of["l2"]))


def test_metrics_that_a_matrix_has_not_are_the_whole_networks() -> None:
    metrics, layers = tables()
    found = with_groups(metrics, layers.items(), ["mlp"], ["stable_rank", "mean_b"])
    assert list(found[2].columns) == ["step", "stable_rank@mlp", "mean_b"]
    pd.testing.assert_series_equal(found[2]["mean_b"], metrics[2]["mean_b"])
    assert columns_of_groups(["mean_b", "l2"], ["a", "b"]) == ["mean_b", "l2@a", "l2@b"]


def test_what_cannot_be_is_refused() -> None:
    metrics, layers = tables()
    with pytest.raises(InputError, match="no layer is of the group 'convolution'"):
        with_groups(metrics, layers.items(), ["convolution"])
    with pytest.raises(InputError, match="seed 0: has no metric trace"):
        with_groups(metrics, layers.items(), ["mlp"], ["trace"])
    layers[0] = layers[0][layers[0]["step"] > 0]
    with pytest.raises(InputError, match="seed 0: its table of layers is not of the steps"):
        with_groups(metrics, layers.items(), ["mlp"])


def test_the_command_has_a_column_a_metric_and_group(tmp_path: Path) -> None:
    metrics, layers = tables()
    for seed in metrics:
        write_table(metrics[seed], tmp_path / f"seed-{seed}" / "metrics.parquet")
        write_table(layers[seed], tmp_path / f"seed-{seed}" / "layers.parquet")
    output = tmp_path / "observations.parquet"
    call = ["observations", "--runs", str(tmp_path), "--seeds", "0-2", "--output", str(output)]
    assert main([*call, "--layers", "attention", "blocks.0.*", "--metrics", "l2"]) == 0
    found = Observations.load(output)
    assert found.metrics == ("l2@attention", "l2@blocks.0.*")
    expected = with_groups(metrics, layers.items(), ["attention"])[1]["l2@attention"]
    scores = (expected - expected.mean()) / expected.std(ddof=0)
    of_run = found.table[found.table["seed"] == 1]["l2@attention"]
    np.testing.assert_allclose(of_run, scores)


def test_their_symbols() -> None:
    assert metric_symbol("l2@mlp") == "L2 mlp"
    assert metric_symbol("mean_w@attention") == "μ(w) attention"
    assert metric_symbol("lambda_max@blocks.0.*") == "λₘₐₓ blocks.0…"
