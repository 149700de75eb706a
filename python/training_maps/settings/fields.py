"""Settings as fields of dataclasses: type, default, limits and a line of meaning in one place.

The check of the config, the commands' options and config.yaml's listing are all made from the JSON
Schema that `fields_schema` reads off such a class.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import operator
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from training_maps.utils.errors import InputError, shown

_JSON_TYPES: dict[Any, str] = {
    int: "integer",
    float: "number",
    bool: "boolean",
    str: "string",
    types.NoneType: "null",
}
_LIMITS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "minimum": (operator.ge, "at least {}"),
    "exclusiveMinimum": (operator.gt, "more than {}"),
    "maximum": (operator.le, "at most {}"),
    "exclusiveMaximum": (operator.lt, "less than {}"),
    "not": (lambda value, other: value % other["multipleOf"] != 0, "odd"),
}


class Limits:
    """JSON Schema limits of a type: `Annotated[str, Limits(minLength=1)]` is a text, not empty."""

    def __init__(self, **limits: Any) -> None:
        """Take the limits, as JSON Schema calls them."""
        self.schema = limits


def setting(default: Any, description: str, **limits: Any) -> Any:
    """A setting as a field: its default, what it means, JSON Schema limits (minimum=1, ...)."""
    schema = {"schema": {"description": description, **limits}}
    if isinstance(default, list | dict):
        return dataclasses.field(default_factory=lambda: copy.copy(default), metadata=schema)
    return dataclasses.field(default=default, metadata=schema)


def fields_schema(cls: type) -> dict[str, Any]:
    """A JSON Schema made from the fields of a dataclass that `setting` declares.

    A field may be a dataclass itself: a section. What is true of several fields together is in the
    class's attribute `together`, as JSON Schema.

    Raises:
        InputError: if a field has no default, or a type that a config cannot give.
    """
    try:
        hints = get_type_hints(cls, include_extras=True)
    except Exception:  # a name that is not there at run time: told below, by its field
        hints = {}
    properties = {}
    for field in dataclasses.fields(cls):
        where = f"{cls.__module__}: setting {field.name} of {cls.__name__}"
        kind = hints.get(field.name, field.type)
        if dataclasses.is_dataclass(kind):
            properties[field.name] = section_schema(kind)  # type: ignore[arg-type]
            continue
        properties[field.name] = {
            **_schema_of(kind, where),
            "default": _default(field, where),
            **field.metadata.get("schema", {}),
        }
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        **getattr(cls, "together", {}),
    }


def section_schema(cls: type) -> dict[str, Any]:
    """The schema of a section: a dataclass whose docstring begins with its meaning, in a line."""
    meaning = (cls.__doc__ or "").partition("\n")[0].rstrip(".")
    meaning = meaning[:1].lower() + meaning[1:]
    return {"description": meaning, "default": {}, **fields_schema(cls)}


def defaults_of(cls: type) -> dict[str, Any]:
    """Every field's default, by its name."""
    return {field.name: _default(field, cls.__name__) for field in dataclasses.fields(cls)}


def check_fields(cls: type, values: Mapping[str, Any]) -> None:
    """Refuse values that a field of the dataclass, named by its key, may not have.

    Raises:
        InputError: naming the field, and what is expected.
    """
    properties = fields_schema(cls)["properties"]
    for name, value in values.items():
        check_limits(name, properties[name], value)


def check_limits(name: str, schema: Mapping[str, Any], value: Any) -> None:
    """Refuse a number, or one of a list, that is beyond the limits of its field, or no choice.

    Raises:
        InputError: naming the field by `name`, and what is expected.
    """
    if isinstance(value, list | tuple):
        for one in value:
            check_limits(name, schema.get("items", {}), one)
        return
    if "enum" in schema and value not in schema["enum"]:
        choices = ", ".join(str(choice) for choice in schema["enum"] if choice is not None)
        raise InputError(f"{name} must be one of {choices}, got {shown(value)}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    limits = {key: limit for key, limit in _LIMITS.items() if key in schema}
    fine = all(holds(value, schema[key]) for key, (holds, _) in limits.items())
    if not fine or not math.isfinite(value):
        words = [text.format(schema[key]) for key, (_, text) in limits.items()]
        raise InputError(f"{name} must be {' and '.join(words) or 'a finite number'}, got {value}")


def _default(field: dataclasses.Field[Any], where: str) -> Any:
    if field.default is not dataclasses.MISSING:
        return list(field.default) if isinstance(field.default, tuple) else field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    raise InputError(f"{where} has no default; declare it with setting(default, ...)")


def _schema_of(kind: Any, where: str) -> dict[str, Any]:
    """The JSON Schema of a type."""
    origin, parts = get_origin(kind), get_args(kind)
    if kind in _JSON_TYPES:
        return {"type": _JSON_TYPES[kind]}
    if kind is Any:
        return {}
    if origin is Annotated:
        return _schema_of(parts[0], where) | parts[1].schema
    if origin is Literal:
        return {"enum": list(parts)}
    if origin in (Union, types.UnionType):
        return _any_of([_schema_of(part, where) for part in parts])
    if origin in (list, Sequence):
        return {"type": "array", "items": _schema_of(parts[0], where)}
    if origin in (dict, Mapping):
        values = parts[1]
        names = {k: v for k, v in _schema_of(parts[0], where).items() if k != "type"}
        return {
            "type": "object",
            **({"propertyNames": names} if names else {}),
            "additionalProperties": _schema_of(values, where),
        }
    if dataclasses.is_dataclass(kind):
        return fields_schema(kind)  # type: ignore[arg-type]  # no instance, as mypy fears
    name = kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))
    raise InputError(
        f"{where} has type {name}; a setting is one of int, float, bool, str, None, or "
        "several of them joined by |; a choice (Literal), or a list or a dict of these"
    )


def _any_of(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    """One schema for several types: their limits have other names, so they can stand together."""
    if any("enum" in schema for schema in schemas):
        return {"enum": [value for schema in schemas for value in schema.get("enum", [None])]}
    joined = {key: value for schema in schemas for key, value in schema.items()}
    kinds = [schema["type"] for schema in schemas]
    flat = [kind for each in kinds for kind in ([each] if isinstance(each, str) else each)]
    return {**joined, "type": flat}
