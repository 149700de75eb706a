"""Model selection curves: criteria over the number of states (Hu et al. 2023, Figure 10)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training_maps.figures.style import ACCENT, GREY, INK, Width, new_figure, say, styled

if TYPE_CHECKING:
    import pandas as pd

_TITLES = {
    "bic": "BIC, validation runs",
    "aic": "AIC, validation runs",
    "log_likelihood_validation": "log-likelihood, validation runs",
}


@styled
def draw_model_selection(
    model_selection: pd.DataFrame,
    selected_model: Mapping[str, Any],
    *,
    width: Width = "page",
) -> Figure:
    """Draw BIC, AIC and log-likelihood of every restart over the number of states.

    Args:
        model_selection: one row a restart, as in `model_selection.csv`.
        selected_model: `n_states`, `restart`, `criterion` and `aggregate` of the chosen model.
        width: "page" (panels side by side) or "column" (one below the other).

    Returns:
        The figure; its three axes hold the points, the line of the aggregate, and the choice.
    """
    page = width == "page"
    figure = new_figure(width, 2.3 if page else 5.4)
    axes = figure.subplots(1, 3) if page else figure.subplots(3, 1)
    for ax, column in zip(axes, _TITLES, strict=True):
        if model_selection.empty:
            say(ax, "No model was fitted.")
        else:
            _draw_criterion(ax, model_selection, column, selected_model)
    handles, labels = axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=4 if page else 2)
    return figure


def _draw_criterion(
    ax: Axes, table: pd.DataFrame, column: str, selected: Mapping[str, Any]
) -> None:
    converged = table["converged"].astype(bool)
    for rows, face, label in (
        (table[converged], GREY, "restart"),
        (table[~converged], "none", "restart that did not converge"),
    ):
        if len(rows):
            ax.scatter(
                rows["n_states"],
                rows[column],
                s=9,
                facecolors=face,
                edgecolors=GREY,
                linewidths=0.7,
                alpha=0.75,
                label=label,
            )
    name = selected.get("aggregate", "mean")
    curve = _aggregate(table, column, name)
    ax.plot(curve.index, curve, color=INK, marker="_", label=f"{name} of the restarts")
    n_states = selected["n_states"]
    if n_states in curve.index:
        ax.axvline(n_states, color=ACCENT, linewidth=0.7, linestyle=(0, (2, 2)), zorder=0)
        ax.plot(
            [n_states],
            [curve[n_states]],
            "o",
            markersize=8,
            markerfacecolor="none",
            markeredgecolor=ACCENT,
            markeredgewidth=1.4,
            linestyle="none",
            label=f"chosen: {n_states} states",
        )
    chose = column == selected.get("criterion") or (
        column.startswith("log") and str(selected.get("criterion", "")).startswith("log")
    )
    ax.set_title(_TITLES[column] + (" (chooses)" if chose else ""))
    ax.set_xlabel("states")
    ax.set_xticks(np.unique(table["n_states"]))
    ax.grid(axis="y")
    ax.ticklabel_format(axis="y", style="sci", scilimits=(-4, 5), useMathText=True)


def _aggregate(table: pd.DataFrame, column: str, name: str) -> pd.Series:
    """The criterion over restarts: their mean, median or best value, by number of states."""
    groups = table.groupby("n_states")[column]
    if name in ("mean", "median"):
        return groups.agg(name)
    return groups.max() if column.startswith("log") else groups.min()
