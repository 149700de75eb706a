"""Settings as fields: the JSON Schema that is read off a class, and what cannot be a setting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import jsonschema
import pytest

from training_maps.settings.fields import (
    Limits,
    check_fields,
    check_limits,
    defaults_of,
    fields_schema,
    section_schema,
    setting,
)
from training_maps.utils.errors import InputError

Name = Annotated[str, Limits(minLength=1)]


@dataclass(frozen=True)
class Inner:
    """The inner part. More of it."""

    size: int = setting(3, "how large", minimum=1)


@dataclass(frozen=True)
class Outer:
    """All kinds of fields."""

    whole: int = setting(1, "a whole number")
    number: float | None = setting(None, "a number or none", exclusiveMinimum=0)
    flag: bool = setting(False, "yes or no")
    text: Name = setting("x", "a text")
    choice: Literal["a", "b"] | None = setting("a", "one of two, or none")
    names: Annotated[Sequence[Name], Limits(uniqueItems=True)] = setting((), "texts")
    table: Mapping[Name, float] = setting({}, "numbers by name")
    anything: Any = setting(None, "what one likes")
    inner: Inner = field(default_factory=Inner)
    together: ClassVar[dict[str, Any]] = {"required": ["whole"]}


def test_each_type_has_its_schema():
    schema = fields_schema(Outer)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"] == {
        "whole": {"type": "integer", "default": 1, "description": "a whole number"},
        "number": {
            "type": ["number", "null"], "default": None, "description": "a number or none",
            "exclusiveMinimum": 0,
        },
        "flag": {"type": "boolean", "default": False, "description": "yes or no"},
        "text": {"type": "string", "minLength": 1, "default": "x", "description": "a text"},
        "choice": {"enum": ["a", "b", None], "default": "a", "description": "one of two, or none"},
        "names": {
            "type": "array", "items": {"type": "string", "minLength": 1}, "uniqueItems": True,
            "default": [], "description": "texts",
        },
        "table": {
            "type": "object", "propertyNames": {"minLength": 1},
            "additionalProperties": {"type": "number"}, "default": {},
            "description": "numbers by name",
        },
        "anything": {"default": None, "description": "what one likes"},
        "inner": section_schema(Inner),
    }  # fmt: skip
    assert schema["required"] == ["whole"]
    assert schema["additionalProperties"] is False


def test_a_section_is_described_by_the_first_line_of_its_class():
    schema = section_schema(Inner)
    assert schema["description"] == "the inner part. More of it"
    assert schema["default"] == {}
    assert list(schema["properties"]) == ["size"]
    assert schema["properties"]["size"]["minimum"] == 1


def test_defaults_are_those_of_the_fields_and_nobodys_to_change():
    assert defaults_of(Inner) == {"size": 3}
    first = Outer()
    assert dict(first.table) == {}
    first.table["a"] = 1.0  # type: ignore[index]
    assert dict(Outer().table) == {}
    assert defaults_of(Outer)["names"] == []


@pytest.mark.parametrize(
    ("kind", "name"), [(tuple[int, ...], "tuple"), (set, "set"), ("NoSuchType", "NoSuchType")]
)
def test_a_type_that_a_config_cannot_give_is_named(kind, name):
    @dataclass
    class Own:
        """A task of one's own."""

        size: Any = setting(1, "x")

    Own.__annotations__["size"] = kind
    Own.__dataclass_fields__["size"].type = kind
    with pytest.raises(InputError, match=f"setting size of Own has type {name}"):
        fields_schema(Own)


def test_a_field_without_a_default_is_named():
    @dataclass
    class Own:
        """A task of one's own."""

        size: int

    for ask in (fields_schema, defaults_of):
        with pytest.raises(InputError, match="has no default"):
            ask(Own)


@pytest.mark.parametrize(
    ("schema", "fine", "wrong", "words"),
    [
        ({"minimum": 1}, 1, 0, "at least 1"),
        ({"exclusiveMinimum": 0}, 1e-9, 0, "more than 0"),
        ({"minimum": 0, "exclusiveMaximum": 1}, 0, 1, "at least 0 and less than 1"),
        ({"maximum": 1}, 1, 1.5, "at most 1"),
        ({"not": {"multipleOf": 2}}, 3, 4, "odd"),
        ({"enum": ["a", None]}, None, "c", "one of a, got 'c'"),
        ({"items": {"maximum": 1}}, [0, 1], [0, 2], "at most 1, got 2"),
        ({}, -1e9, float("inf"), "a finite number, got inf"),
        ({}, "text", float("nan"), "a finite number, got nan"),
    ],
)
def test_limits_hold(schema: dict[str, Any], fine: Any, wrong: Any, words: str) -> None:
    check_limits("x", schema, fine)
    with pytest.raises(InputError, match=f"^x must be {words}"):
        check_limits("x", schema, wrong)


def test_values_are_checked_by_their_field_s_limits() -> None:
    check_fields(Outer, {"number": None, "choice": "b"})
    with pytest.raises(InputError, match=r"^number must be more than 0, got 0$"):
        check_fields(Outer, {"choice": "b", "number": 0})
