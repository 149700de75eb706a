"""The verdict in sentences: are there states at all, by how much, and how sure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training_maps.utils.wording import kind_of_model, refits

_WHAT = {
    "phases": "Training has phases: states as ways of moving foretell",
    "regions": "Training moves between regions: states as places foretell",
}


def verdict_sentence(structure: Mapping[str, Any]) -> str:
    """Whether the runs drift, go through phases or move between regions.

    Args:
        structure: as in `structure.json`.
    """
    verdict = structure["verdict"]
    if verdict is None:
        return "Whether there are states at all is not known: no run could be held out."
    amount = _amount(_deciding(structure))
    if not is_judged(structure):
        return f"These runs do not tell whether training goes through states or drifts ({amount})."
    if verdict == "drift":
        return f"Training drifts: states foretell other runs worse than smooth drift ({amount})."
    return f"{_WHAT[verdict]} other runs better than smooth drift ({amount})."


def noise_sentence(structure: Mapping[str, Any]) -> str:
    """The verdict where the states of the map all differ from a neighbour in noise alone.

    Args:
        structure: as in `structure.json`, with a verdict that is one (`is_judged`).
    """
    better = "worse" if structure["verdict"] == "drift" else "better"
    return (
        "Training drifts, and its noise changes: states differ from each other in noise alone, and "
        f"foretell other runs {better} than smooth drift ({_amount(_deciding(structure))})."
    )


def is_judged(structure: Mapping[str, Any]) -> bool:
    """Whether the verdict is sure; a drift may only mean that nothing is known.

    Phases and regions are found where states surely gain. So a drift is sure only where states
    surely do not: where, of either kind of states, the whole interval of what they gain is below 0.
    With fewer than three runs that judge there is no interval.

    Args:
        structure: as in `structure.json`.
    """
    verdict, gains = structure["verdict"], structure["gains"]
    if verdict != "drift":
        return verdict is not None
    known = [gains[kind] for kind in ("autoregressive", "gaussian")]
    known = [gain for gain in known if gain["mean"] is not None]
    return all(gain["high"] is not None and gain["high"] < 0 for gain in known)


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
        are = "are slices of that drift" if is_judged(structure) else "may be slices of a drift"
        return f"The {n_states} states below {are}."
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
    some = refits(structure.get("scheme"))
    some = some[0].upper() + some[1:]
    if choice["found_again"]:
        return f"{some} agree on {of} ({agree})."
    return f"{some} agree on no number of states; most on {of} ({agree})."


def _deciding(structure: Mapping[str, Any]) -> Mapping[str, Any]:
    """The gain of the states that the verdict names; of a drift, of those that come nearest."""
    moving, places = structure["gains"]["autoregressive"], structure["gains"]["gaussian"]
    if structure["verdict"] == "drift":
        return moving if _mean(moving) >= _mean(places) else places
    return moving if structure["verdict"] == "phases" else places


def _mean(gain: Mapping[str, Any]) -> float:
    return float("-inf") if gain["mean"] is None else float(gain["mean"])


def _amount(gain: Mapping[str, Any]) -> str:
    amount = f"{_signed(gain['mean'])} nats a checkpoint"
    if gain["low"] is None:
        return f"{amount}, {gain['n_runs']} runs: too few for an interval"
    return f"{amount}, 90 % interval {_signed(gain['low'])} to {_signed(gain['high'])}"


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")
