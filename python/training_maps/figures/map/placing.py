"""Where the labels of a map go: near what they name, over no line, no arrow's head and no state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training_maps.figures.map.labels import Box, place
from training_maps.figures.map.layout import Edge, MapLayout, sample

# Of a label from the circle that it names, and from a line that it stands beside, in inches.
_FROM_STATE = 0.045
_FROM_LINE = 0.035
# Where along a line its label may stand, the best first.
_SHARES = (0.5, 0.44, 0.56, 0.38, 0.62, 0.32, 0.68, 0.26, 0.74, 0.2, 0.8)
_POINTS = 150


@dataclass(frozen=True)
class Obstacles:
    """What labels must leave free.

    Attributes:
        lines: points along each transition's line, (n, 2), inches.
        heads: points of each transition's head, (n, 2).
        halves: half of the width of each line, inches.
        discs: the box around each state's circle.
    """

    lines: Mapping[Edge, np.ndarray]
    heads: Mapping[Edge, np.ndarray]
    halves: Mapping[Edge, float]
    discs: Mapping[int, Box]

    @classmethod
    def of(cls, layout: MapLayout, widths: Mapping[Edge, float]) -> Obstacles:
        """Those of a layout, with the widths of its lines in points."""
        return cls(
            {edge: sample(curve[:-1], _POINTS) for edge, curve in layout.curves.items()},
            {edge: _head(curve, widths[edge]) for edge, curve in layout.curves.items()},
            {edge: widths[edge] / 72 / 2 for edge in layout.curves},
            {s: Box.around(layout.positions[s], 2 * r, 2 * r) for s, r in layout.radii.items()},
        )

    def covered_by(self, box: Box, own: Edge | None = None) -> list[Edge]:
        """The transitions whose line or head a label in that box would hide, in part.

        A label may stand on the line of its own transition, and not on its head.
        """
        return [
            edge
            for edge in self.lines
            if (edge != own and _grown(box, self.halves[edge]).holds(self.lines[edge]))
            or box.holds(self.heads[edge])
        ]


def _head(curve: np.ndarray, width: float) -> np.ndarray:
    """Points along an arrow's head and both of its sides."""
    base, tip = curve[-2], curve[-1]
    across = (tip - base)[::-1] * [-1, 1] / np.linalg.norm(tip - base)
    half = 0.03 + 0.75 * width / 72
    share = np.linspace(0, 1, 9)[:, None]
    middle = base + share * (tip - base)
    side = across * half * (1 - share)
    return np.vstack([middle, middle + side, middle - side])


def _grown(box: Box, by: float) -> Box:
    return Box(box.left - by, box.bottom - by, box.right + by, box.top + by)


def clear_place(
    candidates: Iterable[np.ndarray],
    size: tuple[float, float],
    taken: Sequence[Box],
    obstacles: Obstacles,
    own: Edge | None = None,
) -> Box | None:
    """The first place where a label touches no other and hides no line and no head; or None."""
    for centre in candidates:
        box = Box.around(centre, *size)
        if any(box.touches(other, margin=0.01) for other in taken):
            continue
        if not obstacles.covered_by(box, own):
            return box
    return None


def state_place(
    layout: MapLayout,
    state: int,
    size: tuple[float, float],
    taken: Sequence[Box],
    obstacles: Obstacles,
) -> Box:
    """Where a state's label stands: near its circle, where that is clear; else where least is hid.

    Args:
        layout: the map's.
        state: the state.
        size: width and height of the label, inches.
        taken: boxes that must stay free, and other circles.
        obstacles: lines and heads.
    """
    places = _around(layout, state, size)
    found = clear_place(places, size, taken, obstacles)
    if found is None:
        found = place(places, size, taken, list(obstacles.lines.values()))
    return found or Box.around(places[0], *size)


def word_place(
    layout: MapLayout,
    state: int,
    first: np.ndarray,
    size: tuple[float, float],
    taken: Sequence[Box],
    obstacles: Obstacles,
) -> Box:
    """Where a word about a state stands: at its first place, or else around the circle."""
    centre, radius = layout.positions[state], layout.radii[state]
    angles = np.radians([90, 60, 120, 30, 150, 0, 180, -30, 210, -60, 240, -90])
    ring = np.column_stack([np.cos(angles), np.sin(angles)])
    places = [first]
    for gap in (0.055, 0.12, 0.2, 0.3):
        places += [centre + one * (radius + gap + np.array(size) / 2) for one in ring]
    return clear_place(places, size, taken, obstacles) or Box.around(first, *size)


def _around(layout: MapLayout, state: int, size: tuple[float, float]) -> list[np.ndarray]:
    """Centres of labels around a circle: below first, or to the right where time runs down."""
    centre, radius = layout.positions[state], layout.radii[state]
    width, height = size
    down = np.array([0.0, -1.0]) * (radius + _FROM_STATE + height / 2)
    right = np.array([1.0, 0.0]) * (radius + _FROM_STATE + width / 2)
    aside = np.array([0.5 * width, 0.0])
    step = np.array([0.0, -0.07])
    if layout.orientation == "vertical":
        lifts = [np.array([0.0, share * height]) for share in (0, 0.35, -0.35, 0.8, -0.8)]
        near = [side * right + lift for side in (1, -1) for lift in lifts]
        far = [one + np.sign(one[0]) * np.array([0.08 * k, 0]) for k in range(1, 7) for one in near]
        return [centre + one for one in (*near, *far)]
    below = [down, down + 0.6 * aside, down - 0.6 * aside, down + aside, down - aside]
    lower = [one + k * step for k in range(1, 7) for one in below[:3]]
    above = [one * [1, -1] for one in (*below, *lower[:9])]
    far = [one + k * aside for k in (1.5, -1.5, 2, -2) for one in (*lower[::3], *above[::5])]
    return [centre + one for one in (*below, *lower[:6], *above, *lower[6:], *far)]


def edge_places(layout: MapLayout, edge: Edge, size: tuple[float, float]) -> list[np.ndarray]:
    """Centres of an edge's label: beside the line, or else on it, or else on the other side.

    The middle of its straight part is first. What returns bows to the other side than what goes
    forward, and has its label there: so no label is taken for the other one's.
    """
    line = sample(layout.curves[edge][:-1], _POINTS)
    lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    at = np.array(_SHARES) * lengths[-1]
    on = list(np.column_stack([np.interp(at, lengths, line[:, i]) for i in range(2)]))
    if edge in layout.flats:
        start, end = layout.flats[edge]
        on = [*(start + (end - start) * share for share in (0.5, 0.3, 0.7, 0.1, 0.9)), *on]
    across = np.array([0.0, 1.0] if layout.orientation == "horizontal" else [-1.0, 0.0])
    away = (np.array(size) / 2 + _FROM_LINE) * across
    sides = (-1, 1) if edge[1] < edge[0] else (1, -1)
    near, far = ([place + by * side * away for by in (1, 1.4) for place in on] for side in sides)
    return [*near, *on, *far]
