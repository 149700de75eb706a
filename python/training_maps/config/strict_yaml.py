"""Reading YAML that others wrote: nothing in it can run, nothing is silently overruled.

On top of PyYAML's safe loader, which makes numbers, texts, lists and mappings and no other objects:
a key that is there twice is an error (PyYAML takes the last), and so is an alias, by which a few
lines become a document of any size.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from training_maps.utils.errors import InputError

# Both load the same; the one in C is ten times as fast, and not in every build of PyYAML.
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST = 50  # the loader in C crashes at thousands of levels


def read_yaml(path: str | os.PathLike[str]) -> Any:
    """What a YAML file holds.

    Raises:
        InputError: naming the file, and the line where there is one, if it cannot be read, is empty
            or no valid YAML, has a key twice, or uses aliases.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: is no text in UTF-8 (byte {error.start} is not); save it as plain text"
        ) from error
    try:
        _check_shape(text, str(path))
        _check_keys(yaml.compose(text, Loader=_Loader), str(path))
        return yaml.load(text, Loader=_Loader)
    except InputError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: 2024-13-45
        raise InputError(f"{path}: is not valid YAML ({_reason(error)})") from error


def _check_shape(text: str, path: str) -> None:
    """Refuse aliases and what is nested too deep, before anything is built."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent):
            raise InputError(
                f"{path}, line {line}: aliases (&name and *name) are not used here; write it out"
            )
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise InputError(f"{path}, line {line}: is nested more than {_DEEPEST} levels deep")


def _check_keys(root: yaml.Node | None, path: str) -> None:
    """Refuse keys that are there twice, and a file of nothing."""
    if root is None:
        raise InputError(f"{path}: is empty")
    left = [root]
    while left:
        node = left.pop()
        if isinstance(node, yaml.SequenceNode):
            left += node.value
        elif isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                left += [key, value]
                line = key.start_mark.line + 1
                if isinstance(key, yaml.ScalarNode) and key.value in lines:
                    raise InputError(
                        f"{path}, line {line}: {key.value} is there twice, in line "
                        f"{lines[key.value]} too"
                    )
                if isinstance(key, yaml.ScalarNode):
                    lines[key.value] = line


def _reason(error: Exception) -> str:
    """What is wrong and in which line, if the error tells, in one line."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return " ".join(str(error).split())
    return f"line {mark.line + 1}: {getattr(error, 'problem', None) or 'cannot be read'}"
