"""Which model's map is drawn: the kind that the verdict names, with states that are found again.

Of runs that drift, no kind is right; their slices are of the kind that foretells better.

Every number of states foretells a little differently, and BIC takes the one that foretells the
validation runs best for its size; two halves of the runs then often end in different states. Here a
model counts only if the two halves of every pair agree on the states of all runs: an adjusted Rand
index of at least `AGREE` on average and `AGREE_AT_WORST` for each pair. Of those, the one is taken
whose states tell most: what two halves' states tell of each other less what they do not, on average
over the pairs (`training_maps.stats.agreement.agreed_information`). What models foretell has no say
in that: it is higher where a state's regression takes all metrics, however few states are found
again, and with more states than there are.

Where none counts, the one that halves agree on most is taken, and the choice is called fragile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from training_maps.model_selection.criteria import Candidate
from training_maps.structure.ladder import Ladder, rung_of

AGREE = 0.9
AGREE_AT_WORST = 0.8


@dataclass(frozen=True)
class Choice:
    """The model whose map is drawn.

    Attributes:
        model: its kind.
        n_states: its number of states K.
        agreement: mean adjusted Rand index of the states between halves; None if not known.
        worst: the least one.
        information: mean over pairs of what their states tell of each other less what they do not,
            in nats.
        found_again: whether halves agree on it, by the limits above.
    """

    model: str
    n_states: int
    agreement: float | None
    worst: float | None
    information: float
    found_again: bool

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return asdict(self)


class Agreed(NamedTuple):
    """How far two halves agree on the states of a model.

    Attributes:
        states: adjusted Rand index.
        information: what they tell of each other less what they do not, in nats.
    """

    states: float
    information: float


def choose_found_again(
    ladder: Ladder,
    agreement: Mapping[Candidate, Sequence[Agreed]],
    candidates: Iterable[Candidate],
) -> Choice | None:
    """Choose a model for the map.

    Args:
        ladder: what models foretell, and the verdict.
        agreement: by model, how far each pair of halves agrees.
        candidates: the models that an experiment tries.

    Returns:
        The choice; None where no half says anything of any candidate. Of equals, it is the one
        with fewest states, and the simplest kind.
    """
    ordered: list[Candidate] = sorted(candidates, key=lambda candidate: candidate.order)
    known = [candidate for candidate in ordered if agreement.get(candidate)]
    able = [c for c in known if c.n_states > 1]
    # Of drift, slices of the kind that foretells better.
    moving = ladder.verdict == "phases" or (
        ladder.verdict == "drift" and (ladder.gains["moving"].mean or 0.0) > 0
    )
    wanted = "autoregressive" if moving else "gaussian"
    of_kind = [c for c in able if rung_of(*c) == wanted] or able or known
    if not of_kind:
        return None
    judged = [_judged(candidate, agreement[candidate]) for candidate in of_kind]
    again = [choice for choice in judged if choice.found_again]
    if again:
        return max(again, key=lambda choice: choice.information)
    return max(judged, key=lambda choice: choice.agreement or 0.0)


def _judged(candidate: Candidate, pairs: Sequence[Agreed]) -> Choice:
    states = [pair.states for pair in pairs]
    mean, worst = float(np.mean(states)), float(np.min(states))
    information = float(np.mean([pair.information for pair in pairs]))
    found_again = mean >= AGREE and worst >= AGREE_AT_WORST
    return Choice(*candidate, mean, worst, information, found_again)
