"""Existing runs: files of checkpoints, and state paths."""

import json
import os
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from tests.support.workflow_project import FEW_FIGURES, Project

MINE = """\
description: runs of my own
source: checkpoints
checkpoints: {path: "trained/seed_{seed}/step_{step}.safetensors"}
hmm: {n_states: 1-2, restarts: 2}
reproducibility: {halves: 2}
"""
PATHS = """\
description: state paths of my own
source: state_paths
state_paths: {path: own_paths.csv}
"""
LAST = {"summary": 1, "figures": 1, "report": 1, "compare": 1}
OF_STATE_PATHS = {"semantics": 1, "dissimilarity": 1, "outliers": 1}
# Of three kinds of model, as is recommended; each of two fits leaves out one of the runs.
HALVES = {"half": 2, "structure": 1, "reproducibility": 1}
OF_MODELS = {"hmm": 3 * 2, **HALVES, "map": 1}
FROM_OBSERVATIONS = {"observations": 1, **OF_MODELS, **OF_STATE_PATHS, **LAST}


def tensors_of(seed, index):
    """A small network's tensors: its weights grow, then shrink."""
    rng = np.random.default_rng([seed, index])
    size = 1.2 ** min(index, 6 + seed % 3) * 0.8 ** max(index - 6 - seed % 3, 0)
    return {
        "hidden.weight": (size * rng.normal(1, 0.1, (8, 6))).astype("f4"),
        "hidden.bias": rng.normal(0, 0.1, 8).astype("f4"),
        "output.weight": (size**2 * rng.normal(1, 0.1, (3, 8))).astype("f4"),
    }


def save_run(folder, seed, n=14):
    folder.mkdir(parents=True)
    for index in range(n):
        save_file(tensors_of(seed, index), folder / f"step_{50 * index}.safetensors")


def state_paths(seeds, n=20):
    rows = []
    for seed in seeds:
        route = (0, 1, 2) if seed % 2 else (0, 2)
        cuts = [3 + seed, 12][: len(route) - 1]
        lengths = np.diff([0, *cuts, n])
        rows += [(seed, 10 * i, state) for i, state in enumerate(np.repeat(route, lengths))]
    return pd.DataFrame(rows, columns=["seed", "step", "state"])


def told(page):
    """What a page says, without its tags."""
    text = re.sub(r"<style>.*?</style>|<svg.*?</svg>", "", page.read_text(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text))


def snapshot(folder):
    """Every file below a folder, with its size and time of last change."""
    return {
        path: (path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.rglob("*"))
    }


def needed(planned):
    """The jobs that a plan has of the rules that this test knows."""
    known = {"collect", "metrics", "state_paths", *FROM_OBSERVATIONS, "train_tiny_0"}
    return Counter({rule: n for rule, n in planned.items() if rule in known})


@pytest.fixture(scope="module")
def brought(tmp_path_factory):
    """Two experiments of one's own, in files of one's own, run to their end. Do not change it."""
    project = Project.new(tmp_path_factory.mktemp("brought") / "project")
    own = project.folder / "own"
    own.mkdir()
    (own / "mine.yaml").write_text(MINE)
    (own / "paths.yaml").write_text(PATHS)
    for seed in (1, 2, 3, 10):
        save_run(project.folder / f"trained/seed_{seed}", seed)
    state_paths(range(6)).to_csv(project.folder / "own_paths.csv", index=False)
    config = project.folder / "config.yaml"
    config.write_text(f"experiments: [own/mine.yaml, own/paths.yaml]\n{FEW_FIGURES}")
    before = snapshot(project.folder / "trained")
    project.run()
    assert snapshot(project.folder / "trained") == before
    return project


@pytest.fixture
def mine(brought, tmp_path):
    """A copy of that, to change and run again; times of last change as they were."""
    project = brought.copy(tmp_path / "project")
    # The manifests name the files where they were listed, so that the copy lists them anew.
    (project.folder / "config.yaml").write_text(f"experiments: [own/mine.yaml]\n{FEW_FIGURES}")
    return project


def test_checkpoints_become_a_report(brought):
    results = brought.folder / "results/mine"
    summary = json.loads((results / "summary.json").read_text())
    assert (summary["n_runs"], summary["n_converged"]) == (4, None)
    assert summary["r_squared"] is None
    paths = pd.read_csv(results / "state_paths.csv")
    assert sorted(paths["seed"].unique()) == [1, 2, 3, 10]
    assert paths["step"].max() == 650
    text = told(results / "report.html")
    assert "runs of my own" in text
    assert "convergence is not defined for them" in text
    assert "There are no curves: no log of training has a loss" in text
    assert "training.task" not in text
    assert "experiments=[own/mine.yaml]" in text.replace("&#39;", "'")


