"""What the config may hold: a value is checked against the schema, completed and read by it."""

from __future__ import annotations

import contextlib
import copy
import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import jsonschema

from training_maps.config.experiment import Experiment, Group, Job
from training_maps.settings.fields import fields_schema
from training_maps.utils.errors import InputError, shown

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")  # all but tabs and line ends

# Whole numbers without a limit of their own have this one, so that a slip of the pen ends here and
# not in a loop that never ends, or in a library that counts in 32 bits.
_LARGEST = 2**32 - 1


def load_schema() -> dict[str, Any]:
    """The JSON Schema of config.yaml; below `$defs`, of an `experiment`'s file and a `group`'s."""
    return {
        **fields_schema(Job),
        "$defs": {"experiment": fields_schema(Experiment), "group": fields_schema(Group)},
    }


def check(settings: Any, schema: Mapping[str, Any], where: str) -> None:
    """Validate `settings` against `schema`; the first fault is an `InputError` naming `where`."""
    errors = sorted(
        _Validator(schema).iter_errors(settings), key=lambda error: list(map(str, error.path))
    )
    if errors:
        # Of two missing keys there are two errors, and one line names both.
        lines = dict.fromkeys(_message(error, where) for error in errors)
        raise InputError("\n".join(lines))


def _is_whole(checker: jsonschema.TypeChecker, value: Any) -> bool:
    """Whether a value is a whole number, and not an absurd one."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _is_number(checker: jsonschema.TypeChecker, value: Any) -> bool:
    """Whether a value is a number; NaN is none, and would pass any limit."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) <= _LARGEST


def _is_text(checker: jsonschema.TypeChecker, value: Any) -> bool:
    """Whether a value is a text that can be in a file's name, a command or a page."""
    return isinstance(value, str) and not _CONTROL.search(value)


_Validator: Any = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"integer": _is_whole, "number": _is_number, "string": _is_text}
    ),
)


def fill_defaults(settings: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` with the schema's default wherever a key is missing, at every level.

    Keys are in the schema's order: who says a default, and where, changes nothing that follows.
    """
    filled = copy.deepcopy(dict(settings))
    ordered: dict[str, Any] = {}
    for key, part in schema.get("properties", {}).items():
        if key not in filled and "default" in part:
            filled[key] = copy.deepcopy(part["default"])
        if key in filled and part.get("type") == "object":
            filled[key] = fill_defaults(filled[key], part)
        if key in filled:
            ordered[key] = filled[key]
    return ordered | filled


def merge(weaker: Mapping[str, Any], stronger: Mapping[str, Any]) -> dict[str, Any]:
    """Both, level by level; where they differ, `stronger` counts."""
    merged = copy.deepcopy(dict(weaker))
    for key, value in stronger.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else copy.deepcopy(value)
    return merged


_READERS: dict[str, Callable[[str], Any]] = {
    "integer": int,
    "number": float,
    "boolean": {"true": True, "false": False}.__getitem__,
    "null": {"null": None, "none": None, "~": None, "": None}.__getitem__,
}


def typed(value: Any, schema: Mapping[str, Any]) -> Any:
    """`value` with text made into the number or truth value that `schema` asks for, if it can be.

    Snakemake hands over what `--config hmm='{restarts: 3}'` says as text, below the top level, and
    YAML reads 1e-05 as text.
    """
    if isinstance(value, Mapping):
        parts = schema.get("properties", {})
        others = schema.get("additionalProperties") or {}  # where any key may be
        return {key: typed(part, parts.get(key, others)) for key, part in value.items()}
    if isinstance(value, list):
        return [typed(part, schema.get("items", {})) for part in value]
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if isinstance(value, float) and value.is_integer() and not {"number", "string"} & set(types):
        return int(value) if "integer" in types else value
    if isinstance(value, str) and "string" not in types:
        for kind in types:
            with contextlib.suppress(ValueError, KeyError):
                return _READERS[kind](value.lower())
    return value  # the check says what was expected


def _message(error: jsonschema.ValidationError, where: str) -> str:
    """One fault in one line: where, the key's path, what was expected, what was found."""
    path = ".".join(str(part) for part in error.absolute_path)
    schema: Mapping[str, Any] = cast(Mapping[str, Any], error.schema)
    if error.validator == "additionalProperties":
        known = list(schema.get("properties", {}))
        unknown = sorted(
            str(key) for key in cast(dict[str, Any], error.instance) if key not in known
        )
        return "\n".join(
            f"{where}: unknown key {f'{path}.{key}' if path else key}{nearest(key, known)}; "
            f"the keys here are {', '.join(known)}"
            for key in unknown
        )
    if error.validator == "required":
        missing = [
            key for key in schema["required"] if key not in cast(dict[str, Any], error.instance)
        ]
        return f"{where}: {f'{path}: ' if path else ''}missing key {', '.join(missing)}"
    expected = expectation(schema)
    return f"{where}: {path or 'the whole'}: expected {expected}, got {shown(error.instance)}"


def expectation(schema: Mapping[str, Any]) -> str:
    """What a schema asks for, in words."""
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    types = schema.get("type", "anything")
    words = [" or ".join([types] if isinstance(types, str) else types)]
    limits = {
        "minimum": "at least",
        "exclusiveMinimum": "more than",
        "maximum": "at most",
        "exclusiveMaximum": "less than",
        "minItems": "of length at least",
        "minLength": "of length at least",
        "pattern": "matching",
    }
    words += [f"{word} {schema[key]}" for key, word in limits.items() if key in schema]
    choices = schema.get("items", {}).get("enum")
    if choices:
        words.append("of " + ", ".join(map(str, choices)))
    if schema.get("not") == {"multipleOf": 2}:
        words.append("and odd")
    if schema.get("uniqueItems"):
        words.append("without repeats")
    return " ".join(words)


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the known name nearest to `name`, if one is near."""
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""
