"""Delays in sentences, in epochs or steps where that is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from training_maps.results import ExperimentResults
from training_maps.utils.wording import listing, percent


def delay_sizes(results: ExperimentResults, states: Sequence[int]) -> list[dict[str, Any]]:
    """How large the delays of `states` are, ready for JSON: a dict a state.

    Its keys are `state`, `delay`, `interval_low`, `interval_high`, `n_visiting`, `p_value` and
    `unit` ("epochs" or "steps"; "of the run" where neither is known).
    """
    scale, unit = _scale(results)
    sizes = []
    for row in results.delays[results.delays["state"].isin(states)].to_dict("records"):
        lengths = {key: row[key] * scale for key in ("delay", "interval_low", "interval_high")}
        about = {"state": int(row["state"]), "n_visiting": int(row["n_visiting"])}
        sizes.append(about | lengths | {"p_value": row["p_value"], "unit": unit})
    return sizes


def _scale(results: ExperimentResults) -> tuple[float, str]:
    """What a fraction of the longest run is multiplied with, and the unit that it has then."""
    from training_maps.stats.least_squares import ROUNDING  # with SciPy; not to print summaries

    known = results.convergence[results.convergence["fraction"] > 0]
    for column in ("epoch", "step"):
        ratios = known[column] / known["fraction"]
        # Epochs are no multiple of steps where runs differ in their batch size.
        if (
            len(ratios)
            and ratios.notna().all()
            and (ratios.max() - ratios.min()) <= (1e3 * ROUNDING * ratios.max())
        ):
            return float(ratios.iloc[0]), f"{column}s"
    return 1.0, "of the run"


def delay_sentence(size: dict[str, Any]) -> str:
    """ "Runs that pass through state 2 converge later than the average run: by 18 epochs (…)."."""
    unit = size["unit"]
    keys = ("delay", "interval_low", "interval_high")
    delay, low, high = (_number(size[key], unit) for key in keys)
    return (
        f"Runs that pass through state {size['state']} converge later than the average run: by "
        f"{delay} {unit} (95 % interval {low} to {high}, {size['n_visiting']} runs)."
    )


def _number(value: float, unit: str) -> str:
    """A share of the run in per cent; of large numbers no decimals, of small ones two digits."""
    if unit == "of the run":
        return percent(value)
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.2g}"


def what_delays(summary: dict[str, Any]) -> list[str]:
    """The headline's sentences of delays: each one's size, or that there is none.

    Nothing where the outcome is no time, or is not known.
    """
    outcome = summary["outcome"]
    if not outcome or not outcome["is_time"]:
        return []
    if not summary["delays"]:
        return ["No state is seen to delay the runs that pass through it."]
    sizes = {size["state"]: size for size in summary.get("delay_sizes") or ()}
    unsized = [state for state in summary["delays"] if state not in sizes]
    sentences = [delay_sentence(sizes[s]) for s in summary["delays"] if s in sizes]
    if unsized:
        states = f"{'state' if len(unsized) == 1 else 'states'} {listing(unsized)}"
        sentences.append(f"Runs that pass through {states} converge later than the average run.")
    return sentences
