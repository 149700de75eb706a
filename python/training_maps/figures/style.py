"""One look for all figures: sizes, fonts, and a colour for each state that is the same everywhere.

Sizes are for print at their natural size: `COLUMN` is the width of a column of a two-column paper,
`PAGE` that of its text block, `TALLEST` its height. Each colour of a state stands out from
white (WCAG contrast of 3 or more), so that a thin line in it is seen. They stay apart under the
three kinds of colour blindness (Machado et al. 2009): any two of the first eight by a CAM02-UCS
distance of 12 or more, any two of all twelve by 9.5. No figure relies on colour alone.
"""

from __future__ import annotations

import functools
import re
import string
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, ParamSpec, TypeVar

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

Width = Literal["column", "page"]
WIDTHS: tuple[Width, ...] = ("column", "page")
P = ParamSpec("P")
R = TypeVar("R")

# Inches: 85 mm, 175 mm, and 235 mm for the height of a page's text block.
COLUMN = 85 / 25.4
PAGE = 175 / 25.4
TALLEST = 235 / 25.4
# More dots, or bars and pieces of a line, than this are drawn as an image inside the SVG or PDF.
MOST_VECTOR_DOTS, MOST_VECTOR_BARS = 1000, 3000
INK = "#1f2933"
GREY = "#6b7280"
FAINT = "#d8dce2"
ACCENT = "#c2410c"

STATE_COLOURS = (
    "#33228a",
    "#ba880a",
    "#008b4f",
    "#b54d13",
    "#1470f9",
    "#670800",
    "#8f1e53",
    "#9e86d4",
    "#8110c8",
    "#755f7b",
    "#818181",
    "#460007",
)

STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "figure.facecolor": "white",
    "figure.dpi": 100,
    "savefig.dpi": 300,
}


def styled(function: Callable[P, R]) -> Callable[P, R]:
    """Draw inside the project's style and leave the caller's own settings as they were."""

    @functools.wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        with mpl.rc_context(STYLE):  # type: ignore[arg-type]
            drawn = function(*args, **kwargs)
            if isinstance(drawn, Figure):
                _group_thousands(drawn)
            return drawn

    return inside


class Thousands(ScalarFormatter):
    """Ticks as matplotlib writes them, but for thousands: "1,500", as everywhere else."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The text of a tick."""
        told: str = super().__call__(x, pos)
        return re.sub(r"(?<![.\d])\d{4,}", lambda digits: f"{int(digits[0]):,}", told, count=1)


def _group_thousands(figure: Figure) -> None:
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            if type(axis.get_major_formatter()) is ScalarFormatter:
                axis.set_major_formatter(Thousands())


def new_figure(width: Width, height: float) -> Figure:
    """An empty figure of that width and of `height` inches, laid out by matplotlib."""
    inches = PAGE if width == "page" else COLUMN
    return Figure(figsize=(inches, height), layout="constrained")


def state_colour(state: int) -> str:
    """Colour of a state; beyond twelve states the colours repeat."""
    return STATE_COLOURS[state % len(STATE_COLOURS)]


def text_colour_on(colour: str) -> str:
    """Black or white, whichever reads better on `colour` (WCAG contrast)."""
    luminance = relative_luminance(colour)
    return "#ffffff" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 else "#000000"


def ink_on_state(state: int) -> str:
    """Black or white on a state's colour, a hair off, so that a page in the dark can tell whose."""
    i = state % len(STATE_COLOURS)
    is_white = text_colour_on(STATE_COLOURS[i]) == "#ffffff"
    return f"#fffe{0xFF - i:02x}" if is_white else f"#0001{i:02x}"


def relative_luminance(colour: str) -> float:
    """Relative luminance of an sRGB colour, 0 (black) to 1 (white)."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in mpl.colors.to_rgb(colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def say(axes: Axes, sentence: str) -> None:
    """Write why there is nothing to draw, in place of the drawing."""
    axes.set_axis_off()
    axes.text(
        0.5,
        0.5,
        sentence,
        ha="center",
        va="center",
        wrap=True,
        fontsize=8,
        color=GREY,
        transform=axes.transAxes,
    )


def figure_that_says(sentence: str, width: Width, height: float = 1.2) -> Figure:
    """A figure of nothing but a sentence: why there is nothing to draw."""
    figure = new_figure(width, height)
    say(figure.subplots(), sentence)
    return figure


def legend_below(figure: Figure, axes: Iterable[Axes], columns: int) -> None:
    """Name what is labelled in the axes, each label once, in `columns` where the figure is wide."""
    named = {
        label: handle
        for ax in axes
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    if named:
        figure.legend(
            named.values(),
            named.keys(),
            loc="outside lower center",
            ncols=columns if figure.get_figwidth() > (COLUMN + PAGE) / 2 else 1,
        )


def letter_panels(axes: Iterable[Axes]) -> None:
    """Letter the panels of a figure, "a" on, left of their upper corners; a single one has none."""
    shown = list(axes)
    for letter, ax in zip(string.ascii_lowercase, shown, strict=False):
        if len(shown) > 1:
            ax.annotate(
                letter,
                (0, 1),
                (-6, 9),
                xycoords="axes fraction",
                textcoords="offset points",
                ha="right",
                va="baseline",
                fontsize=9,
                fontweight="bold",
                annotation_clip=False,
                gid=f"panel-{letter}",
            )


def mark_outliers(
    ax: Axes, positions: Sequence[float], size: float = 5.0, label: str | None = "outlier run"
) -> None:
    """Triangles right of the axes, at the rows of the outlier runs.

    Args:
        ax: axes whose rows are runs.
        positions: where those rows are, on the vertical axis.
        size: of a triangle, in points.
        label: for a legend.
    """
    if positions:
        ax.plot(
            [1.012] * len(positions),
            positions,
            "<",
            transform=ax.get_yaxis_transform(),
            color=ACCENT,
            markersize=size,
            linestyle="none",
            clip_on=False,
            label=label,
            gid="outliers",
            zorder=6,
        )


def state_legend(figure: Figure, states: list[int]) -> None:
    """A row of coloured squares, one a state, above the figure."""
    from matplotlib.patches import Patch

    # Twelve entries in one row fit the page, six a column's width.
    columns = min(len(states), 12 if figure.get_figwidth() > (COLUMN + PAGE) / 2 else 6)
    # A legend is filled column by column; states are read row by row.
    by_rows = [state for first in range(columns) for state in states[first::columns]]
    figure.legend(
        handles=[Patch(facecolor=state_colour(state), label=str(state)) for state in by_rows],
        title="state",
        loc="outside upper center",
        ncols=columns,
        handlelength=1.0,
        handleheight=1.0,
        columnspacing=1.0,
        title_fontsize=7,
    )
