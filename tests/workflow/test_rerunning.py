"""A change reruns the stages that depend on it and nothing else."""

from collections import Counter

import pandas as pd
import pytest

SEMANTICS = {"semantics": 1, "forks": 1, "reproducibility": 1, "calibrate": 1}
# One leaves out one of the six runs, and so does the other.
HALVES = {"half": 2, "structure": 1, "reproducibility": 1}
OF_PATHS = {"dissimilarity": 1, "outliers": 1, "phase_transitions": 1, "layer_changes": 1}
MAP = {"map": 1, **OF_PATHS, **SEMANTICS}
LAST = {"summary": 1, "figures": 1, "report": 1, "compare": 1}
FROM_HMM = {"hmm": 3, **MAP, **LAST}
FROM_OBSERVATIONS = {"observations": 1, **HALVES, **FROM_HMM}
TRAINING = {"train_tiny_0": 1, "train_tiny_1": 1}
EVERYTHING = {**TRAINING, "metrics": 6, **FROM_OBSERVATIONS}


def test_a_second_run_does_nothing(finished):
    assert finished[0].planned() == Counter()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("hmm={restarts: 3}", FROM_HMM),
        ("hmm={n_states: 1-4}", {**FROM_HMM, **HALVES, "hmm": 1}),
        ("hmm={criterion: aic}", {**MAP, **LAST}),
        ("hmm={criterion: found_again}", {**HALVES, **MAP, **LAST}),  # which hold out no run then
        ("hmm={resplits: 1}", {**FROM_HMM, **HALVES}),
        ("hmm={model: [gaussian, autoregressive]}", {**FROM_HMM, **HALVES}),
        ("method=paper", {"report": 1}),  # which lists the settings; a trained run has this method
        ("method=recommended", {**FROM_OBSERVATIONS, "hmm": 9}),  # of three kinds of model
        ("reproducibility={halves: 3}", {**HALVES, "half": 1, **LAST}),
        ("reproducibility={restarts: 1}", {**HALVES, **LAST}),
        ("reproducibility={halves: 0}", LAST),
        ("semantics={threshold: 0.8}", {**SEMANTICS, **LAST}),
        ("observations={validation_share: 0.4}", FROM_OBSERVATIONS),
        ("metrics={layers: false}", LAST),  # the metrics stay as they are
        ("training={learning_rate: 0.05}", EVERYTHING),
        ("training={task_settings: {hidden_size: 8}}", EVERYTHING),
    ],
)
def test_a_changed_setting_reruns_from_the_stage_that_uses_it(finished, config, expected):
    assert finished[0].planned("--config", config) == Counter(expected)


def test_added_seeds_train_only_the_new_block(finished):
    planned = finished[0].planned("--config", "seeds=0-7")
    assert planned == Counter({"train_tiny_2": 1, "metrics": 2, **FROM_OBSERVATIONS})


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("training/models/mlp", EVERYTHING),  # which only the task's module imports
        ("analysis/semantics/regression", {**SEMANTICS, **LAST}),
    ],
)
def test_a_changed_line_of_code_reruns_its_stage_and_what_follows(project, module, expected):
    """tests/unit/utils/test_code_digest.py has what counts for which stage, and its rule."""
    path = f"python/training_maps/{module}.py"
    source = project.folder / path
    source.write_text(source.read_text() + "\n\n# a comment changes nothing\n")
    assert project.planned() == Counter()
    source.write_text(source.read_text() + "\n_changed = 1\n")
    planned = project.planned()
    assert all(planned[rule] == n for rule, n in expected.items()), planned
    assert not set(planned) - set(expected) - set(LAST), planned


def test_a_changed_line_of_rust_reruns_the_stage_that_uses_it(project):
    source = project.folder / "rust_metrics/core/src/lib.rs"
    source.write_text(source.read_text() + "\nconst CHANGED: u8 = 1;\n")
    assert project.planned() == Counter({"metrics": 6, **FROM_OBSERVATIONS})


def test_deleted_metrics_are_computed_again_from_the_checkpoints(project):
    file = project.results / "runs/seed-3/metrics.parquet"
    before = pd.read_parquet(file)
    file.unlink()
    assert project.planned() == Counter({"metrics": 1, **FROM_OBSERVATIONS})
    project.run("--", "results/tiny/runs/seed-3/metrics.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(file), before, check_exact=True)


def test_without_checkpoints_deleted_metrics_mean_training_the_block_again(project):
    training = "training={keep_checkpoints: false, length: 20, seeds_per_job: 2}"
    config = ["--config", training, "seeds=0-3", "results=elsewhere", "--"]
    targets = [f"elsewhere/tiny/runs/seed-{seed}/metrics.parquet" for seed in range(4)]
    runs = project.folder / "elsewhere/tiny/runs"
    project.run(*config, *targets)
    assert not list(runs.glob("*/checkpoints"))
    before = pd.read_parquet(runs / "seed-3/metrics.parquet")
    assert project.planned(*config, *targets) == Counter()
    (runs / "seed-3/metrics.parquet").unlink()
    planned = project.planned(*config, *targets)
    assert (planned["train_tiny_0"], planned["train_tiny_1"]) == (0, 1)
    assert planned["metrics"] >= 1
    project.run(*config, *targets)
    assert not list(runs.glob("*/checkpoints"))
    again = pd.read_parquet(runs / "seed-3/metrics.parquet")
    pd.testing.assert_frame_equal(again, before, check_exact=True)


def test_several_experiments_are_one_plan(finished):
    planned = finished[0].planned("--config", "experiments=[tiny, sparse_parities]")
    assert planned["train_sparse_parities_0"] == 1
    assert planned["metrics"] == 40
    assert planned["hmm"] == 8
    assert planned["compare"] == 1
    assert not any(rule.startswith("train_tiny") for rule in planned)
