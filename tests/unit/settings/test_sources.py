"""The sections that say where runs are: each key has words, and a default it allows."""

import dataclasses
import inspect

import pytest

from training_maps.config.schema import check, fill_defaults
from training_maps.settings import sources
from training_maps.settings.fields import defaults_of, fields_schema
from training_maps.utils.errors import InputError

SECTIONS = [
    cls
    for _, cls in inspect.getmembers(sources, dataclasses.is_dataclass)
    if cls.__module__ == sources.__name__
]


@pytest.mark.parametrize("section", SECTIONS)
def test_by_default_nothing_is_brought_along(section: type) -> None:
    schema = fields_schema(section)
    check(fill_defaults({}, schema), schema, "config")
    policies = {"repeated_steps": "stop", "incomplete_steps": "keep"}
    for key, value in defaults_of(section).items():
        assert value == policies[key] if key in policies else not value, key


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        (sources.HubSettings, {"preset": "bert"}, "preset"),
        (sources.HubSettings, {"size": "../160m"}, "size"),
        (sources.HubSettings, {"repository": []}, "repository"),
        (sources.CheckpointsSettings, {"state_dict_key": ""}, "state_dict_key"),
        (sources.TablesSettings, {"repeated_steps": "mean"}, "repeated_steps"),
        (sources.TrainingLogSettings, {"columns": {"eval_loss": ""}}, "eval_loss"),
        (sources.ParametersSettings, {"blocks": {"qkv": 0}}, "qkv"),
        (sources.StatePathsSettings, {"file": "x.csv"}, "file"),
    ],
)
def test_what_a_section_refuses(section: type, values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check(values, fields_schema(section), "config")
