"""Colours: states stay apart for all eyes, numbers on them are readable."""

from __future__ import annotations

import re
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from tests.support.colour_vision import SIGHT, cam02_ucs, ciecam02, lab, least_distance, seen_as
from tests.support.figure_checks import by_gid, texts
from training_maps.figures.style import (
    COLUMN,
    PAGE,
    STATE_COLOURS,
    STYLE,
    WIDTHS,
    Width,
    mark_outliers,
    new_figure,
    relative_luminance,
    say,
    state_colour,
    state_legend,
    styled,
    text_colour_on,
)


@pytest.mark.parametrize("sight", SIGHT)
def test_state_colours_stay_apart_for_all_eyes(sight: str) -> None:
    assert len(set(STATE_COLOURS)) == 12
    seen = lab(seen_as(STATE_COLOURS, sight))
    if sight != "tritanopia":  # of which CIE76 tells less than CAM02-UCS, below
        for i, j in combinations(range(12), 2):
            assert np.linalg.norm(seen[i] - seen[j]) > 15, f"states {i} and {j} for {sight}"
    assert least_distance(STATE_COLOURS[:8], sight) >= 12
    assert least_distance(STATE_COLOURS, sight) >= 9.5


def test_lines_in_state_colours_stand_out_from_paper() -> None:
    for colour in STATE_COLOURS:
        assert 1.05 / (relative_luminance(colour) + 0.05) >= 3, colour


def test_distances_of_colours_are_those_of_the_standard() -> None:
    # The worked example of CIECAM02 (Moroney et al. 2002), and white, whose J' is 100.
    white = np.array([95.05, 100.0, 108.88])
    lightness, chroma, hue = ciecam02(np.array([[19.01, 20.0, 21.78]]), white, 318.31)
    assert lightness == pytest.approx([41.73109], abs=1e-4)
    assert chroma == pytest.approx([0.10470776], abs=1e-6)
    assert hue == pytest.approx([219.04843], abs=1e-4)
    assert cam02_ucs(np.ones((1, 3)))[0, 0] == pytest.approx(100, abs=1e-3)


def test_numbers_on_states_are_readable() -> None:
    assert text_colour_on("#000000") == "#ffffff"
    assert text_colour_on("#ffffff") == "#000000"


def test_luminance_is_that_of_the_standard() -> None:
    # WCAG 2.2's own examples: pure colours have their weights, and mid-grey 0.2140 or so.
    weights = {"#ff0000": 0.2126, "#00ff00": 0.7152, "#0000ff": 0.0722, "#ffffff": 1.0}
    for colour, luminance in weights.items():
        assert relative_luminance(colour) == pytest.approx(luminance)
    assert relative_luminance("#000000") == 0.0
    assert relative_luminance("#7f7f7f") == pytest.approx(((127 / 255 + 0.055) / 1.055) ** 2.4)
    for colour in STATE_COLOURS:
        text = relative_luminance(text_colour_on(colour))
        ground = relative_luminance(colour)
        assert (max(text, ground) + 0.05) / (min(text, ground) + 0.05) > 4.5, colour


def test_colours_repeat_beyond_the_last() -> None:
    assert state_colour(0) == state_colour(12) == STATE_COLOURS[0]
    assert state_colour(11) == STATE_COLOURS[11]


@pytest.mark.parametrize("width", WIDTHS)
def test_a_new_figure_has_the_papers_width(width: Width) -> None:
    figure = new_figure(width, 2.0)
    assert figure.get_size_inches() == pytest.approx((PAGE if width == "page" else COLUMN, 2.0))


def test_the_style_holds_inside_and_not_after() -> None:
    before = dict(mpl.rcParams)

    @styled
    def size(factor: float) -> float:
        return factor * mpl.rcParams["axes.linewidth"]

    assert size(2) == 2 * STYLE["axes.linewidth"] != 2 * before["axes.linewidth"]
    assert dict(mpl.rcParams) == before
    with pytest.raises(TypeError):
        size("x" * 2, 3)  # type: ignore[call-arg]
    assert dict(mpl.rcParams) == before


def test_a_sentence_stands_in_place_of_a_drawing() -> None:
    figure = new_figure("column", 2.0)
    ax = figure.subplots()
    say(ax, "There is nothing.")
    assert texts(figure).count("There is nothing.") == 1
    assert not ax.axison


def test_outliers_are_marked_only_if_there_are_any() -> None:
    figure = new_figure("column", 2.0)
    ax = figure.subplots()
    mark_outliers(ax, [])
    assert not ax.lines
    mark_outliers(ax, [2, 5])
    assert list(by_gid(figure, "outliers").get_ydata()) == [2, 5]


@pytest.mark.parametrize(("width", "columns"), [("page", 12), ("column", 6)])
def test_the_legend_is_read_row_by_row(width: Width, columns: int) -> None:
    figure = new_figure(width, 3.0)
    state_legend(figure, list(range(12)))
    (legend,) = figure.legends
    FigureCanvasAgg(figure).draw()
    entries = legend.get_texts()
    assert sorted(int(entry.get_text()) for entry in entries) == list(range(12))
    at = [entry.get_window_extent() for entry in entries]
    rows = sorted({round(box.y0) for box in at}, reverse=True)
    assert len(rows) == 12 // columns
    read = sorted(range(12), key=lambda i: (rows.index(round(at[i].y0)), at[i].x0))
    assert [int(entries[i].get_text()) for i in read] == list(range(12))
    for patch, entry in zip(legend.get_patches(), entries, strict=True):
        assert mpl.colors.to_hex(patch.get_facecolor()) == state_colour(int(entry.get_text()))


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ((0, 5000), {"0", "1,000", "5,000"}),
        ((-2000, 0), {"−2,000", "−1,000", "0"}),
        ((0.0, 1.0), {"0.0", "1.0"}),
        ((1000.0, 1001.0), {"1,000.2", "1,001.0"}),
        ((0.0, 0.0005), {"0.0000", "0.0005"}),
        ((0, 5e7), {"0", "1", "5"}),  # beside 1e7, which matplotlib writes
    ],
)
def test_ticks_group_thousands(limits: tuple[float, float], told: set[str]) -> None:
    @styled
    def draw() -> Figure:
        figure = new_figure("page", 2.0)
        figure.subplots().set_xlim(*limits)
        return figure

    figure = draw()
    FigureCanvasAgg(figure).draw()
    axis = figure.axes[0].xaxis
    shown = {label.get_text() for label in axis.get_ticklabels()}
    assert told <= shown
    assert not any(re.search(r"(?<![.\d])\d{4}", text) for text in shown)


def test_ticks_of_logarithmic_axes_stay_as_they_are() -> None:
    @styled
    def draw() -> Figure:
        figure = new_figure("page", 2.0)
        figure.subplots().set_xscale("log")
        return figure

    assert isinstance(draw().axes[0].xaxis.get_major_formatter(), LogFormatter)
