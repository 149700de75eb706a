"""Model selection curves (Hu et al. 2023, Figure 10), and how firm the choice is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training_maps.figures.style import (
    ACCENT,
    GREY,
    INK,
    Width,
    figure_that_says,
    legend_below,
    letter_panels,
    new_figure,
    say,
    styled,
)

NOTHING_CHOSEN = "One number of states was tried: it was given, not chosen."

if TYPE_CHECKING:
    import pandas as pd

_LIKELIHOOD = "log_likelihood_validation"  # higher is better, of the others lower
_COLUMNS = {"bic": "BIC", "aic": "AIC", _LIKELIHOOD: "log-likelihood"}
# Line, colour and marker of each kind of model, and where it stands beside the other.
_KINDS = {
    "gaussian": {"linestyle": "-", "color": INK, "marker": "o", "offset": -0.14},
    "autoregressive": {"linestyle": "--", "color": "#4477aa", "marker": "s", "offset": 0.14},
    "vector_autoregressive": {"linestyle": ":", "color": "#aa3377", "marker": "^", "offset": 0.28},
}


@styled
def draw_model_selection(
    model_selection: pd.DataFrame, stability: Mapping[str, Any], *, width: Width = "page"
) -> Figure:
    """Draw the criteria of every restart over the number of states, and the shares of resamples.

    In the panel of the criterion that chose, each candidate has a bar of so many bootstrap standard
    errors of its difference to the chosen one as count as the margin, both ways: a bar that reaches
    the chosen one's level is of a candidate within the margin. Bars may leave the panel.

    Args:
        model_selection: one row a restart, as in `model_selection.csv`.
        stability: as in `stability.json`; empty where no model was fitted.
        width: "page" (two by two panels) or "column" (one below the other).

    Returns:
        The figure; its axes are BIC, AIC, log-likelihood and shares.
    """
    page = width == "page"
    if not stability:
        return figure_that_says("No model was fitted, as the state paths were given.", width)
    if is_given(stability):
        return figure_that_says(NOTHING_CHOSEN, width)
    figure = new_figure(width, 4.5 if page else 4.9)
    axes = figure.subplots(2, 2).ravel() if page else figure.subplots(4, 1, sharex=True)
    chooses = {"log_likelihood": _LIKELIHOOD}.get(stability["criterion"], stability["criterion"])
    split = stability["judging"]["split"].replace("train", "training")
    for ax, (column, name) in zip(axes, _COLUMNS.items(), strict=False):
        if model_selection.empty:
            say(ax, "No model was fitted.")
            continue
        _draw_criterion(ax, model_selection, column, stability)
        n_splits = stability["n_splits"]
        of = f"{split} runs" if n_splits == 1 else f"mean of {n_splits} splits"
        ax.set_title(f"{name}, {of}" + (" (chooses)" if column == chooses else ""))
        if column == chooses:
            _draw_margin(ax, model_selection, column, stability)
    _draw_shares(axes[3], stability, page)
    if axes[3].axison and axes[0].axison:
        axes[3].set_xlim(axes[0].get_xlim())
    for ax in axes[:-1] if not page else ():
        ax.set_xlabel("")
    legend_below(figure, axes, 3)
    letter_panels(axes)
    return figure


def is_given(stability: Mapping[str, Any]) -> bool:
    """Whether only one model was tried, so that there is no choice to show."""
    return len(stability["candidates"]) == 1


def _draw_criterion(
    ax: Axes, table: pd.DataFrame, column: str, stability: Mapping[str, Any]
) -> None:
    """Every restart, the line of their aggregate, and a ring around the chosen candidate."""
    chosen, name = stability["chosen"], stability["aggregate"]
    for kind, rows, style in _kinds(table):
        several = rows["split"].max() > 0
        if several:
            _draw_splits(ax, rows, column, name, style)
        else:
            _draw_restarts(ax, rows, column, _label("restart", kind, table), style)
        curve = _aggregate(rows, column, name)
        ax.plot(
            curve.index + style["offset"],
            curve,
            color=style["color"],
            linestyle=style["linestyle"],
            label=_label(
                "mean of the splits" if several else f"{name} of the restarts", kind, table
            ),
        )
        if kind == chosen["model"] and chosen["n_states"] in curve.index:
            ax.plot(
                [chosen["n_states"] + style["offset"]],
                [curve[chosen["n_states"]]],
                "o",
                markersize=8,
                markerfacecolor="none",
                markeredgecolor=ACCENT,
                markeredgewidth=1.4,
                linestyle="none",
                label=_label(f"chosen: {chosen['n_states']} states", kind, table),
            )
    ax.set_xlabel("states")
    ax.set_xticks(np.unique(table["n_states"]))
    ax.grid(axis="y")
    ax.ticklabel_format(axis="y", style="sci", scilimits=(-4, 5), useMathText=True)


def _draw_restarts(
    ax: Axes, rows: pd.DataFrame, column: str, label: str, style: Mapping[str, Any]
) -> None:
    """A point a restart, hollow where it did not converge."""
    converged = rows["converged"].astype(bool)
    for part, face, name in (
        (rows[converged], GREY, label),
        (rows[~converged], "none", f"{label} that did not converge"),
    ):
        if len(part):
            ax.scatter(
                part["n_states"] + style["offset"],
                part[column],
                s=9,
                marker=style["marker"],
                facecolors=face,
                edgecolors=GREY,
                linewidths=0.7,
                alpha=0.75,
                label=name,
            )


def _draw_splits(
    ax: Axes, rows: pd.DataFrame, column: str, name: str, style: Mapping[str, Any]
) -> None:
    """A thin line a split: its own aggregate of the restarts."""
    for number, of_split in rows.groupby("split"):
        curve = _aggregate(of_split, column, name)
        ax.plot(
            curve.index + style["offset"],
            curve,
            color=GREY,
            linewidth=0.6,
            alpha=0.7,
            label=f"{name} of the restarts, one split" if number == 0 else None,
        )


def _draw_margin(ax: Axes, table: pd.DataFrame, column: str, stability: Mapping[str, Any]) -> None:
    """The level of the chosen candidate, and a bar of the margin at every other."""
    chosen, margin = stability["chosen"], stability["limits"]["margin"]
    own = {(row["model"], row["n_states"]): row for row in stability["candidates"]}
    ax.set_ylim(ax.get_ylim())  # bars may be far longer than the curves are high
    for kind, rows, style in _kinds(table):
        curve = _aggregate(rows, column, stability["aggregate"])
        if kind == chosen["model"] and chosen["n_states"] in curve.index:
            level = float(curve[chosen["n_states"]])
            ax.axhline(level, color=ACCENT, linewidth=0.7, linestyle=(0, (2, 2)), zorder=0)
        others = [
            n_states
            for n_states in curve.index
            if own[kind, n_states]["standard_error"] is not None
            and (kind, n_states) != (chosen["model"], chosen["n_states"])
        ]
        if others:
            ax.errorbar(
                np.array(others) + style["offset"],
                curve[others],
                yerr=[margin * own[kind, n_states]["standard_error"] for n_states in others],
                fmt="none",
                ecolor=GREY if kind == "gaussian" else style["color"],
                elinewidth=0.8,
                capsize=2.5,
                label=_label(f"± {margin:g} bootstrap standard errors", kind, table),
            )


def _draw_shares(ax: Axes, stability: Mapping[str, Any], page: bool) -> None:
    """How often the resamples choose each candidate."""
    candidates, chosen, limits = (stability[key] for key in ("candidates", "chosen", "limits"))
    n_runs = len(stability["judging"]["seeds"])
    if any(row["share"] is None for row in candidates):
        say(ax, f"Too few runs to resample ({n_runs}).")
        return
    kinds = list(dict.fromkeys(row["model"] for row in candidates))
    for row in candidates:
        style = _KINDS[row["model"]]
        own = (row["model"], row["n_states"]) == (chosen["model"], chosen["n_states"])
        ax.bar(
            row["n_states"] + (style["offset"] if len(kinds) > 1 else 0),
            row["share"],
            width=0.6 if len(kinds) == 1 else 0.26,
            facecolor=ACCENT if own else (GREY if row["model"] == "gaussian" else style["color"]),
        )
    ax.axhline(limits["share"], color=GREY, linewidth=0.7, linestyle=(0, (2, 2)))
    ax.set_ylim(0, 1)
    # In a column there is no room for two that lie close.
    ax.set_yticks([0, 0.5, limits["share"], 1] if page else [0, 0.5, limits["share"]])
    ax.set_xticks(np.unique([row["n_states"] for row in candidates]))
    ax.set_xlabel("states")
    ax.set_title(f"share of {limits['resamples']} resamples of {n_runs} runs")


def _kinds(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame, dict[str, Any]]]:
    """The rows of each kind of model there is, and how to draw it."""
    present = [kind for kind in _KINDS if (table["model"] == kind).any()]
    return [
        (
            kind,
            table[table["model"] == kind],
            _KINDS[kind] if len(present) > 1 else {**_KINDS[kind], "offset": 0.0},
        )
        for kind in present
    ]


def _label(text: str, kind: str, table: pd.DataFrame) -> str:
    """`text`, with the kind of model where there are several."""
    several = len(set(table["model"])) > 1
    return f"{text} ({kind.replace('gaussian', 'Gaussian')})" if several else text


def _aggregate(table: pd.DataFrame, column: str, name: str) -> pd.Series:
    """The criterion by number of states: the restarts' mean or best value, averaged over splits."""
    groups = table.groupby(["n_states", "split"])[column]
    if name == "mean":
        of_splits = groups.mean()
    else:
        of_splits = groups.max() if column == _LIKELIHOOD else groups.min()
    return of_splits.groupby("n_states").mean()
