"""Writes what is made of the settings' declarations: config.yaml's listing of every key.

Run:  python -m tools.config_listing --write   (without --write it says whether all is up to date)

It stands between two lines that say so; what is outside of these is written by hand. The docs show
config.yaml itself (docs/configuration.md).
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from training_maps.config.experiment import SettingsOfRuns
from training_maps.config.schema import expectation
from training_maps.settings.fields import fields_schema

ROOT = Path(__file__).parents[1]
#: The files with a part that is made here, and that part's first and last line.
PLACES = {
    "config.yaml": ("# ---- every key, with its default ----", "# ---- end of all keys ----"),
}
_COMMENT_AT = 32  # the column of comments in config.yaml, where what is set is not longer
_WIDTH = 110
#: Limits that a comment tells; that a count is no less than 0 or 1, it does not.
_LIMITS = {"exclusiveMinimum", "maximum", "exclusiveMaximum"}


def listing() -> str:
    """Every key that config.yaml may set for all experiments, commented out, with its default."""
    blocks = []
    for name, schema in fields_schema(SettingsOfRuns)["properties"].items():
        if "properties" in schema:
            lines = [*_commented(f"# {name}:", schema["description"])]
            for key, part in schema["properties"].items():
                lines += _commented(f"#   {key}: {_yaml(part['default'])}", _meaning(part))
        else:
            lines = [*_commented(f"# {name}: {_yaml(schema['default'])}", _meaning(schema))]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _commented(setting: str, meaning: str) -> Iterator[str]:
    """A setting with its meaning in a comment beside it, in as many lines as that takes."""
    start = max(_COMMENT_AT, len(setting) + 2)
    first = f"{setting:<{start}}# "
    after = f"#{'':<{_COMMENT_AT - 1}}# "
    yield from textwrap.wrap(
        meaning,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=after,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _meaning(schema: Mapping[str, Any]) -> str:
    """What a key means, with its choices or limits, where these do not go without saying."""
    meaning = str(schema["description"])
    choices = [str(choice) for choice in schema.get("enum", ()) if choice is not None]
    if not all(choice in meaning for choice in choices):
        return f"{meaning}: {', '.join(choices)}"
    return f"{meaning} ({expectation(schema)})" if _LIMITS & schema.keys() else meaning


def _yaml(value: Any) -> str:
    """A value as one writes it in config.yaml."""
    return (
        yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("\n...\n").strip()
    )


def with_part(text: str, part: str, first: str, last: str) -> str:
    """The text with `part` between its lines `first` and `last`."""
    before, found, rest = text.partition(f"{first}\n")
    _, end, after = rest.partition(f"{last}\n")
    if not (found and end):
        raise ValueError(f"expected the lines {first!r} and {last!r}")
    return f"{before}{first}\n\n{part}\n\n{last}\n{after}"


def files() -> dict[Path, str]:
    """Each of `PLACES` as it should be."""
    parts = {"config.yaml": listing()}
    return {
        ROOT / name: with_part((ROOT / name).read_text(encoding="utf-8"), parts[name], *lines)
        for name, lines in PLACES.items()
    }


def main() -> int:
    """Write the file, or say that it is not up to date."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write the file")
    write = parser.parse_args().write
    old = {path: text for path, text in files().items() if path.read_text("utf-8") != text}
    for path, text in old.items():
        if write:
            path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT), "written" if write else "is not up to date")
    return 1 if old and not write else 0


if __name__ == "__main__":
    sys.exit(main())
