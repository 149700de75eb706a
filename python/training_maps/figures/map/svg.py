"""The training map as SVG text, for pages: laid out as in print, with parts to point at.

Colours are CSS variables with the figures' own colours as what they fall back to, so that the
picture is the same in a notebook, and follows the page between light and dark. Each state and each
transition is a group of its own, `data-state="2"` or `data-edge="0-2"`, with a title.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from training_maps.figures.map.labels import Box
from training_maps.figures.map.layout import Edge, Orientation
from training_maps.figures.map.plan import MapDrawing, MapLike, edge_width, map_data, plan_map
from training_maps.figures.style import (
    ACCENT,
    INK,
    PAGE,
    STATE_COLOURS,
    state_colour,
    text_colour_on,
)

# SVG units to the inch: a unit is a pixel at the figure's natural size.
_UNITS = 96.0
_FONT = "'DejaVu Sans',Verdana,system-ui,sans-serif"
_FEATURE_SIZE = 6.2 / 72 * _UNITS
_EDGE_SIZE = 6.0 / 72 * _UNITS
_STATE_SIZE = 8.5 / 72 * _UNITS
_EDGE_COLOUR = "#8793a3"
# How much of its colour a part has that fewer than half of the halves of the runs have.
_FAINT = 0.3
# How far a page may enlarge the picture.
_LARGEST = 1.5
# What a finger or a pointer hits is wider than the line.
_HIT_WIDTH = 13.0


def map_svg(
    tmap: MapLike,
    *,
    delay_states: Sequence[int] = (),
    fork_states: Sequence[int] = (),
    faint: Collection[int | Edge] = (),
    first_visits: Mapping[int, float] | None = None,
    time: str = "step",
    inches: float = PAGE,
    orientation: Orientation | None = None,
    titles: Mapping[str, str] | None = None,
    label: str = "Training map",
) -> str:
    """The map as an `<svg>` element, all of its text escaped.

    Args:
        tmap: the map, or the dict of its `training_map.json`.
        delay_states: states to mark as delays, with a dashed ring.
        fork_states: states to mark as forks, with a diamond.
        faint: states, and transitions by their two states, to draw faint.
        first_visits: time of the first visit of each state, shown under its features.
        time: what `first_visits` counts, "epoch" or "step".
        inches: width to fill; the print figures' `PAGE` by default.
        orientation: "horizontal" or "vertical" (time runs down); by default what fits `inches`.
        titles: what pointing at a part tells: by "state-2" and "transition-0-2".
        label: of the whole picture, for screen readers.
    """
    data = map_data(tmap)
    drawing = plan_map(
        data, inches, orientation, frozenset(delay_states), first_visits or {}, time, faint
    )
    frame = drawing.frame
    size = np.array([frame.right - frame.left, frame.top - frame.bottom]) * _UNITS
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="map" viewBox="0 0 {_n(size[0])} '
        f'{_n(size[1])}" role="img" aria-label="{escape(label)}" '
        f'style="max-width:{_LARGEST * size[0]:.0f}px;font-family:{_FONT}">'
    ]
    titles = titles or {}
    transitions = sorted(data["transitions"], key=lambda t: t["n_runs"])
    parts += [_edge(drawing, transition, titles) for transition in transitions]
    parts += [_edge_label(drawing, (t["from"], t["to"])) for t in transitions]
    states = sorted(state["state"] for state in data["states"])
    parts += [_state_label(drawing, state) for state in states]
    parts += [_state(drawing, state, state in fork_states, titles) for state in states]
    return "".join([*parts, "</svg>"])


def colour_variable(state: int) -> str:
    """A state's colour as a CSS value: the page's variable, or the figures' own colour."""
    return f"var(--s{state % len(STATE_COLOURS)},{state_colour(state)})"


def ink_variable(state: int) -> str:
    """The colour of text on a state's colour, as a CSS value."""
    return f"var(--t{state % len(STATE_COLOURS)},{text_colour_on(state_colour(state))})"


def _n(number: float) -> str:
    """A coordinate with as many digits as a screen shows."""
    return f"{number:.2f}".rstrip("0").rstrip(".")


def _xy(drawing: MapDrawing, points: np.ndarray) -> np.ndarray:
    """Points in inches, upwards, as SVG units, downwards; shape (n, 2)."""
    frame = drawing.frame
    return (np.atleast_2d(points) - [frame.left, frame.top]) * [_UNITS, -_UNITS]


def _title(titles: Mapping[str, str], name: str) -> str:
    return f"<title>{escape(titles[name])}</title>" if name in titles else ""


