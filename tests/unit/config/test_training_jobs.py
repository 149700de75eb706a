"""The jobs that train: blocks of seeds, what each is told, and what it leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.project import ROOT
from tests.unit.config.test_jobs import PATHS, jobs_of, jobs_of_file
from training_maps.config.training_jobs import TrainingJobs, checkpoints_to_use


def training(seeds: list[int], **settings: Any) -> TrainingJobs:
    return TrainingJobs(jobs_of(seeds=seeds, training=settings))


def test_a_seed_s_block_does_not_depend_on_the_other_seeds() -> None:
    assert training([0, 9, 10, 25], seeds_per_job=10).blocks() == {0: [0, 9], 1: [10], 2: [25]}
    assert training([25], seeds_per_job=10).blocks() == {2: [25]}


def test_networks_that_are_trained_one_by_one_have_a_job_each() -> None:
    jobs = training([0, 1], seeds_per_job=10)
    jobs.task = type("Alone", (type(jobs.task),), {"side_by_side": False})()
    assert jobs.blocks() == {0: [0], 1: [1]}


@pytest.mark.parametrize(
    ("device", "profits", "told", "gpus"),
    [("auto", False, "cpu", 0), ("auto", True, "auto", 1), ("cuda", False, "cuda", 1)],
)
def test_a_gpu_is_not_taken_unasked_where_it_would_not_help(
    device: str, profits: bool, told: str, gpus: int
) -> None:
    jobs = training([0], device=device)
    jobs.task = type("Other", (type(jobs.task),), {"profits_from_gpu": profits})()
    assert (jobs.device(), jobs.gpus()) == (told, gpus)


def test_checkpoints_or_metrics_are_recorded() -> None:
    kept = training([4])
    assert kept.records([4]) == ["<results>/x/runs/seed-4/checkpoints.json"]
    assert kept.recording_options() == kept.passing_records([4]) == []
    passing = training([4], keep_checkpoints=False)
    assert passing.passing_records([4]) == ["<results>/x/runs/seed-4/checkpoints"]
    measured = training([4], keep_checkpoints=False, metrics_during_training=True)
    run = "<results>/x/runs/seed-4"
    assert measured.records([4]) == [f"{run}/metrics.parquet", f"{run}/layers.parquet"]
    assert "--layers" in measured.recording_options()
    assert measured.passing_records([4]) == []
    assert measured.recording_options()[:3] == ["--metrics", "--non-finite", "stop"]
    assert measured.code(ROOT / "rust_metrics") != kept.code(ROOT / "rust_metrics")


def test_only_runs_that_are_trained_have_checkpoints_to_remove(tmp_path: Path) -> None:
    passing = jobs_of(training={"keep_checkpoints": False})
    assert checkpoints_to_use(passing, 1) == ["<results>/x/runs/seed-1/checkpoints"]
    assert checkpoints_to_use(jobs_of_file(tmp_path, PATHS), 1) == []


def test_the_recipe_is_told_as_it_is_in_the_settings() -> None:
    told = training([0], learning_rate=0.25, optimizer="adamw").recipe()
    assert {"learning_rate=0.25", "optimizer=adamw"} <= set(told)


def test_a_data_set_is_fetched_once_for_all_or_is_one_s_own() -> None:
    jobs = training([0])
    assert jobs.data_files() == []
    for dataset, file in (("mnist", "<results>/datasets/mnist.json"), ("a/b.npz", "a/b.npz")):
        jobs.task = type("Images", (type(jobs.task),), {"dataset": dataset})()
        assert jobs.data_files() == [file]
