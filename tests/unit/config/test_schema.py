"""The schema: what it accepts, how it completes settings, and what it says of mistakes."""

import dataclasses

import pytest

from training_maps.config.schema import check, fill_defaults, load_schema, merge, nearest, typed
from training_maps.training.recipe import Recipe
from training_maps.utils.errors import InputError

SCHEMA = load_schema()


def test_every_key_has_a_type_a_description_and_a_default():
    def walk(schema, path):
        for key, part in schema.get("properties", {}).items():
            where = f"{path}.{key}"
            assert "type" in part or "enum" in part, where
            assert "description" in part, where
            assert "default" in part, where
            if part.get("type") == "object" and key != "task_settings":
                # Names that users choose are no keys of ours; what they stand for is checked.
                assert part["additionalProperties"] is False or part["additionalProperties"], where
                assert part["additionalProperties"] is not True, where
                walk(part, where)

    walk(SCHEMA["$defs"]["experiment"], "experiment")


def test_the_keys_of_a_recipe_are_those_of_training():
    training = SCHEMA["properties"]["training"]["properties"]
    for field in dataclasses.fields(Recipe):
        assert training[field.name]["default"] == field.default


@pytest.mark.parametrize(
    ("text", "value"), [("0.9", 0.9), ("null", None), ("1e-05", 1e-5), ("often", "often")]
)
def test_text_becomes_what_the_schema_asks_for(text, value):
    assert typed({"x": text}, {"properties": {"x": {"type": ["number", "null"]}}}) == {"x": value}
    of_list = {"type": "array", "items": {"type": ["number", "null"]}}
    assert typed({"x": [text, 3]}, {"properties": {"x": of_list}}) == {"x": [value, 3]}


def test_merge_leaves_its_inputs_alone():
    weaker, stronger = {"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}
    assert merge(weaker, stronger) == {"a": {"b": 3, "c": 2}}
    assert weaker == {"a": {"b": 1, "c": 2}}
    assert stronger == {"a": {"b": 3}}


def test_check_accepts_what_is_valid():
    check({"experiments": ["a"]}, SCHEMA, "config")


def test_the_order_of_keys_is_the_schema_s_whoever_says_them():
    schema = SCHEMA["$defs"]["experiment"]
    said = fill_defaults({"seeds": "0-39", "description": "", "hmm": {"restarts": 5}}, schema)
    assert list(said) == list(fill_defaults({}, schema))
    assert list(said["hmm"]) == list(fill_defaults({}, schema)["hmm"])


SMALL = {
    "type": "object",
    "properties": {
        "restarts": {"type": "integer", "minimum": 1, "default": 5},
        "rate": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1, "default": 0.5},
        "kind": {"enum": ["full", "diag"], "default": "full"},
        "names": {"type": "array", "items": {"type": "string"}, "uniqueItems": True, "default": []},
        "inner": {
            "type": "object",
            "properties": {"a": {"type": "integer", "default": 1}, "b": {"type": "boolean"}},
            "additionalProperties": False,
            "default": {},
        },
    },
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"restarts": 0}, "it: restarts: expected integer at least 1, got 0"),
        ({"restarts": True}, "it: restarts: expected integer at least 1, got True"),
        ({"restarts": 2**32}, "it: restarts: expected integer"),
        ({"rate": 0}, "it: rate: expected number or null more than 0 at most 1, got 0"),
        ({"rate": float("nan")}, "it: rate: expected number"),
        ({"rate": float("inf")}, "it: rate: expected number"),
        ({"kind": "round"}, "it: kind: expected one of full, diag, got 'round'"),
        ({"names": ["a", "a"]}, "it: names: expected array without repeats"),
        ({"names": ["a\0b"]}, "it: names.0: expected string"),
        ({"names": ["a\nb\x1b"]}, "it: names.0: expected string"),
        ({"inner": {"c": 1}}, "it: unknown key inner.c; the keys here are a, b"),
        ({"restart": 1}, "it: unknown key restart (did you mean restarts?); the keys here are"),
        ([1], "it: the whole: expected object, got [1]"),
    ],
)
def test_mistakes_are_named_with_their_path(settings, message):
    with pytest.raises(InputError) as caught:
        check(settings, SMALL, "it")
    assert str(caught.value).startswith(message)


def test_all_mistakes_are_told_each_in_a_line():
    with pytest.raises(InputError) as caught:
        check({"x": 1, "y": 2, "restarts": 0, "inner": {"a": "b"}}, SMALL, "it")
    assert len(str(caught.value).splitlines()) == 4
    with pytest.raises(InputError, match=r"^it: missing key b, c$"):
        check({"a": 1}, {"required": ["a", "b", "c"]}, "it")


def test_defaults_come_at_every_level_and_are_nobodys_to_change():
    filled = fill_defaults({"inner": {"b": True}}, SMALL)
    assert filled == {
        "restarts": 5, "rate": 0.5, "kind": "full", "names": [], "inner": {"a": 1, "b": True},
    }  # fmt: skip
    filled["names"].append("x")
    assert fill_defaults({}, SMALL)["names"] == []
    assert fill_defaults({"rate": None}, SMALL)["rate"] is None  # null is said
    assert list(fill_defaults({"other": 1, "kind": "diag"}, SMALL))[-1] == "other"
    check(fill_defaults({}, SMALL), SMALL, "it")


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("3", "integer", 3),
        ("3.0", "integer", "3.0"),
        (3.0, "integer", 3),
        (3.5, "integer", 3.5),
        (3.0, "number", 3.0),
        ("True", "boolean", True),
        ("yes", "boolean", "yes"),
        ("None", ["integer", "null"], None),
        ("3", "string", "3"),
        ("3", ["string", "integer"], "3"),
    ],
)
def test_text_is_read_as_what_is_asked_for(value, kind, expected):
    found = typed({"x": value}, {"properties": {"x": {"type": kind}}})["x"]
    assert found == expected
    assert type(found) is type(expected)


def test_text_is_read_where_any_key_may_be():
    schema = {"additionalProperties": {"type": "integer"}}
    assert typed({"any": "7"}, schema) == {"any": 7}
    assert typed({"any": "7"}, {"additionalProperties": False}) == {"any": "7"}
    assert typed("7", {}) == "7"


def test_what_is_stronger_replaces_all_but_mappings():
    weak = {"a": [1, 2], "b": {"c": 1}, "d": 1}
    strong = {"a": [3], "b": 7, "e": {"f": []}}
    merged = merge(weak, strong)
    assert merged == {"a": [3], "b": 7, "d": 1, "e": {"f": []}}
    merged["e"]["f"].append(1)
    assert strong["e"]["f"] == []


def test_the_nearest_name_is_a_hint_or_nothing():
    assert nearest("restart", ["restarts", "rate"]) == " (did you mean restarts?)"
    assert nearest("zzz", ["restarts"]) == nearest("zzz", []) == ""
