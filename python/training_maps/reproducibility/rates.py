"""What the ladder of models (`training_maps.structure.ladder`) needs of the fits to halves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training_maps.model_selection.criteria import Candidate
from training_maps.reproducibility.refit import HalfFit
from training_maps.structure.ladder import LADDER, Member, rung_of
from training_maps.utils.numbers import Floats

#: The models with states that stand on the ladder.
ON_LADDER = tuple(Candidate(model, k) for model, numbers in LADDER.items() for k in numbers)


def rates_of(halves: Sequence[HalfFit]) -> dict[Member, Floats]:
    """How well each model foretells the runs that it did not see, in nats a checkpoint.

    Args:
        halves: the fits; those without fits (`reason`) count for nothing, nor do halves where
            there are folds (`training_maps.reproducibility.halves`).

    Returns:
        By member of the ladder, (H, M) for H of the fits and M runs; NaN where the half saw
        the run, did not fit the model, or the run has a single checkpoint.
    """
    fitted = [half for half in halves if half.reason is None]
    fitted = [half for half in fitted if half.scheme == "folds"] or fitted
    rates: dict[Member, Floats] = {}
    for number, half in enumerate(fitted):
        foretold = half.lengths - 1
        unseen = ~half.inside & (foretold > 0)
        for member, density in _members(half).items():
            rate = np.where(unseen, density / np.maximum(foretold, 1), np.nan)
            rates.setdefault(member, np.full((len(fitted), len(rate)), np.nan))[number] = rate
    return rates


def _members(half: HalfFit) -> dict[Member, Floats]:
    """The densities (M,) of each model on the ladder."""
    found = {Member("field", name, None): density for name, density in half.others.items()}
    for candidate, density in zip(half.candidates, half.predictive, strict=True):
        rung = rung_of(*candidate)
        if rung is not None:
            found[Member(rung, *candidate)] = density
    return found
