"""Labels on a training map: how large they are, and where they fit without touching anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np


@dataclass(frozen=True)
class Box:
    """A rectangle on paper, in inches."""

    left: float
    bottom: float
    right: float
    top: float

    @classmethod
    def around(cls, centre: Sequence[float] | np.ndarray, width: float, height: float) -> Box:
        """The box of that size around a point."""
        x, y = float(centre[0]), float(centre[1])
        return cls(x - width / 2, y - height / 2, x + width / 2, y + height / 2)

    def touches(self, other: Box, margin: float = 0.0) -> bool:
        """Whether two boxes come closer than `margin`."""
        return (
            self.left < other.right + margin
            and other.left < self.right + margin
            and self.bottom < other.top + margin
            and other.bottom < self.top + margin
        )

    def holds(self, points: np.ndarray) -> int:
        """How many of the points, shape (n, 2), lie inside."""
        x, y = points[:, 0], points[:, 1]
        inside = (x > self.left) & (x < self.right) & (y > self.bottom) & (y < self.top)
        return int(inside.sum())


@cache
def text_size(text: str, points: float, weight: str = "normal") -> tuple[float, float]:
    """Width and height, in inches, of one or more lines of text of that font size."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    font = FontProperties(family="DejaVu Sans", size=points, weight=weight)
    lines = text.split("\n")
    widths = [
        TextToPath().get_text_width_height_descent(line, font, ismath=False)[0] for line in lines
    ]
    return max(widths) / 72, len(lines) * points * 1.2 / 72


def place(
    candidates: Iterable[np.ndarray],
    size: tuple[float, float],
    taken: Sequence[Box],
    lines: Sequence[np.ndarray],
) -> Box | None:
    """The first best place for a label: touching nothing, hiding little of other lines.

    Args:
        candidates: centres to try, the best liked first.
        size: width and height of the label.
        taken: boxes that must stay free.
        lines: points along the lines that should not be hidden, each (n, 2).

    Returns:
        The label's box, or None if every candidate touches something.
    """
    best: tuple[float, Box] | None = None
    for rank, centre in enumerate(candidates):
        box = Box.around(centre, *size)
        if any(box.touches(other, margin=0.01) for other in taken):
            continue
        penalty = rank * 0.15 + sum(box.holds(line) for line in lines)
        if best is None or penalty < best[0]:
            best = (penalty, box)
    return None if best is None else best[1]
