"""The workflow from nothing to a report, on a setting of seconds."""

import json
import shutil

import numpy as np
import pandas as pd

from training_maps import TrainingMap, observations, select_hmm
from training_maps.metrics.definitions import METRIC_COLUMNS

TABLES = {
    "hmm/model_selection.csv": [
        "n_states", "restart", "log_likelihood_train", "log_likelihood_validation", "aic", "bic",
        "n_iterations", "converged",
    ],
    "state_paths.csv": ["seed", "step", "state"],
    "run_paths.csv": ["seed", "visit", "state", "step", "epoch"],
    "convergence.csv": ["seed", "step", "epoch", "fraction", "converged"],
    "coefficients.csv": [
        "state", "coefficient", "standard_error", "p_value", "n_runs_visiting", "is_detour",
    ],
    "delays.csv": ["state", "n_visiting", "n_without"],
    "dissimilarity.csv": ["seed_a", "seed_b", "index", "discrete", "means"],
}  # fmt: skip
SUMMARY = {
    "n_runs", "n_converged", "n_states", "r_squared", "p_value", "dissimilarity", "forking",
    "detour_states", "delays", "foretelling",
}  # fmt: skip


def test_every_file_is_there_and_has_its_columns(finished):
    results = finished[0].results
    for name, columns in TABLES.items():
        table = pd.read_csv(results / name)
        assert list(table.columns)[: len(columns)] == columns, name
        assert not table[columns].isna().to_numpy().any(), name
    assert len(pd.read_csv(results / "phase_transitions.csv")) == 2 * 6
    assert json.loads((results / "phase_transitions.json").read_text())["n_runs"] == 6
    changes = pd.read_parquet(results / "layer_changes.parquet")
    edges = json.loads((results / "training_map.json").read_text())["transitions"]
    changed = zip(changes["from"], changes["to"], strict=True)
    assert set(changed) == {(edge["from"], edge["to"]) for edge in edges}
    assert json.loads((results / "forks.json").read_text())["n_runs"] == 6
    for seed in range(6):
        run = results / "runs" / f"seed-{seed}"
        metrics = pd.read_parquet(run / "metrics.parquet")
        assert list(metrics.columns) == ["step", *METRIC_COLUMNS]
        layers = pd.read_parquet(run / "layers.parquet")
        of_checkpoints = layers.groupby("step")[["l1", "lambda_max"]].mean().reset_index(drop=True)
        pd.testing.assert_frame_equal(of_checkpoints, metrics[["l1", "lambda_max"]], rtol=1e-12)
        log = pd.read_parquet(run / "training_log.parquet")
        manifest = json.loads((run / "checkpoints.json").read_text())
        steps = [checkpoint["step"] for checkpoint in manifest["checkpoints"]]
        assert steps == metrics["step"].tolist() == log["step"].tolist()
        assert steps == list(range(0, 301, 10))  # 5 batches an epoch, a checkpoint every 2 epochs
        assert all((run / checkpoint["file"]).is_file() for checkpoint in manifest["checkpoints"])
    for n_states in (1, 2, 3):
        with np.load(results / f"hmm/states-{n_states}.npz", allow_pickle=False) as model:
            assert model["means"].shape == (n_states, len(METRIC_COLUMNS))
    assert (results / "report.html").stat().st_size > 10_000
    for figure in ("training_map", "model_selection", "state_timelines"):
        assert (results / f"figures/page/{figure}.svg").is_file()
    assert (results.parent / "comparison.html").is_file()


def test_the_summary_agrees_with_what_stands_behind_it(finished):
    results = finished[0].results
    summary = json.loads((results / "summary.json").read_text())
    assert set(summary) >= SUMMARY
    paths = pd.read_csv(results / "state_paths.csv")
    convergence = pd.read_csv(results / "convergence.csv")
    assert summary["n_runs"] == paths["seed"].nunique() == 6
    assert summary["n_converged"] == int(convergence["converged"].sum())
    assert len(paths) == 6 * 31
    distances = pd.read_csv(results / "dissimilarity.csv")
    assert len(distances) == 15
    assert summary["dissimilarity"]["index"] == distances["index"].mean()
    assert len(pd.read_csv(results.parent / "comparison.csv")) == 1
    structure = json.loads((results / "structure.json").read_text())
    assert summary["structure"] == structure["verdict"] in ("drift", "phases", "regions")
    found = json.loads((results / "reproducibility.json").read_text())
    assert summary["reproducibility"] == found["agreement"]
    assert len(found["fits"]) == structure["n_halves"] == 2


def test_halves_do_not_change_the_paper_s_map_and_can_be_left_out(finished, project):
    """The map of trained runs is the paper's: of Gaussian states, by BIC, each run on its scale."""
    halves = ("structure.json", "reproducibility.json", "reproducibility", "logs/structure.log")
    names = ("observations.parquet", "state_paths.csv", "training_map.json",
             "hmm/model_selection.csv", "dissimilarity.csv", "coefficients.csv")  # fmt: skip
    expected = {name: (finished[0].results / name).read_bytes() for name in names}
    for path in project.results.iterdir():
        if path.name != "runs":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    without = ["--config", "reproducibility={halves: 0}"]
    project.run(*without)
    assert project.planned(*without) == {}
    assert not [name for name in halves if (project.results / name).exists()]
    assert {name: (project.results / name).read_bytes() for name in names} == expected
    summary = json.loads((project.results / "summary.json").read_text())
    assert summary["structure"] is None
    assert set(summary["reproducibility"].values()) == {None}
    assert not [note for note in summary["notes"] if note["kind"] == "no_halves"]
    tables = {
        seed: pd.read_parquet(project.results / f"runs/seed-{seed}/metrics.parquet")
        for seed in range(6)
    }
    model = select_hmm(observations(tables), n_states=range(1, 4), restarts=2, random_state=0)
    paths = TrainingMap.from_model(model).paths
    found = pd.read_csv(project.results / "state_paths.csv")
    pd.testing.assert_frame_equal(found, paths, check_dtype=False)


def test_the_terminal_ends_with_the_summary_and_where_the_report_is(finished):
    told = finished[1]
    assert "results/tiny/report.html" in told.splitlines()[-1] or "report.html" in told[-800:]
    for word in ("states", "structure", "found again", "R²", "delays", "dissimilarity"):
        assert word in told[-1500:], word


def test_every_job_has_a_log_and_a_benchmark(finished):
    results = finished[0].results
    for name in ("train_0", "train_1", "metrics/seed-0", "observations", "hmm/states-2", "map",
                 "semantics", "dissimilarity", "outliers", "figures", "report",
                 "summary"):  # fmt: skip
        assert (results / f"logs/{name}.log").is_file(), name
        assert (results / f"benchmarks/{name}.jsonl").is_file(), name
    assert (
        "left" in (results / "logs/train_0.log").read_text()
        or "in all" in (results / "logs/train_0.log").read_text()
    )


def test_a_run_does_not_depend_on_how_many_are_trained_side_by_side(finished, tmp_path):
    project, _ = finished
    alone = project.copy(tmp_path / "alone")
    target = "results/tiny/runs/seed-1/metrics.parquet"
    (alone.folder / target).unlink()
    alone.run("--config", "training={seeds_per_job: 1}", "--", target)
    ours = pd.read_parquet(alone.folder / target)
    theirs = pd.read_parquet(project.folder / target)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)
