"""The verdict in sentences: are there states at all, by how much, and how sure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training_maps.utils.wording import kind_of_model

_WHAT = {
    "phases": "Training has phases: states as ways of moving foretell",
    "regions": "Training moves between regions: states as places foretell",
}


def verdict_sentence(structure: Mapping[str, Any]) -> str:
    """Whether the runs drift, go through phases or move between regions.

    Args:
        structure: as in `structure.json`.
    """
    verdict, gains = structure["verdict"], structure["gains"]
    if verdict is None:
        return "Whether there are states at all is not known: no run could be held out."
    if verdict == "drift":
        better = max(("autoregressive", "gaussian"), key=lambda name: _mean(gains[name]))
        return (
            "Training drifts: states are not seen to foretell runs better than a smooth drift "
            f"({_amount(gains[better])})."
        )
    gain = gains["autoregressive" if verdict == "phases" else "gaussian"]
    return f"{_WHAT[verdict]} other runs better than smooth drift ({_amount(gain)})."


def map_sentence(structure: Mapping[str, Any], model: str, n_states: int) -> str | None:
    """What the states of the drawn map are, where they are not what the verdict names.

    Args:
        structure: as in `structure.json`.
        model: kind of the model whose map is drawn.
        n_states: its number of states.
    """
    verdict = structure["verdict"]
    if verdict is None or n_states == 1:
        return None
    if verdict == "drift":
        return f"The {n_states} states below are slices of that drift."
    wanted = "gaussian" if verdict == "regions" else "autoregressive"
    if wanted in model:
        return None
    moving = structure["gains"]["moving"]["mean"] or 0.0
    worse = moving if verdict == "phases" else -moving
    if worse <= 0:  # as good, within what is sure
        return (
            f"The map below has {kind_of_model(model)} states, another kind than the verdict names."
        )
    return (
        f"The map below has {kind_of_model(model)} states, which foretell other runs worse by "
        f"{worse:.1f} nats a checkpoint."
    )


def choice_sentence(structure: Mapping[str, Any]) -> str:
    """Whether halves of the runs agree on the model that was chosen by that."""
    choice = structure["choice"]
    of = f"{choice['n_states']} {kind_of_model(choice['model'])} states"
    agree = f"adjusted Rand index {choice['agreement']:.2f}, at worst {choice['worst']:.2f}"
    if choice["found_again"]:
        return f"Halves of the runs agree on {of} ({agree})."
    return f"Halves of the runs agree on no number of states; most on {of} ({agree})."


def _mean(gain: Mapping[str, Any]) -> float:
    return float("-inf") if gain["mean"] is None else float(gain["mean"])


def _amount(gain: Mapping[str, Any]) -> str:
    amount = f"{_signed(gain['mean'])} nats a checkpoint"
    if gain["low"] is None:
        return f"{amount}, {gain['n_runs']} runs: too few for an interval"
    return f"{amount}, 95 % interval {_signed(gain['low'])} to {_signed(gain['high'])}"


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")
