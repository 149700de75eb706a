"""Which model's map is drawn: the kind that the verdict names, with states that are found again.

Of runs that drift, no kind is right; their slices are of the kind that foretells better.

Every number of states foretells a little differently, and BIC takes the one that foretells the
validation runs best for its size; two halves of the runs then often end in different states. Here a
model counts only if the two halves of every pair agree on the states of all runs: an adjusted Rand
index of at least `AGREE` on average and `AGREE_AT_WORST` for each pair. Of those of a kind, the one
that foretells unseen runs best is taken; of the kinds, then, the one with most states. What kinds
foretell says how states move, not which states there are: those whose regression takes all metrics
foretell better than those that take each by itself, even where only the latter's are found again.

Where none counts, the one that halves agree on most is taken, and the choice is called fragile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

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
        found_again: whether halves agree on it, by the limits above.
    """

    model: str
    n_states: int
    agreement: float | None
    worst: float | None
    found_again: bool

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return asdict(self)


def choose_found_again(
    ladder: Ladder,
    agreement: Mapping[Candidate, Sequence[float]],
    candidates: Iterable[Candidate],
) -> Choice | None:
    """Choose a model for the map.

    Args:
        ladder: what models foretell, and the verdict.
        agreement: by model, the adjusted Rand index of each pair of halves.
        candidates: the models that an experiment tries.

    Returns:
        The choice; None where no half says anything of any candidate.
    """
    ordered: list[Candidate] = sorted(candidates, key=lambda candidate: candidate.order)
    rate: dict[tuple[str, int | None], float] = {
        (m["model"], m["n_states"]): m["mean"] for m in ladder.members
    }
    known = [c for c in ordered if tuple(c) in rate and agreement.get(c)]
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
        best: dict[str, Choice] = {}  # by kind
        for one in sorted(again, key=lambda one: -rate[one.model, one.n_states]):
            best.setdefault(one.model, one)
        return max(best.values(), key=lambda one: (one.n_states, rate[one.model, one.n_states]))
    return max(judged, key=lambda choice: choice.agreement or 0.0)


def _judged(candidate: Candidate, indices: Sequence[float]) -> Choice:
    mean, worst = float(np.mean(indices)), float(np.min(indices))
    return Choice(*candidate, mean, worst, mean >= AGREE and worst >= AGREE_AT_WORST)
