"""Whether there are states at all, and which of them are found again: what all halves say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from training_maps.analysis.reproducibility.agreement import paths_of_pairs
from training_maps.model_selection.criteria import Candidate
from training_maps.reproducibility.rates import rates_of
from training_maps.reproducibility.refit import HalfFit
from training_maps.stats.agreement import adjusted_rand_index, agreed_information
from training_maps.structure.choice import Agreed, Choice, choose_found_again
from training_maps.structure.ladder import Ladder, judge
from training_maps.structure.sentences import verdict_sentence


def structure_of(halves: Sequence[HalfFit], tried: Iterable[Candidate]) -> dict[str, Any]:
    """The ladder, its verdict, and the model whose map other seeds would show.

    Args:
        halves: fits to halves of the runs, and to folds where these judge.
        tried: the models that the experiment chooses from.

    Returns:
        Ready for JSON: what `training_maps.structure.ladder.Ladder` has; `sentence`; `choice`, the
        model that halves agree on (`training_maps.structure.choice`), None if there is none; and
        `choice_without`, for each half what all halves outside its pair would choose, so that the
        choice too can be held against runs that had no say in it. (In what folds foretell, all runs
        have.)
    """
    tried = list(tried)
    fitted = sorted((h for h in halves if h.reason is None), key=lambda half: half.number)
    folds = [fit for fit in fitted if fit.scheme == "folds"]
    compared = [fit for fit in fitted if fit.scheme != "folds"]
    ladder = judge(rates_of(fitted))
    found = {**ladder.to_dict(), "scheme": compared[0].scheme if compared else None}
    choice = _choice(compared, tried, ladder)
    return {
        **found,
        "n_halves": len(compared),
        "n_folds": len(folds),
        "sentence": verdict_sentence(found),
        "choice": choice and choice.to_dict(),
        "choice_without": _choices_without(compared, folds, tried),
    }


def _choice(halves: Sequence[HalfFit], tried: Sequence[Candidate], ladder: Ladder) -> Choice | None:
    """The choice of some halves, whose ladder is given."""
    agreement = {}
    for candidate in tried:
        given = {half.number: candidate for half in halves if candidate in half.candidates}
        agreement[candidate] = [
            Agreed(adjusted_rand_index(a, b), agreed_information(a, b))
            for _, a, b in paths_of_pairs(halves, given)
        ]
    return choose_found_again(ladder, agreement, tried) if halves else None


def _choices_without(
    halves: Sequence[HalfFit], folds: Sequence[HalfFit], tried: Sequence[Candidate]
) -> list[dict[str, Any]]:
    """For each half, what all others outside its pair choose; all choose if none were left."""
    found: dict[int, Choice | None] = {}
    for half in halves:
        outside = [other for other in halves if _pair(other) != _pair(half)] or list(halves)
        if _pair(half) not in found:  # both halves of a pair have the same outside
            found[_pair(half)] = _choice(outside, tried, judge(rates_of([*folds, *outside])))
    choices = [(half.number, found[_pair(half)]) for half in halves]
    return [{"half": number, **choice.to_dict()} for number, choice in choices if choice]


def _pair(half: HalfFit) -> int:
    """The number of a half's pair; a fit that leaves out a run is by itself."""
    return half.number // 2 if half.scheme == "halves" else half.number
