"""A metric and the loss of some runs on two axes, coloured by state (Hu et al. 2023, Figure 7)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from training_maps.figures.loss_by_state import coloured_line, featured_runs, scale_losses
from training_maps.figures.style import (
    GREY,
    INK,
    Width,
    figure_that_says,
    letter_panels,
    new_figure,
    state_legend,
    styled,
)
from training_maps.figures.symbols import metric_symbol
from training_maps.results import ExperimentResults, Time
from training_maps.utils.files import read_table

_MOST_RUNS = 3
_LOSS: dict[str, Any] = {"color": GREY, "linewidth": 0.8, "linestyle": (0, (2.5, 1.2))}


def telling_metric(results: ExperimentResults) -> str | None:
    """The metric that differs most between the branches of the first fork.

    Without a fork, the one that changes most along the most common route. States differ by their
    means, in standard deviations. None where states have no means.
    """
    means = {s["state"]: s["mean"] for s in results.training_map["states"]}
    if not results.training_map["metrics"] or not all(means.values()):
        return None
    forks = results.forks.get("forks", ())
    if forks:
        groups = [[branch["to"] for branch in forks[0]["branches"]]]
    else:
        groups = [list(step) for step in pairwise(results.training_map["paths"][0]["states"])]
    differences = {
        metric: sum(np.ptp([means[state][metric] for state in group]) for group in groups)
        for metric in results.training_map["metrics"]
    }
    return max(differences, key=lambda metric: differences[metric])


def why_telling(results: ExperimentResults) -> str:
    """Why the metric is shown that is, to follow "it is"."""
    forks = results.forks.get("forks", ())
    if forks:
        state = forks[0]["state"]
        return f"the one that differs most between the branches of the fork at state {state}"
    return "the one that changes most along the most common route"


def runs_to_show(results: ExperimentResults) -> list[tuple[str, int]]:
    """The fastest, the median and the slowest run; else a run of each of the commonest routes."""
    if not results.convergence.empty and featured_runs(results):
        return featured_runs(results)
    routes = results.training_map["paths"][:_MOST_RUNS]
    if len(routes) == 1:
        return [("run", int(seed)) for seed in routes[0]["seeds"][:_MOST_RUNS]]
    return [("run", int(route["seeds"][0])) for route in routes]


@styled
def draw_metrics_by_state(
    results: ExperimentResults, time: Time = "epoch", *, width: Width = "page"
) -> Figure:
    """Draw the metric that tells runs apart, coloured by state, and the loss on a second axis.

    Args:
        results: an experiment's results.
        time: time axis, "epoch" or "step".
        width: "page" (runs beside each other) or "column" (below each other).

    Returns:
        The figure. Axes of the metric have gids `metric-{seed}`, those of the loss `loss-{seed}`.
    """
    time = results.time_axis(time)
    metric = telling_metric(results)
    if metric is None:
        sentence = "There are no metrics: no model was fitted, as the state paths were given."
        return figure_that_says(sentence, width, 1.0)
    runs = runs_to_show(results)
    page = width == "page"
    figure = new_figure(width, 2.4 if page else 0.7 + 1.3 * len(runs))
    shape = (1, len(runs)) if page else (len(runs), 1)
    axes = figure.subplots(*shape, sharex=not page, sharey=True, squeeze=False).ravel()
    losses: list[Axes] = []
    for ax, (name, seed) in zip(axes, runs, strict=True):
        unit = _draw_metric(ax, results, seed, time, metric)
        ax.set_title(f"{name}: seed {seed}" if name != "run" else f"seed {seed}")
        ax.set_gid(f"metric-{seed}")
        loss = _draw_loss(ax, results, seed, time, losses[0] if losses else None)
        losses += [loss] if loss is not None else []
        if page or ax is axes[-1]:
            ax.set_xlabel(time)
        if page and len(runs) > 1:
            ax.locator_params(axis="x", nbins=4)  # so that they do not touch
        if not page or ax is axes[0]:
            ax.set_ylabel(metric_symbol(metric) + unit, parse_math=False)
    _finish_losses(losses, results, page)
    letter_panels(axes)
    state_legend(figure, results.states)
    # The metric and why it is this one.
    why = why_telling(results).removeprefix("the one that ")
    label = f"{metric_symbol(metric)}: {why if page else why.replace(' of ', chr(10) + 'of ')}"
    handles = [Line2D([], [], color=INK, linewidth=1.5, label=label)]
    if losses:
        handles.append(Line2D([], [], label="evaluation loss (right axis)", **_LOSS))
    for text in figure.legend(
        handles=handles, loc="outside lower center", ncols=2 if page else 1
    ).get_texts():
        text.set_parse_math(False)
    return figure


def _draw_metric(ax: Axes, results: ExperimentResults, seed: int, time: Time, metric: str) -> str:
    """A run's metric in the colours of its states; returns what follows the axis' name."""
    steps, values, unit = _values(results, seed, metric)
    rows = results.state_paths[results.state_paths["seed"] == seed]
    shared, at, of = np.intersect1d(rows["step"].to_numpy(), steps, return_indices=True)
    points = np.column_stack([results.times(seed, shared, time), values[of]])
    ax.add_collection(coloured_line(points, rows["state"].to_numpy()[at], "-", 1.5, metric))
    ax.autoscale_view()
    return unit


def _values(
    results: ExperimentResults, seed: int, metric: str
) -> tuple[np.ndarray, np.ndarray, str]:
    """A run's steps and its metric: as computed, else as observed, in standard deviations."""
    path = results.folder / "runs" / f"seed-{seed}" / "metrics.parquet"
    if path.exists():
        table = read_table(path, ("step",))
        if metric in table:
            return table["step"].to_numpy(), table[metric].to_numpy(float), ""
    table = read_table(results.folder / "observations.parquet", ("seed", "step", metric))
    table = table[table["seed"] == seed]
    return table["step"].to_numpy(), table[metric].to_numpy(float), " (s.d.)"


def _draw_loss(
    ax: Axes, results: ExperimentResults, seed: int, time: Time, share: Axes | None
) -> Axes | None:
    """The evaluation loss on an axis at the right; None where it was not logged."""
    log = results.logs.get(seed)
    if log is None or log["eval_loss"].isna().all():
        return None
    logged = log.dropna(subset=["eval_loss"])
    right = ax.twinx()
    if share is not None:
        right.sharey(share)
    right.plot(results.times(seed, logged["step"].to_numpy(), time), logged["eval_loss"], **_LOSS)
    right.set_gid(f"loss-{seed}")
    # The metric's line lies over that of the loss.
    ax.set_zorder(right.get_zorder() + 1)
    ax.patch.set_visible(False)
    return right


def _finish_losses(losses: list[Axes], results: ExperimentResults, page: bool) -> None:
    """One scale for all losses, named at the right edge."""
    if not losses:
        return
    scale_losses(losses[0], [results.logs[int(str(ax.get_gid())[5:])] for ax in losses])
    for ax in losses:
        ax.spines["right"].set_visible(True)
        last = ax is losses[-1]
        if not page or last:
            ax.set_ylabel("loss")
        else:
            ax.tick_params(labelright=False)
