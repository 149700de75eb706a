"""The page's colours, light and dark: CSS variables, and figures that follow them.

A page in the dark has states in lighter colours than print: each stands out from the ground (WCAG
contrast of 3 or more), and any two are as far apart as in print, also for colour-blind eyes.
"""

from __future__ import annotations

import re

from training_maps.figures.style import (
    ACCENT,
    FAINT,
    GREY,
    INK,
    STATE_COLOURS,
    ink_on_state,
    text_colour_on,
)

DARK_GROUND = "#1d232a"
DARK_STATE_COLOURS = (
    "#7454e1",
    "#fff94a",
    "#2fbb7e",
    "#e2500b",
    "#81deff",
    "#c473f6",
    "#477da7",
    "#d6b142",
    "#af6684",
    "#836c5a",
    "#c5c1c5",
    "#b94b2f",
)
# What figures draw with, and the page's variables for it.
_VARIABLES = {
    INK: "--ink",
    GREY: "--soft",
    FAINT: "--line",
    ACCENT: "--accent",
    "#ffffff": "--card",
    **{colour: f"--s{i}" for i, colour in enumerate(STATE_COLOURS)},
    **{ink_on_state(i): f"--t{i}" for i in range(len(STATE_COLOURS))},
}
_STYLES = re.compile(r'style="[^"]*"')
_COLOURS = re.compile("|".join(map(re.escape, _VARIABLES)))


def state_variables() -> str:
    """CSS that sets the colour `--s2` of each state and that of text on it, `--t2`."""
    lines = []
    for i, (light, dark) in enumerate(zip(STATE_COLOURS, DARK_STATE_COLOURS, strict=True)):
        ink = (text_colour_on(light), text_colour_on(dark))
        lines.append(
            f"--s{i}: light-dark({light}, {dark}); --t{i}: light-dark({ink[0]}, {ink[1]});"
        )
    return ":root {\n  " + "\n  ".join(lines) + "\n}"


def themed(svg: str) -> str:
    """A figure's SVG with the page's variables in place of the colours of print."""

    def variable(match: re.Match[str]) -> str:
        colour = match.group()
        return f"var({_VARIABLES[colour]},{colour})"

    return _STYLES.sub(lambda style: _COLOURS.sub(variable, style.group()), svg)
