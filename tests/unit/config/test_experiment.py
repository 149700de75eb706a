"""The sections put together: what config.yaml, an experiment's file and a group's file may say."""

from __future__ import annotations

import dataclasses

import pytest

from training_maps.config.experiment import Experiment, Group, Job, SettingsOfRuns, TrainingSettings
from training_maps.config.schema import check
from training_maps.settings.fields import fields_schema
from training_maps.training.recipe import Recipe
from training_maps.utils.errors import InputError


def keys(cls: type) -> list[str]:
    return [field.name for field in dataclasses.fields(cls)]


def test_config_and_experiments_share_all_settings_of_runs() -> None:
    shared = fields_schema(SettingsOfRuns)["properties"]
    for cls in (Job, Experiment):
        assert shared.items() <= fields_schema(cls)["properties"].items()
    assert set(keys(Job)) - set(shared) == {"experiments", "results", "data_dir"}
    assert set(keys(Experiment)) - set(shared) == {"extends", "description", "compare_with"}


def test_what_is_trained_comes_first_then_the_recipe_then_the_jobs() -> None:
    names = keys(TrainingSettings)
    assert names[: len(keys(Recipe)) + 2] == ["task", "task_settings", *keys(Recipe)]
    jobs = {"seeds_per_job", "device", "keep_checkpoints", "metrics_during_training"}
    assert set(names[len(keys(Recipe)) + 2 :]) == jobs


@pytest.mark.parametrize(
    ("cls", "said", "message"),
    [
        (Job, {}, "experiments"),
        (Job, {"experiments": []}, "experiments"),
        (Job, {"experiments": ["a", "a"]}, "experiments"),
        (Job, {"experiments": ["a"], "results": ""}, "results"),
        (Job, {"experiments": ["a"], "extends": "b"}, "extends"),
        (Experiment, {"results": "elsewhere"}, "results"),
        (Experiment, {"source": "nowhere"}, "source"),
        (Experiment, {"training": {"seeds_per_job": 0}}, "seeds_per_job"),
        (Group, {"experiments": [""]}, "experiments"),
    ],
)
def test_what_is_refused(cls: type, said: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check(said, fields_schema(cls), "config")
