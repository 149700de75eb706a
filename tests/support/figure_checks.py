"""What any figure must fulfil on paper: its texts lie inside it, apart from each other, legible."""

from __future__ import annotations

from itertools import combinations
from typing import Any
from unittest import mock

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

# Smaller type, in points, is not legible in print.
SMALLEST_TYPE = 4.0


def faults(figure: Figure) -> list[str]:
    """Texts of a figure that overlap, leave the paper or are too small; nothing if it is fine."""
    canvas = FigureCanvasAgg(figure)
    boxes = [
        # Of an annotation the words alone, without its arrow.
        (text.get_text(), Text.get_window_extent(text, canvas.get_renderer()).extents, text)
        for text in painted(canvas)
    ]
    page = figure.bbox.extents
    found = []
    for words, box, text in boxes:
        if (box[:2] < page[:2] - 1).any() or (box[2:] > page[2:] + 1).any():
            found.append(f"{words!r} leaves the paper")
        if text.get_fontsize() < SMALLEST_TYPE:
            found.append(f"{words!r} is set in {text.get_fontsize():.1f} points")
    for (words, a, _), (other, b, _) in combinations(boxes, 2):
        if _overlap(a, b):
            found.append(f"{words!r} and {other!r} overlap")
    return found


def painted(canvas: FigureCanvasAgg) -> list[Text]:
    """The texts that are painted: axes that are off, and ticks out of view, keep theirs unseen."""
    seen: dict[Text, None] = {}
    paint = Text.draw

    def watch(text: Text, *arguments: Any, **options: Any) -> None:
        if text.get_visible() and text.get_text().strip():
            seen[text] = None
        paint(text, *arguments, **options)

    with mock.patch.object(Text, "draw", watch):
        canvas.draw()
    return list(seen)


def _overlap(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two extents, (left, bottom, right, top), share more than a pixel's edge."""
    return bool((a[:2] < b[2:] - 0.75).all() and (b[:2] < a[2:] - 0.75).all())


def drawn(figure: Figure) -> Figure:
    """The figure, once drawn: its texts and axes have their places."""
    FigureCanvasAgg(figure).draw()
    return figure


def texts(figure: Figure) -> list[str]:
    """All texts of a figure, in no order."""
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def bounds(figure: Figure, prefix: str) -> dict[str, np.ndarray]:
    """Extents in pixels, (left, bottom, right, top), of the artists with that gid."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    artists = figure.findobj(lambda artist: (artist.get_gid() or "").startswith(prefix))
    return {
        str(artist.get_gid()): (
            Text.get_window_extent(artist, renderer)
            if isinstance(artist, Text)
            else artist.get_window_extent(renderer)
        ).extents
        for artist in artists
    }


def by_gid(figure: Figure, gid: str) -> Any:
    """The one artist with that gid."""
    (artist,) = figure.findobj(lambda artist: artist.get_gid() == gid)
    return artist
