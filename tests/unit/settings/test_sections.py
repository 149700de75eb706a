"""The sections that say how runs are analysed: each key has words, and a default it allows."""

import dataclasses
import inspect

import jsonschema
import pytest

from training_maps.settings import sections
from training_maps.settings.fields import defaults_of, section_schema

SECTIONS = [
    cls
    for _, cls in inspect.getmembers(sections, dataclasses.is_dataclass)
    if cls.__module__ == sections.__name__
]


def test_there_are_some():
    assert len(SECTIONS) > 3


@pytest.mark.parametrize("section", SECTIONS, ids=lambda cls: cls.__name__)
def test_every_key_has_words_and_a_default_that_is_allowed(section):
    schema = section_schema(section)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["description"]
    for name, part in schema["properties"].items():
        assert part["description"], name
        assert not part["description"].endswith("."), name
    jsonschema.validate(defaults_of(section), schema)
    jsonschema.validate({}, schema)  # nothing has to be said
    with pytest.raises(jsonschema.ValidationError, match="Additional properties"):
        jsonschema.validate({"no_such_key": 1}, schema)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda cls: cls.__name__)
def test_settings_are_not_changed_once_they_are_made(section):
    name = dataclasses.fields(section)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(section(), name, 1)
