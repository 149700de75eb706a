"""The regression on the states: coefficients with intervals, and each run as the others predict it.

Compare Hu et al. 2023, Table 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training_maps.figures.style import (
    ACCENT,
    GREY,
    INK,
    MOST_VECTOR_DOTS,
    Width,
    figure_that_says,
    ink_on_state,
    letter_panels,
    new_figure,
    state_colour,
    styled,
)
from training_maps.figures.symbols import plain_text
from training_maps.utils.wording import numbered

if TYPE_CHECKING:
    import pandas as pd

    from training_maps.results import ExperimentResults

_BLUE = "#4477aa"
_ROW = 0.24


@styled
def draw_regression(results: ExperimentResults, *, width: Width = "page") -> Figure:
    """Draw the coefficient of each state, and the outcome of each run against its prediction.

    Args:
        results: an experiment's results.
        width: "page" (side by side) or "column" (below each other).

    Returns:
        The figure. Its first axes hold the coefficients (points with gids `coefficient-{state}`),
        its second, if runs could be left out, a point a run.
    """
    table = results.coefficients
    if table.empty:
        return figure_that_says("There is no regression.", width, 1.0)
    runs = results.outcomes.dropna(subset=["outcome", "predicted"])
    height = max(2.3, 0.7 + _ROW * len(table))
    if runs.empty:
        figure = new_figure(width, 0.7 + _ROW * len(table))
        _draw_coefficients(figure.subplots(), table, results.outcome)
        return figure
    if width == "page":
        figure = new_figure(width, height)
        left, right = figure.subplots(1, 2, width_ratios=[1.5, 1])
    else:
        figure = new_figure(width, 0.7 + _ROW * len(table) + 2.6)
        left, right = figure.subplots(2, 1, height_ratios=[0.7 + _ROW * len(table), 2.6])
    _draw_coefficients(left, table, results.outcome)
    _draw_predictions(right, runs, results)
    letter_panels([left, right])
    return figure


def _draw_coefficients(ax: Axes, table: pd.DataFrame, outcome: dict[str, Any]) -> None:
    """A row a state: its coefficient and the 95 % interval; the paper's detours are named."""
    for y, row in enumerate(table.to_dict("records")):
        detour = bool(row["is_detour"])
        colour = ACCENT if detour else INK
        if np.isfinite([row["interval_low"], row["interval_high"]]).all():
            ax.plot(
                [row["interval_low"], row["interval_high"]],
                [y, y],
                color=colour,
                linewidth=1.4,
                solid_capstyle="butt",
            )
        ax.plot(
            row["coefficient"],
            y,
            "o",
            color=colour,
            markersize=4.5,
            gid=f"coefficient-{row['state']}",
        )
        if detour:
            ax.annotate(
                " paper's detour",
                (1.0, y),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=6.5,
                fontweight="bold",
                color=ACCENT,
            )
    ax.axvline(0, color=GREY, linewidth=0.8, zorder=0)
    ax.set_yticks(range(len(table)), [str(state) for state in table["state"]])
    for label, state in zip(ax.get_yticklabels(), table["state"], strict=True):
        colour = state_colour(int(state))
        label.set(color=ink_on_state(int(state)), fontweight="bold")
        label.set_bbox({"boxstyle": "circle,pad=0.25", "facecolor": colour, "edgecolor": "none"})
    ax.tick_params(axis="y", length=0, pad=7)
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
    ax.set_ylabel("state", labelpad=7)  # which also leaves room for the circles
    ax.set_title("coefficient of each state")
    ax.set_xlabel(plain_text(outcome.get("unit", "")))


def _draw_predictions(ax: Axes, runs: pd.DataFrame, results: ExperimentResults) -> None:
    """Each run's outcome against what the regression on the others predicts; outliers named."""
    values = runs[["outcome", "predicted"]].to_numpy(float)
    low, high = values.min(), values.max()
    margin = 0.06 * (high - low) or 0.5
    span = [low - margin, high + margin]
    ax.plot(span, span, color=GREY, linewidth=0.8, linestyle=(0, (3, 2)), zorder=0)
    censored = runs["censored"].to_numpy(bool)
    for marked, face, label in ((False, _BLUE, None), (True, "white", "never converges")):
        these = runs[censored == marked]
        if len(these):
            ax.plot(
                these["predicted"],
                these["outcome"],
                "o",
                markersize=3.6,
                markerfacecolor=face,
                markeredgecolor=_BLUE,
                markeredgewidth=0.8,
                linestyle="none",
                rasterized=len(runs) > MOST_VECTOR_DOTS,
                label=label,
            )
    _name_outliers(ax, runs[runs["seed"].isin(results.outlier_seeds)], (low, high))
    if censored.any():
        ax.legend(loc="lower right")
    ax.set_xlim(*span)
    ax.set_ylim(*span)
    ax.set_title("runs left out, one at a time")
    ax.set_xlabel("predicted from the other runs")
    ax.set_ylabel(plain_text(results.outcome.get("name", "outcome")))
    ax.grid()


def _name_outliers(ax: Axes, runs: pd.DataFrame, span: tuple[float, float]) -> None:
    """Rings around outlier runs, and their seeds; of those that lie on each other, in one label."""
    middle, size = sum(span) / 2, span[1] - span[0]
    groups: list[list[dict[Any, Any]]] = []
    for row in runs.to_dict("records"):
        ax.plot(row["predicted"], row["outcome"], "o", markersize=7, color=ACCENT, fillstyle="none")
        for group in groups:
            across, along = (abs(row[one] - group[0][one]) for one in ("predicted", "outcome"))
            if across < 0.2 * size and along < 0.07 * size:  # as wide and high as a label is
                group.append(row)
                break
        else:
            groups.append([row])
    for group in groups:
        first = group[0]
        left = first["predicted"] > middle
        # On the point's own side of the diagonal.
        above = first["outcome"] >= first["predicted"]
        ax.annotate(
            numbered("seed", [row["seed"] for row in group]),
            (first["predicted"], first["outcome"]),
            xytext=(-4 if left else 4, 4 if above else -4),
            textcoords="offset points",
            ha="right" if left else "left",
            va="bottom" if above else "top",
            fontsize=6.5,
            color=ACCENT,
        )
