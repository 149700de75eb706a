"""The jobs that train: blocks of seeds, what each is told, and what it leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training_maps.config.arguments import assignments
from training_maps.config.jobs import Jobs
from training_maps.metrics.parameters import Overrides
from training_maps.metrics.plugins import identity
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import Task, make_task
from training_maps.utils.code_digest import stage_digest


class TrainingJobs:
    """The jobs that train the networks of one experiment, one for each block of seeds."""

    def __init__(self, jobs: Jobs) -> None:
        """Of the experiment whose jobs `jobs` are."""
        self.jobs = jobs
        self.settings: Mapping[str, Any] = jobs.settings["training"]
        self.task: Task = make_task(self.settings["task"], self.settings["task_settings"])

    def blocks(self) -> dict[int, list[int]]:
        """Seeds by block: seed s belongs to block s // seeds_per_job, whatever the others.

        Networks that are not trained side by side have a job each.
        """
        seeds_per_job = self.settings["seeds_per_job"] if self.task.side_by_side else 1
        blocks: dict[int, list[int]] = {}
        for seed in self.jobs.settings["seeds"]:
            blocks.setdefault(seed // seeds_per_job, []).append(seed)
        return blocks

    def device(self) -> str:
        """The device that training is told; a GPU is not taken unasked where it would not help."""
        device = str(self.settings["device"])
        return "cpu" if device == "auto" and not self.task.profits_from_gpu else device

    def gpus(self) -> int:
        """How many GPUs a job asks for."""
        return 0 if self.device() == "cpu" else 1

    def data_files(self) -> list[str]:
        """What a job needs on disk: a data set that is fetched once, or a file of one's own."""
        dataset = self.task.dataset
        if dataset is None:
            return []
        return [dataset if dataset.endswith(".npz") else f"<results>/datasets/{dataset}.json"]

    def records(self, seeds: Sequence[int]) -> list[str]:
        """What a job writes of its networks and keeps: manifests of checkpoints, or metrics."""
        if not self.settings["metrics_during_training"]:
            return self.jobs.of_runs("checkpoints.json", seeds)
        layers = self.jobs.of_runs("layers.parquet", seeds) if self.jobs.has_layers() else []
        return [*self.jobs.of_runs("metrics.parquet", seeds), *layers]

    def passing_records(self, seeds: Sequence[int]) -> list[str]:
        """The folders of checkpoints that are removed once they are measured."""
        return [folder for seed in seeds for folder in checkpoints_to_use(self.jobs, seed)]

    def recipe(self) -> list[str]:
        """How networks are trained, as NAME=VALUE."""
        return assignments({name: self.settings[name] for name in vars(Recipe())})

    def task_settings(self) -> list[str]:
        """The task's own settings, as NAME=VALUE."""
        return assignments(self.settings["task_settings"])

    def recording_options(self) -> list[str]:
        """With metrics_during_training: true, the options that ask for it."""
        if not self.settings["metrics_during_training"]:
            return []
        metrics = self.jobs.settings["metrics"]
        return [
            *["--metrics", "--non-finite", metrics["non_finite"]],
            *(["--columns", *metrics["columns"]] if metrics["columns"] else []),
            *(["--layers"] if self.jobs.has_layers() else []),
            *Overrides.from_settings(self.jobs.settings["parameters"]).to_arguments(),
        ]

    def code(self, rust: Path) -> str:
        """A digest of the code behind the training; `rust` is the folder of the Rust sources."""
        digest = stage_digest("train", task=self.settings["task"])
        if self.settings["metrics_during_training"]:
            digest += stage_digest("metrics", rust=rust)
            digest += identity(self.jobs.settings["metrics"]["columns"])
        return digest


def checkpoints_to_use(jobs: Jobs, seed: int) -> list[str]:
    """With keep_checkpoints: false, a run's checkpoint folder, so that it is kept until used."""
    training = jobs.settings["training"]
    if jobs.settings["source"] != "training" or training["keep_checkpoints"]:
        return []
    return [] if training["metrics_during_training"] else jobs.of_runs("checkpoints", [seed])
