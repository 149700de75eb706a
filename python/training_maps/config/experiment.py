"""What config.yaml and the files in experiments/ may say: the sections, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from training_maps.settings.fields import Limits, setting
from training_maps.settings.sections import (
    EarlyWarningSettings,
    FiguresSettings,
    ForksSettings,
    HmmSettings,
    Method,
    MetricsSettings,
    Numbers,
    ObservationsSettings,
    PhaseTransitionsSettings,
    ReproducibilitySettings,
    SemanticsSettings,
    SensitivitySettings,
    Text,
    TrainingMapSettings,
)
from training_maps.settings.sources import (
    CheckpointsSettings,
    HubSettings,
    ParametersSettings,
    StatePathsSettings,
    TablesSettings,
    TrainingLogSettings,
)
from training_maps.training.recipe import Recipe


@dataclass(frozen=True)
class _WhatIsTrained:
    task: str = setting(
        "sparse_parities", "what is trained; a module of python/training_maps/training/tasks/"
    )
    task_settings: Mapping[str, Any] = setting(
        {}, "the task's own settings; see the fields of its class"
    )


@dataclass(frozen=True)
class _JobsOfTraining:
    seeds_per_job: int = setting(
        40,
        "how many seeds one job trains side by side; seed s belongs to block s // seeds_per_job "
        "(networks that are trained one by one have a job each)",
        minimum=1,
    )
    device: Literal["auto", "cpu", "cuda"] = setting(
        "auto",
        "auto takes a CUDA GPU where there is one, if the task profits from it; cuda asks for one, "
        "and chooses seeds_per_job, metrics_during_training and precision for it where nobody does",
    )
    keep_checkpoints: bool = setting(
        True, "false removes a run's checkpoints once its metrics exist"
    )
    metrics_during_training: bool = setting(
        False, "true computes the metrics while training, from memory, and writes no checkpoints"
    )


@dataclass(frozen=True)
class TrainingSettings(_JobsOfTraining, Recipe, _WhatIsTrained):  # fields: the last class's first
    """What is trained, and how."""


@dataclass(frozen=True)
class SettingsOfRuns:
    """What config.yaml may say of all experiments, and a file in experiments/ of its own."""

    source: Literal["training", "checkpoints", "hub", "metrics", "state_paths"] = setting(
        "training",
        "where the runs come from; they are trained here (training), or exist already, as files of "
        "checkpoints (checkpoints), checkpoints on the Hugging Face hub (hub), tables of metrics "
        "(metrics) or a table of state paths (state_paths); docs/bring_your_own_runs.md",
    )
    seeds: Numbers = setting(
        "0-39",
        'the seeds, one run each; "0-39", "0-9,12", one number or a list of numbers. "all", and '
        "leaving it out, takes every run that is there where source is checkpoints, metrics or "
        "state_paths",
        minimum=0,
    )
    method: Method | None = setting(
        None,
        "what holds where hmm.model, hmm.criterion and observations.scale are not given; paper is "
        "gaussian, bic and run, and recommended is all kinds of model, found_again and pooled. "
        "null is paper for runs that are trained here, and recommended for existing ones",
    )
    training: TrainingSettings = field(default_factory=TrainingSettings)
    checkpoints: CheckpointsSettings = field(default_factory=CheckpointsSettings)
    hub: HubSettings = field(default_factory=HubSettings)
    tables: TablesSettings = field(default_factory=TablesSettings)
    training_log: TrainingLogSettings = field(default_factory=TrainingLogSettings)
    state_paths: StatePathsSettings = field(default_factory=StatePathsSettings)
    parameters: ParametersSettings = field(default_factory=ParametersSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    observations: ObservationsSettings = field(default_factory=ObservationsSettings)
    hmm: HmmSettings = field(default_factory=HmmSettings)
    reproducibility: ReproducibilitySettings = field(default_factory=ReproducibilitySettings)
    training_map: TrainingMapSettings = field(default_factory=TrainingMapSettings)
    forks: ForksSettings = field(default_factory=ForksSettings)
    phase_transitions: PhaseTransitionsSettings = field(default_factory=PhaseTransitionsSettings)
    semantics: SemanticsSettings = field(default_factory=SemanticsSettings)
    sensitivity: SensitivitySettings = field(default_factory=SensitivitySettings)
    early_warning: EarlyWarningSettings = field(default_factory=EarlyWarningSettings)
    figures: FiguresSettings = field(default_factory=FiguresSettings)


@dataclass(frozen=True)
class _OfOneExperiment:
    extends: str | None = setting(
        None,
        "the experiment whose settings hold where this file says nothing; a name, or a path as "
        "seen from this file",
    )
    description: str = setting("", "a line about the experiment, for its report")
    compare_with: str | None = setting(
        None,
        "the experiment that this one is a stabilised or destabilised variant of; if both are run, "
        "the comparison shows their maps side by side",
    )
    beside: str | None = setting(
        None,
        "an experiment that analyses the same runs in another way, such as by the other method; if "
        "both are run, the report shows its map and its colours of the runs beside this one's",
    )


@dataclass(frozen=True)
class Experiment(SettingsOfRuns, _OfOneExperiment):
    """A file of experiments/; what it leaves out has the default given here."""


@dataclass(frozen=True)
class _OfTheJob:
    experiments: Annotated[Sequence[Text] | str, Limits(minItems=1, uniqueItems=True)] = setting(
        [],
        "which settings to run, all in one go; names of files in experiments/, or paths of YAML "
        "files kept elsewhere",
    )
    results: Text = setting("results", "the folder that results are written to")
    data_dir: Text | None = setting(
        None, "the folder of downloaded data sets; null for the user's cache"
    )

    together: ClassVar[dict[str, Any]] = {"required": ["experiments"]}


@dataclass(frozen=True)
class Job(SettingsOfRuns, _OfTheJob):
    """Config.yaml, and what `--config` adds to it."""


@dataclass(frozen=True)
class Group:
    """A file of experiments/ that names several experiments."""

    description: str = setting("", "what they have in common")
    experiments: Annotated[Sequence[Text], Limits(minItems=1, uniqueItems=True)] = setting(
        [], "their names, or paths as seen from this file"
    )
