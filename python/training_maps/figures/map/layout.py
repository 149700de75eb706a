"""Where states and transitions of a training map go on paper.

The layout is that of a railway map. Time runs along `u`; each state has a layer, the length of the
longest way to it without returns. Across time, along `v`, lie lanes: the most common route keeps
lane 0 and is straight; other states, and transitions that pass over layers, take the nearest free
lane, transitions forward above and returns below, so that no line runs through a state.

All lengths are inches. Orientation comes last: `u` points right and `v` up, or, for a narrow
column, `u` down and `v` left.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np

Orientation = Literal["horizontal", "vertical"]
Edge = tuple[int, int]

# Angles, in degrees, between lines that leave a state on one side, and the steepest of them.
_PORT_SEPARATION = 17.0
_STEEPEST_PORT = 68.0
# How far a return to the next state bows, in a close and in a wide layout.
_RETURN_BENDS = (-24.0, -48.0)
_WIDE_PITCH = 1.0
_LANE_GAP = 0.10
_BARE_LANE = 0.12
_TIP_GAP = 0.015


@dataclass(frozen=True)
class Extent:
    """Room that a state needs across time: above its centre and below, labels included."""

    above: float
    below: float


@dataclass
class MapLayout:
    """Positions (x, y) of states and curves of transitions, in inches.

    Attributes:
        orientation: whether time runs right or down.
        pitch: distance between two layers.
        positions: centre of each state.
        radii: radius of each state.
        curves: corners of each transition's cubic Bezier pieces, shape (1 + 3 * n_pieces, 2); the
            last point is the tip of its arrow.
        flats: for a transition with a lane of its own, the straight middle part, (2, 2).
        lanes: lane of each state and of each transition that has one.
        layers: layer of each state.
    """

    orientation: Orientation
    pitch: float
    positions: dict[int, np.ndarray]
    radii: dict[int, float]
    curves: dict[Edge, np.ndarray] = field(default_factory=dict)
    flats: dict[Edge, np.ndarray] = field(default_factory=dict)
    lanes: dict[Any, int] = field(default_factory=dict)
    layers: dict[int, int] = field(default_factory=dict)


def assign_layers(states: Sequence[int], edges: Sequence[Edge], starts: set[int]) -> dict[int, int]:
    """Layer of each state: the longest way to it over transitions to higher states.

    A state that is only reached by returns shares the layer of the state before it.
    """
    layers: dict[int, int] = {}
    previous = 0
    for state in sorted(states):
        before = [layers[j] + 1 for j, k in edges if k == state and j < state]
        layers[state] = max(before) if before else (0 if state in starts else previous)
        previous = layers[state]
    return layers


def trunk_of(path: Sequence[int], layers: Mapping[int, int]) -> list[int]:
    """The most common path without its returns: each state higher than all before it.

    So is its layer, which that of a state that follows a return need not be.
    """
    trunk: list[int] = []
    for state in path:
        if not trunk or (state > trunk[-1] and layers[state] > layers[trunk[-1]]):
            trunk.append(state)
    return trunk


def assign_lanes(
    layers: Mapping[int, int], weights: Mapping[Edge, int], trunk: Sequence[int]
) -> dict[Any, int]:
    """Lane of each state, and of each transition that passes over at least one layer.

    Args:
        layers: layer of each state.
        weights: number of runs that use each transition.
        trunk: states of lane 0.
    """
    taken: dict[int, list[tuple[float, float]]] = {}
    lanes: dict[Any, int] = {}

    def take(item: Any, low: float, high: float, candidates: Sequence[int]) -> None:
        for lane in candidates:
            if all(high < other[0] or other[1] < low for other in taken.get(lane, ())):
                taken.setdefault(lane, []).append((low, high))
                lanes[item] = lane
                return
        raise AssertionError("there are more lanes than states and transitions")

    limit = len(layers) + len(weights) + 1
    up, down = list(range(1, limit)), list(range(-1, -limit, -1))
    both = [lane for pair in zip(up, down, strict=True) for lane in pair]
    for state in trunk:
        take(state, layers[state], layers[state], [0])
    for edge in pairwise(trunk):
        if edge in weights and layers[edge[1]] - layers[edge[0]] > 1:
            take(edge, layers[edge[0]] + 0.7, layers[edge[1]] - 0.7, [0])
    for state in sorted(set(layers) - set(trunk)):
        before = {j: n for (j, k), n in weights.items() if k == state and lanes.get(j)}
        near = [lanes[max(before, key=lambda j: before[j])]] if before else []
        take(state, layers[state], layers[state], [*near, *both])
    passing = [e for e in weights if e not in lanes and abs(layers[e[1]] - layers[e[0]]) > 1]
    for edge in sorted(passing, key=lambda e: (abs(layers[e[1]] - layers[e[0]]), -weights[e], e)):
        low, high = sorted((layers[edge[0]], layers[edge[1]]))
        ends = lanes[edge[0]] + lanes[edge[1]]
        below = ends < 0 if edge[1] > edge[0] else ends <= 0
        take(edge, low + 0.7, high - 0.7, down if below else up)
    return lanes


def lay_out(
    weights: Mapping[Edge, int],
    paths: Sequence[Sequence[int]],
    radii: Mapping[int, float],
    extents: Mapping[int, Extent],
    pitch: float,
    orientation: Orientation,
    head_length: Callable[[int], float],
) -> MapLayout:
    """Lay out a training map.

    Args:
        weights: number of runs that use each transition, by (from, to).
        paths: the routes that runs take, the most common first.
        radii: radius of each state, inches.
        extents: room each state needs across time, inches.
        pitch: distance between layers along time, inches.
        orientation: "horizontal" or "vertical" (time runs down).
        head_length: length of an arrow's head, inches, by the number of runs.
    """
    states = sorted(radii)
    layers = assign_layers(states, list(weights), {path[0] for path in paths})
    lanes = assign_lanes(layers, weights, trunk_of(paths[0], layers))
    offsets = _lane_offsets(lanes, extents)
    centres = {s: np.array([layers[s] * pitch, offsets[lanes[s]]]) for s in states}
    ports = _ports(weights, layers, lanes, offsets, centres, pitch)
    layout = MapLayout(orientation, pitch, {}, dict(radii), lanes=lanes, layers=layers)
    turn = np.eye(2) if orientation == "horizontal" else np.array([[0.0, -1.0], [-1.0, 0.0]])
    layout.positions = {s: centre @ turn for s, centre in centres.items()}
    for edge, runs in weights.items():
        j, k = edge
        start = _on_circle(centres[j], radii[j] + _TIP_GAP, ports[edge, "from"])
        tip = _on_circle(centres[k], radii[k] + _TIP_GAP, ports[edge, "to"])
        into = _on_circle(tip, head_length(runs), ports[edge, "to"])
        flat = None
        if edge in lanes:
            sign = 1 if layers[k] > layers[j] else -1
            v = offsets[lanes[edge]]
            near = (layers[j] + sign) * pitch - sign * 0.24 * pitch
            far = (layers[k] - sign) * pitch + sign * 0.24 * pitch
            flat = np.array([[near, v], [far, v]])
            layout.flats[edge] = flat @ turn
        curve = _curve(start, ports[edge, "from"], into, ports[edge, "to"], flat, pitch)
        layout.curves[edge] = np.vstack([curve, tip]) @ turn
    return layout


def _lane_offsets(lanes: Mapping[Any, int], extents: Mapping[int, Extent]) -> dict[int, float]:
    """Position of each lane across time, so that what lies in neighbouring lanes does not touch."""
    above: dict[int, float] = {0: 0.0}
    below: dict[int, float] = {0: 0.0}
    for item, lane in lanes.items():
        extent = Extent(_BARE_LANE, _BARE_LANE) if isinstance(item, tuple) else extents[item]
        above[lane] = max(above.get(lane, 0.0), extent.above)
        below[lane] = max(below.get(lane, 0.0), extent.below)
    offsets = {0: 0.0}
    for lane in range(1, max(above) + 1):
        offsets[lane] = offsets[lane - 1] + above[lane - 1] + below[lane] + _LANE_GAP
    for lane in range(-1, min(above) - 1, -1):
        offsets[lane] = offsets[lane + 1] - below[lane + 1] - above[lane] - _LANE_GAP
    return offsets


def _ports(
    weights: Mapping[Edge, int],
    layers: Mapping[int, int],
    lanes: Mapping[Any, int],
    offsets: Mapping[int, float],
    centres: Mapping[int, np.ndarray],
    pitch: float,
) -> dict[tuple[Edge, str], float]:
    """Direction, in degrees from `u`, in which each transition leaves and enters its states."""
    wanted: dict[tuple[int, int], list[tuple[float, tuple[Edge, str]]]] = {}
    for edge in weights:
        for end, state, other in (("from", *edge), ("to", edge[1], edge[0])):
            ahead = layers[other] >= layers[state]
            v = offsets[lanes[edge]] if edge in lanes else centres[other][1]
            rise = v - centres[state][1]
            angle = math.degrees(math.atan2(rise, 0.75 * pitch))
            if layers[other] == layers[state]:
                angle = math.copysign(40.0, rise)
            elif abs(rise) < 1e-9 and edge[1] < edge[0]:
                angle = _RETURN_BENDS[int(pitch >= _WIDE_PITCH)]
            side = 1 if ahead else -1
            wanted.setdefault((state, side), []).append((angle, (edge, end)))
    ports = {}
    for (_, side), ends in wanted.items():
        ends.sort()
        angles = _spread(np.array([angle for angle, _ in ends]))
        for angle, (_, key) in zip(angles, ends, strict=True):
            ports[key] = float(angle) if side > 0 else 180.0 - float(angle)
    return ports


def _spread(angles: np.ndarray) -> np.ndarray:
    """Sorted angles, moved apart as little as needed, none steeper than the limit."""
    from scipy.optimize import isotonic_regression

    separation = min(_PORT_SEPARATION, 2 * _STEEPEST_PORT / max(len(angles) - 1, 1))
    steps = separation * np.arange(len(angles))
    # What is left of the angles beside their due distances must not fall, and clipped it is still
    # the nearest that keeps between the limits.
    rest = isotonic_regression(angles - steps).x
    return np.clip(rest, -_STEEPEST_PORT, _STEEPEST_PORT - steps[-1]) + steps


def _on_circle(centre: np.ndarray, radius: float, degrees: float) -> np.ndarray:
    angle = math.radians(degrees)
    return centre + radius * np.array([math.cos(angle), math.sin(angle)])


def _curve(
    start: np.ndarray,
    leaving: float,
    end: np.ndarray,
    entering: float,
    flat: np.ndarray | None,
    pitch: float,
) -> np.ndarray:
    """Bezier corners from `start` to `end`, by way of the straight part `flat` if there is one."""
    origin = np.zeros(2)
    if flat is None:
        reach = 0.42 * float(np.linalg.norm(end - start))
        first = start + _on_circle(origin, reach, leaving)
        last = end + _on_circle(origin, reach, entering)
        return np.array([start, first, last, end])
    sign = np.sign(flat[1, 0] - flat[0, 0]) or np.sign(end[0] - start[0])
    along = np.array([sign * 0.3 * pitch, 0.0])
    reach = 0.3 * pitch
    return np.array(
        [
            start,
            start + _on_circle(origin, reach, leaving),
            flat[0] - along,
            flat[0],
            flat[0] + (flat[1] - flat[0]) / 3,
            flat[0] + (flat[1] - flat[0]) * 2 / 3,
            flat[1],
            flat[1] + along,
            end + _on_circle(origin, reach, entering),
            end,
        ]
    )


def sample(curve: np.ndarray, n: int = 24) -> np.ndarray:
    """Points along cubic Bezier pieces, shape (n_points, 2); `curve` has 1 + 3 * n_pieces rows."""
    t = np.linspace(0, 1, n)[:, None]
    pieces = []
    for i in range(0, len(curve) - 1, 3):
        a, b, c, d = curve[i : i + 4]
        pieces.append(
            (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d
        )
    return np.vstack(pieces)
