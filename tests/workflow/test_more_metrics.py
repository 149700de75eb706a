"""Metrics beyond the paper's, through the workflow: users' own, and columns of the training log."""

import shutil

import numpy as np
import pandas as pd
import pytest

MODULE = """\
import numpy as np


def nuclear_norm(weights, biases):
    return sum(np.linalg.norm(w, "nuc") for w in weights)
"""
COLUMNS = ["--config", "metrics={columns: [l1, mean_lambda, nuclear_norm]}"]
TARGET = ["--", "results/tiny/runs/seed-1/metrics.parquet"]


def offer(project, version):
    """Install a distribution of the metric beside the copy's package."""
    folder = project.folder / "python"
    (folder / "tiny_metrics.py").write_text(MODULE)
    for old in folder.glob("tiny_metrics-*"):
        shutil.rmtree(old)
    info = folder / f"tiny_metrics-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tiny-metrics\nVersion: {version}")
    (info / "entry_points.txt").write_text(
        "[training_maps.metrics]\nnuclear_norm = tiny_metrics:nuclear_norm\n"
    )


def test_a_user_s_metric_is_computed_and_computed_again_when_it_is_updated(project):
    done = project.snakemake("--dry-run", *COLUMNS)
    assert done.returncode != 0
    assert "there is no metric nuclear_norm" in done.stdout
    offer(project, "1.0")
    assert project.planned(*COLUMNS)["metrics"] == 6
    project.run(*COLUMNS, *TARGET)
    table = pd.read_parquet(project.folder / TARGET[1])
    assert list(table.columns) == ["step", "l1", "mean_lambda", "nuclear_norm"]
    # Two matrices, of 10 and 1 singular values: their mean of means, and all of their sums.
    assert (table["nuclear_norm"] > table["mean_lambda"]).all()
    assert not project.planned(*COLUMNS, *TARGET)
    offer(project, "1.1")
    assert project.planned(*COLUMNS, *TARGET) == {"metrics": 1}


def test_columns_of_the_training_log_join_the_observations(project):
    config = ["--config", "observations={metrics: [l2], log_columns: [gradient_norm]}"]
    planned = project.planned(*config)
    assert planned["observations"] == planned["report"] == 1
    assert not planned["metrics"]
    target = "results/tiny/hmm/states-2.npz"
    project.run(*config, "--", target)
    seen = pd.read_parquet(project.results / "observations.parquet")
    assert list(seen.columns) == ["seed", "step", "split", "l2", "gradient_norm"]
    assert seen.loc[seen["step"] == 0, "gradient_norm"].isna().all()
    log = pd.read_parquet(project.results / "runs" / "seed-2" / "training_log.parquet")
    later = log["gradient_norm"].to_numpy()[1:]
    scored = (later - later.mean()) / later.std()
    found = seen.loc[(seen["seed"] == 2) & (seen["step"] > 0), "gradient_norm"]
    np.testing.assert_allclose(found, scored, rtol=1e-9, atol=1e-12)
    with np.load(project.folder / target) as model:
        assert np.isfinite(model["means"]).all()


@pytest.mark.parametrize("columns", ["[gradient]", "[l2]"])
def test_columns_that_cannot_join_are_said(columns, finished):
    told = finished[0].refusal(f"observations={{log_columns: {columns}}}")
    assert "is no column of the training log" in told
    assert "gradient_norm" in told
