"""What config.yaml and the files in experiments/ may say: all sections, put together."""

import dataclasses

import pytest

from training_maps.config.experiment import Experiment, Group, Job, SettingsOfRuns
from training_maps.config.schema import check, fill_defaults, load_schema
from training_maps.settings import sections, sources
from training_maps.settings.fields import fields_schema
from training_maps.training.recipe import Recipe
from training_maps.utils.errors import InputError


def declared(module):
    """The sections that a module declares."""
    found = vars(module).values()
    return {cls for cls in found if dataclasses.is_dataclass(cls) and cls.__name__[0] != "_"}


def test_every_section_is_part_of_an_experiment():
    used = {one.default_factory for one in dataclasses.fields(Experiment)}
    for module in (sections, sources):
        own = {cls for cls in declared(module) if cls.__module__ == module.__name__}
        assert own
        for section in own:  # as it is, or as a part of one
            assert any(issubclass(one, section) for one in used if isinstance(one, type)), section


def test_config_and_experiments_say_the_same_of_runs():
    of_runs = set(fields_schema(SettingsOfRuns)["properties"])
    job, experiment = fields_schema(Job)["properties"], fields_schema(Experiment)["properties"]
    assert set(job) - of_runs == {"experiments", "results", "data_dir"}
    assert set(experiment) - of_runs == {"extends", "description", "compare_with", "beside"}
    for key in of_runs:
        assert job[key] == experiment[key]


def test_training_has_what_is_trained_how_and_in_what_jobs():
    keys = list(fields_schema(Experiment)["properties"]["training"]["properties"])
    recipe = [one.name for one in dataclasses.fields(Recipe)]
    assert keys[:2] == ["task", "task_settings"]
    assert keys[2 : 2 + len(recipe)] == recipe


def test_defaults_are_allowed_and_experiments_must_be_named():
    schema = load_schema()
    for name in ("experiment", "group"):
        part = schema["$defs"][name]
        settings = fill_defaults({"experiments": ["a"]} if name == "group" else {}, part)
        check(settings, part, name)
    with pytest.raises(InputError, match="missing key experiments"):
        check({}, schema, "config")
    with pytest.raises(InputError, match="experiments"):
        check({"experiments": []}, fields_schema(Group), "a group")


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
