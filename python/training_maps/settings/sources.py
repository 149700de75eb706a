"""The sections of the config that say where existing runs are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from training_maps.settings.fields import Limits, setting
from training_maps.settings.sections import Numbers, Text, Texts

RepeatedSteps = Literal["stop", "first", "last", "resumed"]
IncompleteSteps = Literal["keep", "drop"]

# What tables of metrics and training logs have both.
_SEED_COLUMN = "the column of seeds, where one table holds all runs; null for seed"
_STEP_COLUMN = (
    "the column of steps; null for whichever of step, _step, global_step and iteration is there"
)


@dataclass(frozen=True)
class CheckpointsSettings:
    """With source: checkpoints, where the runs' checkpoints are."""

    path: str | None = setting(
        None,
        "a checkpoint's path, with {seed} and {step} where their numbers are and * for anything "
        "else within a name; relative to the folder that the workflow runs in",
    )
    state_dict_key: Text | None = setting(
        None,
        "the key under which torch files hold the network's state dict, such as ema or ema.model; "
        "null for whichever of the usual keys is there",
    )
    base: Text | None = setting(
        None,
        "of adapters of LoRA, the checkpoint that they act beside, so that metrics are of both; "
        "auto for the one that adapter_config.json names; null for the adapter alone",
    )


@dataclass(frozen=True)
class HubSettings:
    """With source: hub, which repositories and revisions of the Hugging Face hub have the runs."""

    preset: Literal["multiberts", "pythia", "polypythias"] | None = setting(
        None, "a released suite of runs; it knows repository, revision and steps"
    )
    size: str | None = setting(
        None,
        "with preset pythia or polypythias, the size; such as 160m or 410m-deduped",
        pattern="^[A-Za-z0-9._-]+$",
    )
    repository: str | Sequence[Text] | None = setting(
        None,
        "a checkpoint's repository, with {seed}, {step} and {step_k} (thousands of steps) where "
        "their numbers are; or a list of such patterns, one for each seed",
        minItems=1,
    )
    revision: str | None = setting(
        None,
        "its branch, tag or commit, with the same places; null for the preset's, or main",
    )
    steps: Numbers | None = setting(
        None,
        'the steps, such as "0-20000:1000"; numbers, ranges with strides, or a list of these; null '
        "for all steps of the preset",
        minimum=0,
    )
    files: Texts = setting(
        (),
        "patterns on the names of the checkpoint's file, or of the index of its shards; empty for "
        "model.safetensors, and where there is none pytorch_model.bin",
    )
    endpoint: str | None = setting(None, "address of a mirror of the hub; null for the hub itself")


@dataclass(frozen=True)
class TablesSettings:
    """With source: metrics, the tables of metrics that the runs logged."""

    path: str | None = setting(
        None,
        "a table (CSV, Parquet, JSON lines) with a column of seeds; or, with {seed} where a seed's "
        "number is and * for anything else within a name, a table or a folder of TensorBoard event "
        "files for each seed. Relative to the folder that the workflow runs in",
    )
    seed: str | None = setting(None, _SEED_COLUMN)
    step: str | None = setting(None, _STEP_COLUMN)
    metrics: Texts = setting(
        (),
        "the columns that are metrics; empty means every column of numbers that is no seed, step, "
        "epoch, time of day or column of the training log",
    )
    repeated_steps: RepeatedSteps = setting(
        "stop",
        "where a run has two different values of a column at one step, or its steps go back; stop "
        "with an error, keep the first or the last value, or leave out what a resumed run gave up",
    )
    incomplete_steps: IncompleteSteps = setting(
        "keep",
        "a step at which some metrics have a value and others have none; keep it (they are missing "
        "there), or drop it",
    )


@dataclass(frozen=True)
class TrainingLogSettings:
    """What existing runs logged; there is a log if path or columns is given."""

    path: str | None = setting(
        None,
        "a table or one for each seed, as tables.path; null, with source metrics, for the tables "
        "of metrics",
    )
    seed: str | None = setting(None, _SEED_COLUMN)
    step: str | None = setting(None, _STEP_COLUMN)
    repeated_steps: RepeatedSteps = setting(
        "stop",
        "where a run has two different values of a column at one step, or its steps go back; as "
        "tables.repeated_steps (with path null, what that says)",
    )
    epoch: str | None = setting(None, "the column of epochs; null for epoch, if it is there")
    columns: Mapping[str, Text] = setting(
        {},
        "what this project calls train_loss, eval_loss, train_accuracy and eval_accuracy, and the "
        "names of the table's columns that hold them; a column that already has such a name need "
        "not be said",
    )


@dataclass(frozen=True)
class StatePathsSettings:
    """With source: state_paths, the table of seed, step and state."""

    path: str | None = setting(
        None, "a CSV or Parquet file; relative to the folder that the workflow runs in"
    )


@dataclass(frozen=True)
class ParametersSettings:
    """Patterns on tensor names that overrule which count (docs/parameters.md); * matches dots too.

    'training-maps inspect' shows what counts.
    """

    weights: Texts = setting((), "tensors that are weight matrices")
    biases: Texts = setting((), "tensors that are biases")
    left_out: Texts = setting((), "tensors that do not count; goes before the other two")
    blocks: Mapping[str, Annotated[int, Limits(minimum=1)]] = setting(
        {},
        "by pattern, into how many matrices the rows of those weights fall, such as the heads of a "
        "projection; each is a matrix of its own then",
    )
