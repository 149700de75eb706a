"""A placed run in words and numbers: a line, sentences, and what is written as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np

from training_maps.placing.forecast import LEVEL
from training_maps.placing.place import Placement
from training_maps.placing.reference import Reference
from training_maps.placing.usual import WARNED
from training_maps.utils.files import made_by
from training_maps.utils.wording import amount, plural

_KINDS = {
    "position": "it is further from the nearest of the map's runs than they are from each other",
    "dynamics": "its last step is one that the map's runs do not make",
}


def line(reference: Reference, placed: Placement, row: int | None = None) -> str:
    """Where the run is, in a line for the terminal; at the checkpoint `row`, or now."""
    row = len(placed.table) - 1 if row is None else row
    now = placed.table.iloc[row]
    share = now["step"] / reference.steps[-1]
    parts = [
        f"step {now['step']} ({share:.0%} of the map's)",
        f"state {now['state']} ({now['probability']:.0%})",
        f"percentile {now['percentile']:.0f}",
    ]
    if now["branch"]:
        parts.append(f"branch {now['branch']}")
    told = outcome_sentence(reference, placed, row)
    parts += [told] if told else []
    slow, warned = placed.slow_since, placed.first_warning
    parts += ["slow"] if slow is not None and slow <= row else []
    since = "no warning"
    if warned is not None and warned <= row:
        since = f"WARNING since step {placed.table['step'][warned]}"
    return f"{placed.run}: " + ", ".join([*parts, since])


def outcome_sentence(reference: Reference, placed: Placement, row: int) -> str:
    """What is expected of the run at a checkpoint; "" where nothing is."""
    forecast = reference.forecast
    if forecast is None:
        return ""
    now, name = placed.table.iloc[row], forecast.about["name"]
    if now["converged"]:
        return f"converged at step {amount(now['predicted'])}"
    if np.isnan(now["predicted"]):
        return f"{name} not yet reached, later than most of the map's runs"
    low, high = amount(now["predicted_low"]), amount(now["predicted_high"])
    if not forecast.is_time:
        return f"{name} expected: {amount(now['predicted'])} ({low} to {high})"
    if now["predicted"] < now["step"]:  # there is no log that would say
        return (
            f"converged at about step {amount(now['predicted'])} ({low} to {high}), by its metrics"
        )
    return f"{name} expected at step {amount(now['predicted'])} ({low} to {high})"


def warning_sentence(reference: Reference, placed: Placement) -> str:
    """Since when and by what the run leaves what the map's runs do; or that it does not."""
    row = placed.first_warning
    n_runs = reference.n_runs
    if row is None:
        return (
            f"It does what {reference.runs_told} do: no warning, of which at most "
            f"{WARNED:.0%} of such runs get any over their whole length."
        )
    at = placed.table.iloc[row]
    n_warned = int(placed.table["warning"].sum())
    first = (
        "; at its first checkpoint already, so that it may be another network" if row == 0 else ""
    )
    surely = (
        ""
        if reference.usual.by_rank
        else f" With {n_runs} runs the limit rests on their highest values being Gaussian."
    )
    return (
        f"From step {at['step']} on it leaves what {reference.runs_told} do: "
        f"{_KINDS[str(at['kind'])]}, above all in {placed.deviating[row]}{first} "
        f"({plural(n_warned, 'checkpoint')} beyond the limit, which at most {WARNED:.0%} of runs "
        f"like the map's ever pass).{surely}"
    )


def slow_sentence(reference: Reference, placed: Placement) -> str:
    """Whether the run is told to be slow; "" where that cannot be told."""
    forecast = reference.forecast
    if forecast is None or not forecast.is_time or not np.isfinite(forecast.any.slow_limit):
        return ""
    after = amount(forecast.slow_after)
    row = placed.slow_since
    if row is None:
        return f"It is not told to be among the slowest quarter (after step {after})."
    return (
        f"Since step {placed.table['step'][row]} it is told to be among the slowest quarter, "
        f"{forecast.about['name']} after step {after}."
    )


def to_dict(reference: Reference, placed: Placement) -> dict[str, Any]:
    """The run, ready for JSON."""
    now = placed.table.iloc[-1]
    sequence = placed.table["state"].to_numpy()
    begins = np.flatnonzero(np.diff(sequence, prepend=sequence[0] - 1))
    warned, slow = placed.first_warning, placed.slow_since
    sentences = [
        f"{line(reference, placed)}.",
        warning_sentence(reference, placed),
        slow_sentence(reference, placed),
    ]
    return {
        "run": placed.run,
        "map": reference.name,
        "n_checkpoints": len(placed.table),
        "step": int(now["step"]),
        "state": int(now["state"]),
        "probabilities": [round(float(p), 6) for p in placed.states[-1]],
        "path": [{"state": int(sequence[i]), "step": int(placed.table["step"][i])} for i in begins],
        "branch": str(now["branch"]) or None,
        "percentile": float(now["percentile"]),
        "outcome": _outcome(reference, now),
        "warning": None
        if warned is None
        else {
            "step": int(placed.table["step"][warned]),
            "kind": str(placed.table["kind"][warned]),
            "metric": placed.deviating[warned],
            "n_checkpoints": int(placed.table["warning"].sum()),
        },
        "slow_since": None if slow is None else int(placed.table["step"][slow]),
        "limit": {"share": WARNED, "by_rank": reference.usual.by_rank, "runs": reference.n_runs},
        "sentences": [text for text in sentences if text],
        "notes": [note.to_dict() for note in placed.notes],
        "made_by": made_by(),
    }


def _outcome(reference: Reference, now: Any) -> dict[str, Any] | None:
    if reference.forecast is None:
        return None
    names = ("predicted", "predicted_low", "predicted_high")
    numbers = {name: float(now[name]) if np.isfinite(now[name]) else None for name in names}
    return {
        "name": reference.forecast.about["name"],
        "unit": "step" if reference.forecast.is_time else reference.forecast.about["unit"],
        "level": LEVEL,
        "converged": bool(now["converged"]),
        **numbers,
    }
