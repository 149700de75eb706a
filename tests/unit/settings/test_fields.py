"""Settings as fields of dataclasses, and the JSON Schema that is read off them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import pytest

from training_maps.settings.fields import (
    Limits,
    check_fields,
    check_limits,
    defaults_of,
    fields_schema,
    setting,
)
from training_maps.utils.errors import InputError


@dataclass(frozen=True)
class Inner:
    """What lies within.

    More of it.
    """

    n: int = setting(2, "how many", minimum=1)


@dataclass(frozen=True)
class Outer:
    rate: float | None = setting(None, "how fast", exclusiveMinimum=0)
    kind: Literal["a", "b"] | None = setting("a", "which")
    names: Annotated[Sequence[str], Limits(uniqueItems=True)] = setting((), "who")
    by_name: Mapping[Annotated[str, Limits(pattern="^x")], int] = setting({}, "numbers")
    inner: Inner = field(default_factory=Inner)
    together: ClassVar[dict[str, Any]] = {"required": ["rate"]}


def test_the_schema_is_that_of_the_fields() -> None:
    assert fields_schema(Outer) == {
        "type": "object",
        "properties": {
            "rate": {
                "type": ["number", "null"],
                "default": None,
                "description": "how fast",
                "exclusiveMinimum": 0,
            },
            "kind": {"enum": ["a", "b", None], "default": "a", "description": "which"},
            "names": {
                "type": "array",
                "items": {"type": "string"},
                "uniqueItems": True,
                "default": [],
                "description": "who",
            },
            "by_name": {
                "type": "object",
                "propertyNames": {"pattern": "^x"},
                "additionalProperties": {"type": "integer"},
                "default": {},
                "description": "numbers",
            },
            "inner": {
                "description": "what lies within",
                "default": {},
                "type": "object",
                "properties": {
                    "n": {"type": "integer", "default": 2, "description": "how many", "minimum": 1}
                },
                "additionalProperties": False,
            },
        },
        "additionalProperties": False,
        "required": ["rate"],
    }


def test_defaults_are_nobody_s_to_change() -> None:
    Outer().by_name["x"] = 1  # type: ignore[index]
    defaults_of(Outer)["by_name"]["x"] = 1
    assert defaults_of(Outer)["by_name"] == Outer().by_name == {}
    assert defaults_of(Inner) == {"n": 2}


@dataclass
class Bare:
    x: int


@dataclass
class Odd:
    x: bytes = setting(b"", "what no config can give")


@dataclass
class Unknown:
    x: NoSuchType = setting(0, "of a type that is not there")  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (Bare, "setting x of Bare has no default"),
        (Odd, "setting x of Odd has type bytes; a setting is one of int"),
        (Unknown, "setting x of Unknown has type NoSuchType; a setting is one of int"),
    ],
)
def test_what_is_no_setting_is_named(cls: type, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fields_schema(cls)


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
    check_fields(Outer, {"rate": None, "kind": "b"})
    with pytest.raises(InputError, match=r"^rate must be more than 0, got 0$"):
        check_fields(Outer, {"kind": "b", "rate": 0})
