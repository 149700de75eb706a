"""Whether there are states at all, and which of them are found again: what all halves say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from training_maps.analysis.reproducibility.agreement import compare_halves
from training_maps.model_selection.criteria import Candidate
from training_maps.reproducibility.halves import pairs_of
from training_maps.reproducibility.rates import rates_of
from training_maps.reproducibility.refit import HalfFit
from training_maps.structure.choice import Choice, choose_found_again
from training_maps.structure.ladder import judge
from training_maps.structure.sentences import verdict_sentence


def structure_of(halves: Sequence[HalfFit], tried: Iterable[Candidate]) -> dict[str, Any]:
    """The ladder, its verdict, and the model whose map other seeds would show.

    Args:
        halves: fits to halves of the runs.
        tried: the models that the experiment chooses from.

    Returns:
        Ready for JSON: what `training_maps.structure.ladder.Ladder` has; `sentence`; `choice`, the
        model that halves agree on (`training_maps.structure.choice`), None if there is none; and
        `choice_without`, for each half what all halves outside its pair would choose, so that the
        choice too can be held against runs that had no say in it.
    """
    tried = list(tried)
    fitted = sorted((h for h in halves if h.reason is None), key=lambda half: half.number)
    ladder = judge(rates_of(fitted))
    found = ladder.to_dict()
    choice = _choice(fitted, tried)
    without = [
        {"half": half.number, **choice_without.to_dict()}
        for half in fitted
        for choice_without in [_choice(_outside_pair(fitted, half), tried)]
        if choice_without is not None
    ]
    return {
        **found,
        "n_halves": len(fitted),
        "scheme": fitted[0].scheme if fitted else None,
        "sentence": verdict_sentence(found),
        "choice": choice and choice.to_dict(),
        "choice_without": without,
    }


def _choice(halves: Sequence[HalfFit], tried: Sequence[Candidate]) -> Choice | None:
    """The choice of some halves."""
    agreement = {}
    for candidate in tried:
        given = {half.number: candidate for half in halves if candidate in half.candidates}
        agreement[candidate] = [pair["states"] for pair in compare_halves(halves, given)]
    return choose_found_again(judge(rates_of(halves)), agreement, tried) if halves else None


def _outside_pair(halves: Sequence[HalfFit], half: HalfFit) -> list[HalfFit]:
    """All halves but this one and, of halves, the other one of its pair; all if none were left."""
    numbers = [other.number for other in halves]
    left_out = {half.number}
    if half.scheme == "halves":
        left_out |= {number for pair in pairs_of(numbers, half.scheme) if half.number in pair
                     for number in pair}  # fmt: skip
    kept = [other for other in halves if other.number not in left_out]
    return kept or list(halves)
