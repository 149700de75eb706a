"""Every section, of analyses and of runs: each key has words, and a default that it allows."""

import dataclasses
import inspect

import jsonschema
import pytest

from training_maps.config.schema import check
from training_maps.settings import sections, sources
from training_maps.settings.fields import defaults_of, fields_schema, section_schema
from training_maps.utils.errors import InputError

SECTIONS = [
    cls
    for module in (sections, sources)
    for _, cls in inspect.getmembers(module, dataclasses.is_dataclass)
    if cls.__module__ == module.__name__
]


def test_there_are_some():
    assert len(SECTIONS) > 12


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


def test_a_model_s_settings_are_those_of_its_choice_and_of_its_fits() -> None:
    whole = fields_schema(sections.HmmSettings)["properties"]
    parts = (sections.SelectionSettings, sections.FitSettings)
    assert whole == {k: v for part in parts for k, v in fields_schema(part)["properties"].items()}


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        (sections.SemanticsSettings, {"column": "eval_accuracy", "threshold": 1.0}, "threshold"),
        (sections.SemanticsSettings, {"outcome": "table"}, "table"),
        (sections.SensitivitySettings, {"subsets": {"a b": ["l1"]}}, "subsets"),
        (sections.SensitivitySettings, {"hmm": {"six": {"n_state": 6}}}, "n_state"),
        (sections.HmmSettings, {"model": ["gaussian", "linear"]}, "model"),
        (sections.PhaseTransitionsSettings, {"window": 4}, "window"),
        (sections.EarlyWarningSettings, {"fractions": [0.5, 0.5]}, "fractions"),
    ],
)
def test_what_a_section_refuses(section: type, values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check(values, fields_schema(section), "config")


def test_losses_may_have_any_threshold() -> None:
    values = {"column": "eval_loss", "threshold": 3.5}
    check(values, fields_schema(sections.SemanticsSettings), "config")