def test_halves_of_existing_runs_choose_the_map(brought):
    """By the recommended method: of all kinds of model, the one that is found again."""
    results = brought.folder / "results/mine"
    structure = json.loads((results / "structure.json").read_text())
    tmap = json.loads((results / "training_map.json").read_text())
    selected = tmap["selected_model"]
    assert selected["criterion"] == "found_again"
    chosen = (structure["choice"]["model"], structure["choice"]["n_states"])
    assert (selected["model"], selected["n_states"]) == chosen
    scores = pd.read_csv(results / "hmm/model_selection.csv")
    kinds = {"gaussian", "autoregressive", "vector_autoregressive"}
    assert set(scores["model"]) == kinds
    summary = json.loads((results / "summary.json").read_text())
    assert summary["structure"] == structure["verdict"]
    found = json.loads((results / "reproducibility.json").read_text())
    assert found["scheme"] == "leave_one_out"
    assert summary["reproducibility"] == found["agreement"]
    # One scale for all runs: of the runs' own, only the mean is 1.
    of_runs = pd.read_parquet(results / "observations.parquet").groupby("seed")["l2"]
    means, variances = of_runs.mean(), of_runs.var(ddof=0)
    assert (means.mean(), variances.mean()) == pytest.approx((0, 1), abs=1e-9)
    assert variances.max() > 1.01 * variances.min()


def test_a_second_run_does_nothing(brought):
    assert brought.planned() == Counter()


def test_metrics_are_those_of_the_files(brought):
    from training_maps import checkpoint_metrics

    table = pd.read_parquet(brought.folder / "results/mine/runs/seed-10/metrics.parquet")
    assert table["step"].tolist() == [50 * i for i in range(14)]
    for index in (0, 9):
        tensors = tensors_of(10, index)
        weights = [tensors["hidden.weight"], tensors["output.weight"]]
        expected = checkpoint_metrics(weights, [tensors["hidden.bias"]])
        for column, value in expected.items():
            assert table[column][index] == pytest.approx(value, rel=1e-12), column


@pytest.mark.parametrize("change", ["content", "new", "gone"])
def test_a_changed_checkpoint_reruns_its_run_and_what_follows(brought, change):
    folder = brought.folder / "trained/seed_2"
    file = folder / "step_100.safetensors"
    content, state = file.read_bytes(), file.stat()
    other = folder / "step_700.safetensors"
    try:
        if change == "content":  # of the same size, and older
            save_file(tensors_of(99, 2), file)
            os.utime(file, ns=(0, 0))
        elif change == "new":
            save_file(tensors_of(2, 14), other)
        else:
            file.unlink()
        assert needed(brought.planned()) == Counter(
            {"collect": 1, "metrics": 1, **FROM_OBSERVATIONS}
        )
    finally:
        file.write_bytes(content)
        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
        other.unlink(missing_ok=True)


def test_new_seeds_are_taken_when_they_are_there(brought):
    folder = brought.folder / "trained/seed_4"
    save_run(folder, 4)
    try:
        planned = needed(brought.planned())
        assert planned == Counter({"collect": 1, "metrics": 1, **FROM_OBSERVATIONS})
        only = ["--config", "experiments=[own/mine.yaml]", "seeds=1-3,10"]
        assert needed(brought.planned(*only)) == Counter({"compare": 1})  # of one experiment
    finally:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


def test_a_changed_checkpoint_changes_the_results(mine):
    mine.run("--", "results/mine/observations.parquet")  # listed anew, where the copy is
    table = mine.folder / "results/mine/runs/seed-3/metrics.parquet"
    before = pd.read_parquet(table)
    save_file(tensors_of(99, 2), mine.folder / "trained/seed_3/step_100.safetensors")
    target = ["--", "results/mine/observations.parquet"]
    assert mine.planned(*target) == Counter({"collect": 1, "metrics": 1, "observations": 1})
    mine.run(*target)
    after = pd.read_parquet(table)
    changed = (after != before).any(axis=1)
    assert after["step"][changed].tolist() == [100]


def test_what_is_wrong_is_said_before_any_job(brought):
    done = brought.snakemake("--config", "experiments=[own/mine.yaml]", "seeds=1-5")
    assert done.returncode != 0
    assert "The config is not valid, so nothing was run." in done.stdout
    for message in (
        "experiment mine: there are no checkpoints of seeds 4,5",
        "trained/seed_4/step_*",
        "there is no trained/seed_4: trained has seed_",
    ):
        assert message in done.stdout
    assert "Traceback" not in done.stdout
    assert "rule " not in done.stdout


