"""Recipes, and when checkpoints are taken."""

import dataclasses

import pytest

from training_maps.training.recipe import Recipe, checkpoint_steps
from training_maps.training.tasks import fields_schema


@pytest.mark.parametrize(
    ("unit", "length", "every", "expected"),
    [
        ("epoch", 10, 5, [0, 160, 320]),
        ("epoch", 11, 5, [0, 160, 320, 352]),
        ("step", 50, 20, [0, 20, 40, 50]),
        ("step", 3, 20, [0, 3]),
    ],
)
def test_checkpoints_are_taken_at_the_start_every_so_often_and_at_the_end(
    unit, length, every, expected
):
    recipe = Recipe(length=length, checkpoint_every=every, unit=unit)
    assert checkpoint_steps(recipe, steps_per_epoch=32) == expected


def test_every_field_is_a_setting_with_words_and_a_default():
    schema = fields_schema(Recipe)["properties"]
    assert list(schema) == [field.name for field in dataclasses.fields(Recipe)]
    for field in dataclasses.fields(Recipe):
        assert schema[field.name]["default"] == getattr(Recipe(), field.name)
        assert schema[field.name]["description"]


def test_a_recipe_is_not_changed_once_it_is_made():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe().length = 3
