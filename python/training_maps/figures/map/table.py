"""The table below a training map: what changes along each transition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from training_maps.figures.map.labels import text_size
from training_maps.figures.style import FAINT, GREY, INK
from training_maps.figures.symbols import metric_symbol

MOST_ROWS = 30
FEWEST_ROWS = 8
_ROW = 0.145
_HEAD = 0.26
_POINTS = 6.2
_PANEL = 3.15
_GAP = 0.08
# Columns that count runs: all that take a transition, and of the fast and slow ones those that take
# it before any run has converged.
_COUNTS = {"runs": "n_runs", "fast": "n_fast", "slow": "n_slow"}
# Of a table in one panel, margins and all.
TABLE_WIDTH = _PANEL + 0.2


def shown_transitions(
    transitions: Sequence[Mapping[str, Any]], rows: int = MOST_ROWS
) -> list[Mapping[str, Any]]:
    """The most used transitions, at most `rows`, in the order of their states."""
    most = sorted(transitions, key=lambda t: (-t["n_runs"], t["from"], t["to"]))[:rows]
    return sorted(most, key=lambda t: (t["from"], t["to"]))


def format_change(change: float) -> str:
    """A signed number with a true minus: "+0.59", "−0.21"."""
    return f"{change:+.2f}".replace("-", "−")


def gradient_arrow(feature: Mapping[str, Any]) -> str:
    """Whether a larger metric makes its state more probable (↑) or less (↓); "" if not known."""
    gradient = feature.get("posterior_gradient")
    return "" if not gradient else "↑" if gradient > 0 else "↓"


def table_height(
    transitions: Sequence[Mapping[str, Any]], width: float, rows: int = MOST_ROWS
) -> float:
    """Height in inches of the table of at most `rows` transitions; 0 without any."""
    if not transitions or not rows:
        return 0.0
    more = len(transitions) > rows
    rows = _rows_per_panel(min(len(transitions), rows), width)
    return _HEAD + rows * _ROW + (_ROW if more else 0.0) + 0.1


def draw_table(
    ax: Axes, transitions: Sequence[Mapping[str, Any]], width: float, rows: int = MOST_ROWS
) -> None:
    """Draw the table on axes of that width, in one panel or two beside each other."""
    height = table_height(transitions, width, rows)
    ax.set_xlim(0, width)
    ax.set_ylim(-height, 0)
    ax.set_axis_off()
    shown = shown_transitions(transitions, rows)
    per_panel = _rows_per_panel(len(shown), width)
    panels = [shown[i : i + per_panel] for i in range(0, len(shown), per_panel)]
    panel_width = min(_PANEL, width - 0.2)
    left = (width - panel_width * len(panels) - 0.2 * (len(panels) - 1)) / 2
    for i, panel in enumerate(panels):
        _draw_panel(ax, panel, left + i * (panel_width + 0.2), panel_width)
    if len(transitions) > len(shown):
        note = f"and {len(transitions) - len(shown)} rarer transitions (in training_map.json)"
        ax.text(left, -height + 0.12, note, fontsize=_POINTS, color=GREY, va="center")


def _rows_per_panel(n_rows: int, width: float) -> int:
    n_panels = 2 if n_rows > 4 and width >= 2 * _PANEL + 0.4 else 1
    return -(-n_rows // n_panels)


def _draw_panel(ax: Axes, rows: Sequence[Mapping[str, Any]], left: float, width: float) -> None:
    # "transition" may be wide in a font, and "runs" must not touch it.
    counted = [name for name in _COUNTS if all(_COUNTS[name] in row for row in rows)]
    ends = [max(0.8, 0.08 + text_size("transition", _POINTS)[0] + _GAP + _wide("runs"))]
    for name in counted[1:]:
        ends.append(ends[-1] + 0.07 + _wide(name))
    changes_at = ends[-1] + (0.23 if len(counted) == 1 else 0.12)
    columns = [left + 0.04, *(left + end for end in ends), left + changes_at]
    by_gradient = any(gradient_arrow(change) for row in rows for change in row["feature_changes"])
    whose = "metrics that tell it" if by_gradient else "new state's top features"
    changes = f"change of the {whose} (s.d.)"
    if _wide(changes) > width - changes_at:
        changes = "changes of metrics (s.d.)"
    heads = ["transition", *counted, changes]
    aligned = ["left", *["right"] * len(counted), "left"]
    for x, text, align in zip(columns, heads, aligned, strict=True):
        ax.text(x, -0.13, text, fontsize=_POINTS, color=GREY, ha=align, va="center")
    ax.plot([left, left + width], [-0.215, -0.215], color=INK, linewidth=0.6)
    cells = [
        [
            f"{format_change(change['change'])} {metric_symbol(change['metric'])}"
            for change in row["feature_changes"][:3]
        ]
        for row in rows
    ]
    places, points = _fitted_columns(cells, width - changes_at)
    for i, row in enumerate(rows):
        y = -_HEAD - (i + 0.5) * _ROW
        if i:
            ax.plot([left, left + width], [y + _ROW / 2] * 2, color=FAINT, linewidth=0.4)
        weight = "bold" if row.get("differs") else "normal"
        style: dict[str, Any] = {"fontsize": _POINTS, "va": "center", "fontweight": weight}
        ax.text(columns[0], y, f"{row['from']} → {row['to']}", **style)
        for x, name in zip(columns[1:], counted, strict=False):
            ax.text(x, y, str(row[_COUNTS[name]]), ha="right", **style)
        for place, text in zip(places, cells[i], strict=False):
            ax.text(columns[-1] + place, y, text, fontsize=points, va="center", parse_math=False)


def _wide(text: str) -> float:
    return text_size(text, _POINTS)[0]


def _fitted_columns(cells: Sequence[Sequence[str]], room: float) -> tuple[list[float], float]:
    """Where three columns of texts begin, in inches, and the size of type at which they fit."""
    columns = [[row[j] for row in cells if j < len(row)] for j in range(3)]
    widths = [max([text_size(text, _POINTS)[0] for text in texts], default=0) for texts in columns]
    needed = sum(widths) + 2 * _GAP
    scale = min(1.0, room / needed)
    spare = (room - scale * needed) / 3
    places = [0.0]
    for width in widths[:2]:
        places.append(places[-1] + scale * (width + _GAP) + spare)
    return places, _POINTS * scale
