"""Tables that people logged elsewhere, through the workflow to a report."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from tests.support.workflow_project import FEW_FIGURES, Project

EXPERIMENT = """\
description: what was logged elsewhere
source: metrics
tables: {path: own/history.csv, seed: run, incomplete_steps: drop}
training_log:
  columns: {eval_accuracy: val/acc, train_loss: train/loss, gradient_norm: grad}
observations: {log_columns: [gradient_norm]}
hmm: {n_states: 1-3, restarts: 2, covariance: diag}
reproducibility: {halves: 0}
"""


def history(seeds=6, n=40):
    """Rows as a logger writes them that is called twice a step, of runs that learn at some step."""
    draw = np.random.default_rng(0)
    rows = []
    for seed in range(seeds):
        turn = 12 + 3 * seed
        for step in range(n):
            late = step >= turn
            when = {"run": seed, "_step": 10 * step, "_timestamp": 1.7e9 + step}
            rows.append(when | {"train/loss": 2.0 - late + 0.1 * draw.normal(), "grad": 1 + late})
            quantities = {"l2": 3 * late + 0.1 * draw.normal(), "rank": -late + 0.1 * draw.normal()}
            rows.append(when | quantities | {"val/acc": 0.95 if late else 0.1})
        rows.append({"run": seed, "_step": 10 * n, "train/loss": 1.0})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A project without torch, with an experiment of six runs that were logged elsewhere."""
    project = Project.new(tmp_path_factory.mktemp("logged") / "project")
    (project.folder / "python" / "torch.py").write_text("raise ImportError('torch is not here')\n")
    (project.folder / "own").mkdir()
    history().to_csv(project.folder / "own" / "history.csv", index=False)
    (project.folder / "experiments" / "logged.yaml").write_text(EXPERIMENT)
    (project.folder / "config.yaml").write_text(f"experiments: [logged]\n{FEW_FIGURES}")
    project.results = project.folder / "results" / "logged"
    project.run()
    return project


def test_a_table_becomes_a_report(logged):
    table = history()
    for seed in range(6):
        run = logged.results / "runs" / f"seed-{seed}"
        own = table[table["run"] == seed]
        metrics = pd.read_parquet(run / "metrics.parquet")
        expected = own.loc[own["l2"].notna(), ["_step", "l2", "rank"]]
        pd.testing.assert_frame_equal(
            metrics, expected.rename(columns={"_step": "step"}).reset_index(drop=True)
        )
        log = pd.read_parquet(run / "training_log.parquet")
        assert log["step"].tolist() == sorted(own["_step"].unique())
        assert log["eval_accuracy"].max() == 0.95
    seen = pd.read_parquet(logged.results / "observations.parquet")
    assert list(seen.columns) == ["seed", "step", "split", "l2", "rank", "gradient_norm"]
    convergence = pd.read_csv(logged.results / "convergence.csv")
    assert convergence["step"].tolist() == [10 * (12 + 3 * seed) for seed in range(6)]
    summary = json.loads((logged.results / "summary.json").read_text())
    assert (summary["n_runs"], summary["n_converged"]) == (6, 6)
    assert (logged.results / "report.html").stat().st_size > 10_000
    assert not logged.planned()


def test_without_halves_bic_chooses_and_says_so(logged):
    """Existing runs are to have the map that halves find again, and here there are none."""
    for name in ("structure.json", "reproducibility.json", "reproducibility"):
        assert not (logged.results / name).exists()
    summary = json.loads((logged.results / "summary.json").read_text())
    assert summary["structure"] is None
    assert set(summary["reproducibility"].values()) == {None}
    (note,) = [note["text"] for note in summary["notes"] if note["kind"] == "no_halves"]
    assert "so that BIC chose the model" in note
    assert note in (logged.results / "report.html").read_text()
    selected = json.loads((logged.results / "training_map.json").read_text())["selected_model"]
    scores = pd.read_csv(logged.results / "hmm/model_selection.csv")
    means = scores.groupby(["model", "n_states"])["bic"].mean()
    assert selected["criterion"] == "bic"
    assert (selected["model"], selected["n_states"]) == means.idxmin()


def test_a_change_in_the_table_is_noticed(logged, tmp_path):
    project = logged.copy(tmp_path / "project")
    table = history()
    table.loc[1, "l2"] += 1
    table.to_csv(project.folder / "own" / "history.csv", index=False)
    planned = project.planned()
    assert planned["tables_logged"] == planned["observations"] == planned["report"] == 1
    assert not [rule for rule in planned if rule.startswith("train")]


def test_another_column_asks_for_the_tables_again(logged):
    planned = logged.planned("--config", "tables={metrics: [l2]}")
    assert planned["tables_logged"] == planned["observations"] == 1


def test_what_is_wrong_is_said_before_anything_runs(logged, tmp_path):
    project = logged.copy(tmp_path / "project")
    project.edit("experiments/logged.yaml", "own/history.csv", "own/none.csv")
    done = project.snakemake("--dry-run")
    assert done.returncode != 0
    assert "The config is not valid, so nothing was run." in done.stdout
    assert "own/none.csv: does not exist" in done.stdout, done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("own/history.csv", "'own/{seed}.csv'", "there are no metrics at all; looked for"),
        ("seed: run", "seed: rum", "has no column 'rum' (did you mean 'run'?)"),
        ("path: own/history.csv, ", "", "source: metrics needs tables.path"),
        (
            "  columns: {eval_accuracy: val/acc, train_loss: train/loss, gradient_norm: grad}",
            "  path: own/{seed}.csv",
            "there is no table of seed 0; looked for",
        ),
        (
            "  columns: {eval_accuracy: val/acc, train_loss: train/loss, gradient_norm: grad}",
            "  path: null",
            "observations.log_columns are of the training log, and there is none",
        ),
    ],
)
def test_what_is_wrong_is_refused(old, new, message, logged, tmp_path):
    project = Project(tmp_path)
    for part in ("experiments", "own", "workflow"):
        shutil.copytree(logged.folder / part, tmp_path / part)
    shutil.copy(logged.folder / "config.yaml", tmp_path)
    project.edit("experiments/logged.yaml", old, new)
    assert message in project.refusal()


def test_runs_brought_as_state_paths_may_bring_a_log_too(logged, tmp_path):
    project = logged.copy(tmp_path / "project")
    paths = pd.read_csv(project.folder / "results" / "logged" / "state_paths.csv")
    paths.to_csv(project.folder / "own" / "paths.csv", index=False)
    (project.folder / "experiments" / "paths.yaml").write_text(
        "source: state_paths\n"
        "state_paths: {path: own/paths.csv}\n"
        "training_log: {path: own/history.csv, seed: run, columns: {eval_accuracy: val/acc}}\n"
    )
    project.run("--config", "experiments=[paths]", "--", "results/paths/convergence.csv")
    mine, theirs = (
        pd.read_csv(project.folder / "results" / name / "convergence.csv")
        for name in ("paths", "logged")
    )
    pd.testing.assert_frame_equal(mine, theirs)
