"""The jobs that train: blocks of seeds, what each is told, and what it leaves."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.project import ROOT
from training_maps.config.jobs import Jobs
from training_maps.config.resolve import prepare
from training_maps.config.schema import load_schema
from training_maps.config.training_jobs import TrainingJobs, checkpoints_to_use

SCHEMA = load_schema()


@pytest.fixture
def training_of(tmp_path):
    """Makes the training jobs of an experiment with these lines below `training`."""

    def make(training, more="seeds: 0-9,25"):
        (tmp_path / "one.yaml").write_text(f"training: {{{training}}}\n{more}\n")
        config = prepare({"experiments": ["one"]}, tmp_path, SCHEMA)
        return TrainingJobs(Jobs.of(config)["one"])

    return make


def test_a_seeds_block_does_not_depend_on_the_other_seeds(training_of):
    training = training_of("task: sparse_parities, seeds_per_job: 4")
    assert training.blocks() == {0: [0, 1, 2, 3], 1: [4, 5, 6, 7], 2: [8, 9], 6: [25]}
    fewer = training_of("task: sparse_parities, seeds_per_job: 4", "seeds: 5-6")
    assert fewer.blocks() == {1: [5, 6]}


def test_networks_one_by_one_have_a_job_each(training_of):
    training = training_of("task: cifar, seeds_per_job: 4", "seeds: 0-2")
    assert training.blocks() == {0: [0], 1: [1], 2: [2]}


def test_a_gpu_is_asked_for_where_it_helps_or_is_wanted(training_of):
    small = training_of("task: sparse_parities")
    assert small.device() == ("auto" if small.task.profits_from_gpu else "cpu")
    large = training_of("task: cifar")
    assert (large.device(), large.gpus()) == ("auto", 1)
    for device, gpus in (("cpu", 0), ("cuda", 1)):
        training = training_of(f"task: sparse_parities, device: {device}")
        assert (training.device(), training.gpus()) == (device, gpus)


def test_data_sets_are_fetched_once_and_files_of_ones_own_are_inputs(training_of, tmp_path):
    assert training_of("task: sparse_parities").data_files() == []
    assert training_of("task: mnist").data_files() == ["<results>/datasets/mnist.json"]
    images, labels = np.zeros((2, 28, 28), np.uint8), np.arange(2)
    path = tmp_path / "digits.npz"
    np.savez(path, train_images=images, train_labels=labels, eval_images=images, eval_labels=labels)
    own = training_of(f"task: mnist, task_settings: {{dataset: {path}}}")
    assert own.data_files() == [str(path)]


def test_what_is_recorded_and_what_is_kept(training_of):
    kept = training_of("task: sparse_parities")
    assert kept.records([3]) == ["<results>/one/runs/seed-3/checkpoints.json"]
    assert kept.passing_records([3]) == []
    assert kept.recording_options() == []
    passing = training_of("task: sparse_parities, keep_checkpoints: false")
    folders = [f"<results>/one/runs/seed-{seed}/checkpoints" for seed in (3, 4)]
    assert passing.passing_records([3, 4]) == folders
    assert checkpoints_to_use(passing.jobs, 4) == folders[1:]
    during = training_of(
        "task: sparse_parities, keep_checkpoints: false, metrics_during_training: true",
        "seeds: 0-9\nmetrics: {columns: [l1, trace]}",
    )
    assert during.records([3]) == ["<results>/one/runs/seed-3/metrics.parquet"]
    assert during.passing_records([3]) == []
    options = during.recording_options()
    assert options[:3] == ["--metrics", "--non-finite", "stop"]
    assert options[options.index("--columns") + 1 :][:2] == ["l1", "trace"]


def test_recipe_and_task_are_told_as_assignments(training_of):
    training = training_of("task: sparse_parities, learning_rate: 0.2, task_settings: {n_bits: 9}")
    recipe = training.recipe()
    assert "learning_rate=0.2" in recipe
    assert not any(one.startswith(("task", "seeds_per_job")) for one in recipe)
    assert "n_bits=9" in training.task_settings()


def test_the_code_is_that_of_the_task_and_of_metrics_where_they_are_made(training_of):
    rust = ROOT / "rust_metrics"
    plain = training_of("task: sparse_parities").code(rust)
    assert plain == training_of("task: sparse_parities, learning_rate: 0.7").code(rust)
    assert plain != training_of("task: modular_addition").code(rust)
    during = training_of("task: sparse_parities, metrics_during_training: true").code(rust)
    assert during.startswith(plain)
    assert during != plain
