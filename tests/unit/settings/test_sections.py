"""The sections that say how runs are analysed: each one's defaults are within its own limits."""

from __future__ import annotations

import dataclasses

import pytest

from training_maps.config.schema import check, fill_defaults
from training_maps.settings import sections
from training_maps.settings.fields import check_fields, defaults_of, fields_schema
from training_maps.utils.errors import InputError

SECTIONS = [
    value
    for name, value in vars(sections).items()
    if dataclasses.is_dataclass(value) and name.endswith("Settings")
]


@pytest.mark.parametrize("section", SECTIONS)
def test_defaults_are_valid_and_every_key_is_described(section: type) -> None:
    schema = fields_schema(section)
    check_fields(section, defaults_of(section))
    check(fill_defaults({}, schema), schema, "config")
    assert all(part["description"] for part in schema["properties"].values())


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