def _edge(drawing: MapDrawing, transition: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """A transition: its line, its arrow's head, and a wide invisible line to point at."""
    edge: Edge = (transition["from"], transition["to"])
    points = _xy(drawing, drawing.layout.curves[edge])
    body, base, tip = points[:-1], points[-2], points[-1]
    width = edge_width(transition["n_runs"], drawing.n_runs) / 72 * _UNITS
    line = f"M{_pair(body[0])}C" + " ".join(_pair(point) for point in body[1:])
    across = (tip - base)[::-1] * [-1, 1] / np.linalg.norm(tip - base)
    half = 0.03 * _UNITS + 0.75 * width
    head = "L".join(_pair(point) for point in (tip, base + across * half, base - across * half))
    dashes = ""
    if edge[1] < edge[0]:
        dashes = f";stroke-dasharray:{_n(4 + width)} {_n(2.7 + 0.6 * width)}"
    name = f"{edge[0]}-{edge[1]}"
    faint = f";opacity:{_FAINT}" if edge in drawing.faint else ""
    return (
        f'<g class="edge" data-edge="{name}">{_title(titles, f"transition-{name}")}'
        f'<path class="hit" d="{line}" style="fill:none;stroke:transparent;'
        f'stroke-width:{_n(max(_HIT_WIDTH, width))}"/>'
        f'<path class="line" d="{line}" style="fill:none;stroke:var(--edge,{_EDGE_COLOUR});'
        f'stroke-width:{_n(width)}{dashes}{faint}"/>'
        f'<path class="head" d="M{head}Z" style="fill:var(--edge,{_EDGE_COLOUR}){faint}"/></g>'
    )


def _pair(point: np.ndarray) -> str:
    return f"{_n(point[0])} {_n(point[1])}"


def _edge_label(drawing: MapDrawing, edge: Edge) -> str:
    if edge not in drawing.edge_boxes:
        return ""
    text = _lines(drawing, drawing.edge_boxes[edge], drawing.edge_labels[edge], _EDGE_SIZE)
    return f'<g class="edge-label" data-edge="{edge[0]}-{edge[1]}">{text}</g>'


def _state_label(drawing: MapDrawing, state: int) -> str:
    text = ""
    if drawing.labels[state]:
        text = _lines(drawing, drawing.label_boxes[state], drawing.labels[state], _FEATURE_SIZE)
    if state in drawing.word_boxes:
        box = drawing.word_boxes[state]
        style = f"fill:var(--accent,{ACCENT});font-weight:bold"
        text += _lines(drawing, box, "delay", _FEATURE_SIZE, style)
    return f'<g class="state-label" data-state="{state}">{text}</g>'


def _lines(
    drawing: MapDrawing,
    box: Box,
    text: str,
    size: float,
    style: str = f"fill:var(--ink,{INK})",
) -> str:
    """Lines of text in their box, on the page's ground so that a line behind does not disturb."""
    left, top = _xy(drawing, np.array([box.left, box.top]))[0]
    width, height = (box.right - box.left) * _UNITS, (box.top - box.bottom) * _UNITS
    lines = text.split("\n")
    pitch = height / len(lines)
    spans = "".join(
        f'<tspan x="{_n(left + width / 2)}" y="{_n(top + (i + 0.5) * pitch + 0.36 * size)}">'
        f"{escape(line)}</tspan>"
        for i, line in enumerate(lines)
    )
    return (
        f'<rect x="{_n(left)}" y="{_n(top)}" width="{_n(width)}" height="{_n(height)}" '
        f'style="fill:var(--card,#fff);opacity:.82"/>'
        f'<text text-anchor="middle" style="font-size:{_n(size)}px;{style}">{spans}</text>'
    )


def _state(drawing: MapDrawing, state: int, fork: bool, titles: Mapping[str, str]) -> str:
    """A state: its circle with its number, and the marks of a delay and of a fork."""
    x, y = _xy(drawing, drawing.layout.positions[state])[0]
    radius = drawing.layout.radii[state] * _UNITS
    at = f'cx="{_n(x)}" cy="{_n(y)}"'
    parts = [f'<g class="state-node" data-state="{state}">{_title(titles, f"state-{state}")}']
    if state in drawing.delays:
        parts.append(
            f'<circle class="delay-ring" {at} r="{_n(radius + 0.035 * _UNITS)}" '
            f'style="fill:var(--card,#fff);stroke:var(--accent,{ACCENT});stroke-width:1.7;'
            'stroke-dasharray:3.5 1.7"/>'
        )
    stroke, ink, opacity = f"var(--ink,{INK})", ink_variable(state), ""
    if state in drawing.faint:
        # A ground hides the lines behind. Text is in the page's ink, as on the page's own ground.
        parts.append(f'<circle {at} r="{_n(radius)}" style="fill:var(--card,#fff)"/>')
        stroke, ink = f"var(--edge,{_EDGE_COLOUR})", f"var(--ink,{INK})"
        opacity = f"fill-opacity:{_FAINT};"
    parts.append(
        f'<circle class="disc" {at} r="{_n(radius)}" style="fill:{colour_variable(state)};'
        f'{opacity}stroke:{stroke};stroke-width:.8"/>'
        f'<text x="{_n(x)}" y="{_n(y + 0.35 * _STATE_SIZE)}" text-anchor="middle" '
        f'style="font-size:{_n(_STATE_SIZE)}px;font-weight:bold;fill:{ink}">'
        f"{state}</text>"
    )
    if fork:
        dx, dy = x + 0.78 * radius, y - 0.78 * radius
        parts.append(
            f'<path class="fork-mark" d="M{_n(dx)} {_n(dy - 4.6)}l4.6 4.6-4.6 4.6-4.6-4.6z" '
            f'style="fill:var(--card,#fff);stroke:var(--ink,{INK});stroke-width:1.1"/>'
        )
    return "".join([*parts, "</g>"])
