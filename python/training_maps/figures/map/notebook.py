"""How a training map looks in a notebook: the map as SVG, and small tables below it."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from training_maps.figures.map.svg import map_svg
from training_maps.figures.map.table import format_change, shown_transitions
from training_maps.figures.style import state_colour, text_colour_on
from training_maps.utils.wording import percent

# Notebooks have themes of their own, light and dark: colours of text and ground are inherited,
# lines are half transparent, and the map stands on white paper.
_STYLE = """
#{id} table {{ border-collapse: collapse; margin: .5em 1.5em .5em 0; display: inline-table;
  vertical-align: top; font-size: .85em; font-variant-numeric: tabular-nums; }}
#{id} th, #{id} td {{ text-align: left; padding: .15em .8em .15em 0;
  border-bottom: 1px solid #8886; color: inherit; background: none; }}
#{id} td.number {{ text-align: right; }}
#{id} .paper {{ background: #fff; color: #1f2933; border-radius: 6px; padding: .5em;
  overflow-x: auto; }}
#{id} .paper svg {{ display: block; height: auto; width: 100%; margin: 0 auto; }}
#{id} b.state {{ display: inline-block; min-width: 1.6em; border-radius: .8em;
  text-align: center; }}
"""
MOST_ROWS = 20


def html_view(data: Mapping[str, Any], head: str) -> str:
    """The map, its states and its transitions as HTML that runs no script and asks for no file.

    Names of experiments and metrics are escaped. Of more than `MOST_ROWS` transitions, those that
    most runs use are listed.

    Args:
        data: the dict of the map's `training_map.json`.
        head: the map in a line.
    """
    # A notebook may show several maps: the rules of this one must not touch what else is there.
    identity = f"training-map-{zlib.crc32(repr(data).encode()):08x}"
    picture = map_svg(data, label=head)
    shown = shown_transitions(data["transitions"], MOST_ROWS)
    rest = len(data["transitions"]) - len(shown)
    more = f"<p>and {rest} rarer transitions</p>" if rest else ""
    name = f"<b>{escape(data['experiment'])}</b>. " if data["experiment"] else ""
    states = _states_table(data["states"])
    return (
        f'<div id="{identity}"><style>{_STYLE.format(id=identity)}</style>'
        f"<p>{name}{escape(head)}</p>"
        f'<div class="paper">{picture}</div>'
        f"{states}{_transitions_table(shown)}{more}</div>"
    )


def _states_table(states: Sequence[Mapping[str, Any]]) -> str:
    rows = (
        (
            _badge(one["state"]),
            escape(", ".join(feature["metric"] for feature in one["features"][:3])) or "–",
            percent(one["share_of_checkpoints"], 1),
            str(one["n_runs"]),
        )
        for one in states
    )
    return _table(("state", "top features", "checkpoints", "runs"), rows)


def _transitions_table(transitions: Sequence[Mapping[str, Any]]) -> str:
    rows = (
        (
            f"{_badge(edge['from'])} → {_badge(edge['to'])}",
            escape(
                ", ".join(
                    f"{change['metric']} {format_change(change['change'])}"
                    for change in edge["feature_changes"][:3]
                )
            )
            or "–",
            f"{edge['probability']:.3f}",
            str(edge["n_runs"]),
        )
        for edge in transitions
    )
    return _table(("transition", "changes (s.d.)", "probability", "runs"), rows)


def _badge(state: int) -> str:
    colour = state_colour(state)
    return (
        f'<b class="state" style="background:{colour};color:{text_colour_on(colour)}">{state}</b>'
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already; the last two columns are numbers."""
    head = "".join(f"<th>{text}</th>" for text in heads)
    body = "".join(f"<tr>{''.join(_cells(cells))}</tr>" for cells in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cells(cells: Sequence[str]) -> list[str]:
    texts, numbers = cells[:-2], cells[-2:]
    return [f"<td>{cell}</td>" for cell in texts] + [
        f'<td class="number">{cell}</td>' for cell in numbers
    ]
