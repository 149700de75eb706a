"""Placed runs on one HTML page: the map with each run's way, how usual it is, what is expected.

The page runs no script and asks for no file. The map was drawn when the map was calibrated, so that
a page takes no drawing library where a run trains.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

import numpy as np

from training_maps.placing.place import Placement
from training_maps.placing.reference import Reference
from training_maps.placing.sentences import to_dict
from training_maps.utils.files import replace_when_whole
from training_maps.utils.numbers import Floats
from training_maps.utils.wording import amount, plural

# Of the charts, in CSS pixels: width, height, and room for numbers on the left.
_WIDTH, _HEIGHT, _LEFT = 860.0, 120.0, 64.0
_STRIP = 26.0
# How many times the limit a chart of what is unusual shows at most.
_TALLEST = 2.5
_STYLE = """
:root { color-scheme: light dark; --ground: light-dark(#f6f7f9,#14181d);
  --card: light-dark(#fff,#1d232a); --ink: light-dark(#1f2933,#e6e9ed);
  --soft: light-dark(#5b6572,#a3adb8); --line: light-dark(#dfe3e8,#343c46);
  --accent: light-dark(#b23c0a,#ff9562); --edge: light-dark(#8793a3,#77838f); }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1rem 1rem 4rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: .8rem 1rem; margin: 1rem 0; }
section.warned { border-left: 5px solid var(--accent); }
h1 { font-size: 1.5rem; margin: .4rem 0; } h2 { font-size: 1.15rem; margin: 0 0 .3rem; }
p { margin: .3rem 0; } .how { color: var(--soft); font-size: .9rem; }
svg { display: block; width: 100%; height: auto; }
svg.chart text { fill: var(--soft); font-size: 11px; }
.paper { background: #fff; border-radius: 6px; padding: .4rem; }
.band { fill: var(--edge); opacity: .28; }
.run { fill: none; stroke: var(--ink); stroke-width: 1.8; }
.limit { stroke: var(--accent); stroke-dasharray: 5 4; } .bad { fill: var(--accent); }
.axis { stroke: var(--line); }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .15rem .9rem .15rem 0; border-bottom: 1px solid var(--line); }
.scroll { overflow-x: auto; max-height: 24rem; overflow-y: auto; }
"""


def write_page(
    path: str | os.PathLike[str],
    reference: Reference,
    placed: Sequence[Placement],
    refresh: int | None = None,
) -> None:
    """Write the page of some runs on a map.

    Args:
        path: the HTML file.
        reference: what they were placed by.
        placed: the runs.
        refresh: seconds after which a browser loads the page again; not by itself if None.
    """
    text = page(reference, placed, refresh)
    with replace_when_whole(path) as aside:
        Path(aside).write_text(text, encoding="utf-8")


def page(reference: Reference, placed: Sequence[Placement], refresh: int | None = None) -> str:
    """The page's HTML; arguments as of `write_page`."""
    again = "" if refresh is None else f'<meta http-equiv="refresh" content="{refresh}">'
    title = f"{plural(len(placed), 'new run')} on {reference.name}"
    drawn = reference.training_map.get("svg")
    picture = f'<section><div class="paper">{drawn}</div></section>' if drawn else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        # Nothing runs and nothing is loaded, whatever the file of the map holds.
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"{again}<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{escape(title)}</h1>{picture}{''.join(_run(reference, one) for one in placed)}"
        f'<p class="how">{escape(_how(reference))}</p></main></body></html>\n'
    )


def _how(reference: Reference) -> str:
    """How the page is read."""
    return (
        "Whatever is said of a checkpoint is from it and those before alone. Percentile: the share "
        f"of {reference.runs_told} at least as unusual at that step. "
        "Grey: nine tenths of the map's runs. A run gets a warning above the dashed line, which at "
        "most 5 % of runs like the map's ever pass."
    )


def _run(reference: Reference, placed: Placement) -> str:
    """One run's section: sentences, charts over the steps of the map, and a table."""
    told = to_dict(reference, placed)
    texts = [*told["sentences"][:1], *told["sentences"][1:], *(n["text"] for n in told["notes"])]
    sentences = "".join(f"<p>{escape(text)}</p>" for text in texts)
    warned = ' class="warned"' if placed.first_warning is not None else ""
    charts = [_states(reference, placed), _unusual(reference, placed)]
    if reference.forecast is not None:
        charts.append(_expected(reference, placed))
    return (
        f"<section{warned}><h2>{escape(placed.run)}</h2>{sentences}{''.join(charts)}"
        f"{_table(placed)}</section>"
    )


def _across(reference: Reference) -> Callable[[Floats], Floats]:
    """Places of steps along a chart."""
    first, last = float(reference.steps[0]), float(reference.steps[-1])
    return lambda steps: _LEFT + (_WIDTH - _LEFT) * (steps - first) / max(last - first, 1.0)


def _chart(height: float, title: str, body: str, marks: Sequence[tuple[float, str]] = ()) -> str:
    """A chart with a title above it and numbers on the left."""
    numbers = "".join(
        f'<text x="{_LEFT - 6:.0f}" y="{y + 4:.1f}" text-anchor="end">{escape(text)}</text>'
        f'<line class="axis" x1="{_LEFT:.0f}" x2="{_WIDTH:.0f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        for y, text in marks
    )
    return (
        f'<p class="how">{escape(title)}</p>'
        f'<svg class="chart" viewBox="0 -6 {_WIDTH:.0f} {height + 12:.0f}" role="img" '
        f'aria-label="{escape(title)}">'
        f"{numbers}{body}</svg>"
    )


def _states(reference: Reference, placed: Placement) -> str:
    """The run's states in time, as a strip."""
    steps = placed.table["step"].to_numpy(float)
    ends = np.append(steps[1:], steps[-1] + (steps[-1] - steps[-2]))
    x = _across(reference)
    colours = reference.training_map.get("colours") or {}
    body = ""
    sequence = placed.table["state"].tolist()
    for i, state in enumerate(sequence):
        left, right = float(x(steps[i : i + 1])[0]), float(x(ends[i : i + 1])[0])
        fill = escape(str(colours.get(str(state), "#8793a3")))
        label = f"step {steps[i]:.0f}: state {state}"
        body += (
            f'<rect x="{left:.1f}" y="0" width="{min(right, _WIDTH) - left + 0.3:.1f}" '
            f'height="{_STRIP:.0f}" fill="{fill}" shape-rendering="crispEdges">'
            f"<title>{label}</title></rect>"
        )
        if i == 0 or state != sequence[i - 1]:
            body += (
                f'<text x="{left + 3:.1f}" y="{_STRIP - 9:.0f}" style="fill:#fff;stroke:#000;'
                f'stroke-width:2.5px;paint-order:stroke">{state}</text>'
            )
    last = int(reference.steps[-1])
    return _chart(_STRIP, f"state, up to step {last}, the map's last", body)


def _unusual(reference: Reference, placed: Placement) -> str:
    """How unusual the run is, as a share of the limit, and nine tenths of the map's runs."""

    def y(values: Floats) -> Floats:
        return _HEIGHT * (1 - np.clip(values, 0, _TALLEST) / _TALLEST)

    usual = reference.usual
    known = ~np.isnan(usual.runs).all(axis=0)
    low, high = np.nanquantile(usual.runs[:, known] / usual.limit, [0.05, 0.95], axis=0)
    x = _across(reference)
    along = x(reference.steps[known].astype(float))
    steps, values = x(placed.table["step"].to_numpy(float)), placed.table["unusual"].to_numpy(float)
    dots = "".join(
        f'<circle class="bad" cx="{a:.1f}" cy="{b:.1f}" r="3"/>'
        for a, b, bad in zip(steps, y(values), placed.table["warning"], strict=True)
        if bad
    )
    limit = float(y(np.array([1.0]))[0])
    body = (
        _band(along, y(low), y(high))
        + f'<line class="limit" x1="{_LEFT:.0f}" x2="{_WIDTH:.0f}" y1="{limit:.1f}" '
        f'y2="{limit:.1f}"/>' + _line(steps, y(values)) + dots
    )
    marks = [(_HEIGHT - 1, "0"), (limit, "limit")]
    return _chart(_HEIGHT, "how unusual it is among the map's runs at that step", body, marks)


def _expected(reference: Reference, placed: Placement) -> str:
    """The predicted outcome and its interval, beside what came of the map's runs."""
    forecast = reference.forecast
    assert forecast is not None
    names = ("predicted_low", "predicted_high", "predicted")
    told = placed.table[list(names)].to_numpy(float)
    outcome = forecast.outcome[~np.isnan(forecast.outcome)]
    lowest, highest = outcome.min(), outcome.max()
    if forecast.is_time:
        lowest = 0.0
    room = max(highest - lowest, 1e-12)
    low, high = lowest - 0.02 * room, highest + 0.1 * room

    def y(values: Floats) -> Floats:
        return _HEIGHT * (1 - (np.clip(values, low, high) - low) / (high - low))

    known = ~np.isnan(told).any(axis=1)
    x = _across(reference)(placed.table["step"].to_numpy(float)[known])
    lower, upper, middle = (y(column) for column in told[known].T)
    median = float(np.median(outcome))
    marks = [(float(y(np.array([v]))[0]), amount(v)) for v in (lowest, median, highest)]
    body = _band(x, lower, upper) + _line(x, middle)
    title = f"{forecast.about['name']}, predicted, with its 90 % interval; lines: the map's runs'"
    return _chart(_HEIGHT, f"{title} least, median and largest", body, marks)


def _line(x: Floats, y: Floats) -> str:
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return f'<polyline class="run" points="{points}"/>'


def _band(x: Floats, low: Floats, high: Floats) -> str:
    there = list(zip(x, low, strict=True)) + list(zip(x, high, strict=True))[::-1]
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in there)
    return f'<polygon class="band" points="{points}"/>'


def _table(placed: Placement) -> str:
    """Every checkpoint, folded away."""
    heads = ("step", "state", "probability", "percentile", "predicted", "low", "high", "warning")
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in _cells(row)) + "</tr>"
        for row in placed.table.to_dict("records")
    )
    head = "".join(f"<th>{name}</th>" for name in heads)
    return (
        "<details><summary>every checkpoint</summary><div class=scroll><table>"
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def _cells(row: dict) -> list[str]:
    times = [row["predicted"], row["predicted_low"], row["predicted_high"]]
    return [
        str(row["step"]),
        str(row["state"]),
        f"{row['probability']:.2f}",
        f"{row['percentile']:.0f}",
        *("–" if np.isnan(time) else amount(time) for time in times),
        str(row["kind"]) if row["warning"] else "",
    ]