@pytest.mark.parametrize(
    ("config", "messages"),
    [
        ("checkpoints={path: 'trained/seed_{seed}.pt'}", ["has no {step}"]),
        ("checkpoints={path: 'trained/{seed}/{step}'}", ["no checkpoints at all", "seed_1"]),
        ("training={learning_rate: 1}", ["training.learning_rate and source: "]),
    ],
)
def test_what_is_wrong_is_refused(brought, config, messages):
    told = brought.refusal("experiments=[own/mine.yaml]", config)
    assert all(message in told for message in messages)


def test_torch_files_and_folders_are_read(brought):
    """The same tensors give the same metrics, whatever they are stored in."""
    import torch

    trained = brought.folder / "trained"
    forms = {"torch": "copies/s{seed}/{step}.pt", "folders": "copies/f{seed}/checkpoint-{step}/"}
    for file in (trained / "seed_1").iterdir():
        step = file.stem.removeprefix("step_")
        folder = brought.folder / f"copies/f1/checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(file.read_bytes())
        tensors = {name: torch.from_numpy(array) for name, array in load_file(file).items()}
        (brought.folder / "copies/s1").mkdir(exist_ok=True)
        torch.save({"model": tensors, "step": int(step)}, brought.folder / f"copies/s1/{step}.pt")
    for name, pattern in forms.items():
        own = brought.folder / f"own/{name}.yaml"
        own.write_text(f"source: checkpoints\ncheckpoints: {{path: '{pattern}'}}\n")
    tables = [f"results/{name}/runs/seed-1/metrics.parquet" for name in forms]
    experiments = f"experiments=[{', '.join(f'own/{name}.yaml' for name in forms)}]"
    brought.run("--config", experiments, "--", *tables)
    expected = pd.read_parquet(brought.folder / "results/mine/runs/seed-1/metrics.parquet")
    for table in tables:
        found = pd.read_parquet(brought.folder / table)
        pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_state_paths_become_a_report(brought):
    results = brought.folder / "results/paths"
    pd.testing.assert_frame_equal(
        pd.read_csv(results / "state_paths.csv"), state_paths(range(6)), check_dtype=False
    )
    summary = json.loads((results / "summary.json").read_text())
    assert (summary["n_runs"], summary["n_states"], summary["forking"]) == (6, 3, True)
    assert summary["selection"] is None
    tmap = json.loads((results / "training_map.json").read_text())
    assert [(e["from"], e["to"], e["n_runs"]) for e in tmap["transitions"]] == [
        (0, 1, 3), (0, 2, 3), (1, 2, 3),
    ]  # fmt: skip
    distances = pd.read_csv(results / "dissimilarity.csv")
    assert len(distances) == 15
    assert "means" not in distances
    text = told(results / "report.html")
    assert "no model was fitted here" in text
    assert "Model selection" not in text
    assert "hmm." not in text
    assert not (results / "hmm").exists()
    assert not (results / "observations.parquet").exists()
    table = pd.read_csv(brought.folder / "results/comparison.csv")
    assert table["experiment"].tolist() == ["mine", "paths"]


def test_changed_state_paths_rerun_what_follows(brought):
    table = brought.folder / "own_paths.csv"
    content = table.read_text()
    expected = Counter({"state_paths": 1, **OF_STATE_PATHS, **LAST})
    try:
        table.write_text(content.replace("5,190,2", "5,190,1"))
        assert needed(brought.planned()) == expected
        state_paths(range(7)).to_csv(table, index=False)
        assert needed(brought.planned()) == expected
    finally:
        table.write_text(content)
    only = ["--config", "experiments=[own/paths.yaml]", "seeds=0-3"]
    assert needed(brought.planned(*only)) == expected
    told = brought.refusal("experiments=[own/paths.yaml]", "seeds=4-8")
    assert "no state paths of seeds 6-8; own_paths.csv has seeds 0-5" in told


def test_sources_are_planned_together(brought):
    planned = needed(brought.planned("--config", "experiments=[own/mine.yaml, tiny]", "seeds=1-3"))
    assert planned["collect"] == 0
    assert planned["train_tiny_0"] == 1
    assert planned["metrics"] == 3
    assert planned["hmm"] == 3 * 2 + 3


def test_our_own_checkpoints_may_be_brought_along(project):
    """The same files, found by a pattern, give the same states as in the experiment itself."""
    (project.folder / "again.yaml").write_text(
        "extends: tiny\nmethod: paper\nsource: checkpoints\n"
        "checkpoints: {path: 'results/tiny/runs/seed-{seed}/checkpoints/step-{step}.safetensors'}\n"
        "seeds: 0-5\n"
    )
    project.run("--config", "experiments=[again.yaml]", "--", "results/again/state_paths.csv")
    again = project.folder / "results/again"
    for name in ("state_paths.csv", "hmm/model_selection.csv"):
        assert (again / name).read_bytes() == (project.results / name).read_bytes()
