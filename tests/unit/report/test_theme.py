"""The page's colours, light and dark, and figures that follow them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from tests.support.colour_vision import SIGHT, lab, least_distance, seen_as
from tests.support.project import ROOT
from training_maps.figures.style import (
    INK,
    STATE_COLOURS,
    ink_on_state,
    relative_luminance,
)
from training_maps.report.theme import DARK_GROUND, DARK_STATE_COLOURS, state_variables, themed


@pytest.mark.parametrize("sight", SIGHT)
def test_dark_state_colours_stay_apart_for_all_eyes(sight: str) -> None:
    seen = lab(seen_as(DARK_STATE_COLOURS, sight))
    if sight != "tritanopia":  # of which CIE76 tells less than CAM02-UCS, below
        for i, j in combinations(range(12), 2):
            assert np.linalg.norm(seen[i] - seen[j]) > 15, f"states {i} and {j} for {sight}"
    assert least_distance(DARK_STATE_COLOURS[:8], sight) >= 12
    assert least_distance(DARK_STATE_COLOURS, sight) >= 9.5


def test_dark_state_colours_stand_out_from_the_ground() -> None:
    ground = relative_luminance(DARK_GROUND) + 0.05
    for colour in DARK_STATE_COLOURS:
        assert (relative_luminance(colour) + 0.05) / ground >= 3
    css = (ROOT / "python/training_maps/report/html/style.css").read_text("utf-8")
    assert f"--card: light-dark(#ffffff, {DARK_GROUND})" in css
    for i, (light, dark) in enumerate(zip(STATE_COLOURS, DARK_STATE_COLOURS, strict=True)):
        assert f"--s{i}: light-dark({light}, {dark});" in state_variables()


def test_figures_follow_the_page_s_colours_in_their_styles_only() -> None:
    first = STATE_COLOURS[0]
    svg = f'<svg><path style="fill: {INK}; stroke: {first}"/><text fill="{INK}">{INK}</text></svg>'
    assert themed(svg) == (
        f'<svg><path style="fill: var(--ink,{INK}); stroke: var(--s0,{first})"/>'
        f'<text fill="{INK}">{INK}</text></svg>'
    )


def test_ink_on_a_state_is_that_of_its_colour_in_either_theme() -> None:
    inks = [ink_on_state(i) for i in range(12)]
    assert len(set(inks)) == 12
    for i, ink in enumerate(inks):
        assert themed(f'<text style="fill: {ink}">') == f'<text style="fill: var(--t{i},{ink})">'
        ground = relative_luminance(STATE_COLOURS[i]) + 0.05
        text = relative_luminance(ink) + 0.05
        assert max(ground, text) / min(ground, text) > 4.5
