"""How far two halves of the runs agree, on states, on ways through them, and on their number.

Both decode all runs with what they chose, seen or not, so that the same checkpoints are compared.

- **States.** The adjusted Rand index over all checkpoints (Hubert and Arabie 1985): 1 if states
  differ in their numbers only, about 0 if they are unrelated. Two halves of a single state agree.
- **Routes.** A run's route is its sequence of states, without repeats. This is the share of runs
  that take the same route by both, once the halves' states are matched one to one by the
  checkpoints that they share. An index corrected for chance would be 0 as soon as all but one run
  go one way.
- **Number of states.** Whether both choose the same kind of model with as many states.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from training_maps.model_selection.criteria import Candidate, choose
from training_maps.reproducibility.halves import pairs_of
from training_maps.reproducibility.refit import HalfFit
from training_maps.stats.agreement import adjusted_rand_index, match_states
from training_maps.utils.numbers import Ints


def chosen_by(halves: Sequence[HalfFit], criterion: str, aggregate: str) -> dict[int, Candidate]:
    """What each half chooses among its fits, by its number; those without fits are left out.

    Args:
        halves: fits to some of the runs.
        criterion: as `training_maps.model_selection.criteria.choose` takes it, of the half's own
            validation runs.
        aggregate: likewise.
    """
    return {
        half.number: choose(half.scores, criterion, aggregate)[0]
        for half in sorted(halves, key=lambda half: half.number)
        if half.candidates
    }


def chosen_without(structure: Mapping[str, Any], halves: Sequence[HalfFit]) -> dict[int, Candidate]:
    """What all halves outside its pair choose for each half, by its number.

    Args:
        structure: as in `structure.json`.
        halves: the fits; a model that a half could not fit is not chosen for it.
    """
    able = {half.number: half.candidates for half in halves}
    rows = structure.get("choice_without") or ()
    chosen = {int(row["half"]): Candidate(row["model"], int(row["n_states"])) for row in rows}
    return {number: one for number, one in chosen.items() if one in able.get(number, ())}


def compare_halves(
    halves: Sequence[HalfFit], chosen: Mapping[int, Candidate]
) -> list[dict[str, Any]]:
    """How far the halves of each pair agree (`training_maps.reproducibility.halves.pairs_of`).

    Args:
        halves: fits to some of the runs.
        chosen: a candidate for each half to compare, by its number.

    Returns:
        For each pair: `halves`, their numbers; `chosen`, the model and number of states of either;
        `states`, the adjusted Rand index; `routes`, the share of runs; `n_states`, whether both
        choose the same.
    """
    return [
        {
            "halves": list(pair),
            "chosen": [chosen[number]._asdict() for number in pair],
            "states": adjusted_rand_index(a, b),
            "routes": route_agreement(a, b, halves[0].lengths),
            "n_states": chosen[pair[0]] == chosen[pair[1]],
        }
        for pair, a, b in paths_of_pairs(halves, chosen)
    ]


def paths_of_pairs(
    halves: Sequence[HalfFit], chosen: Mapping[int, Candidate]
) -> Iterator[tuple[tuple[int, int], Ints, Ints]]:
    """Of each pair of halves, their numbers and what states either gives all runs, (n,) each.

    The arguments are those of `compare_halves`.
    """
    by_number = {half.number: half for half in halves if half.number in chosen}
    for pair in pairs_of(list(by_number), halves[0].scheme) if halves else []:
        a, b = (by_number[number].path_of(chosen[number]) for number in pair)
        yield pair, a, b


def mean_agreement(pairs: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Means over pairs of `states`, `routes` and `n_states`; None where there are no pairs."""
    return {
        name: float(np.mean([pair[name] for pair in pairs])) if pairs else None
        for name in ("states", "routes", "n_states")
    }


def compare_candidates(halves: Sequence[HalfFit]) -> list[dict[str, Any]]:
    """How far halves agree on every candidate, if it is not chosen anew but given.

    Returns:
        For each candidate that some pair has: `model`, `n_states`, `n_pairs`, means over pairs of
        `states` and `routes`, and `worst_states`, the pair that agrees least.
    """
    candidates = sorted({c for half in halves for c in half.candidates}, key=lambda c: c.order)
    rows = []
    for candidate in candidates:
        given = {half.number: candidate for half in halves if candidate in half.candidates}
        pairs = compare_halves(halves, given)
        if pairs:
            mean = mean_agreement(pairs)
            rows.append(
                {
                    **candidate._asdict(),
                    "n_pairs": len(pairs),
                    "states": mean["states"],
                    "worst_states": min(pair["states"] for pair in pairs),
                    "routes": mean["routes"],
                }
            )
    return rows


def routes_of(path: Ints, lengths: Ints) -> list[tuple[int, ...]]:
    """The route of each run: its states, without repeats.

    Args:
        path: (n,) states of all runs, concatenated.
        lengths: (M,) checkpoints of each run.
    """
    ends = np.cumsum(lengths)
    begins = np.append(True, path[1:] != path[:-1])
    begins[ends - lengths] = True
    states, first = path[begins].tolist(), 0
    routes = []
    for last in np.cumsum(begins)[ends - 1].tolist():
        routes.append(tuple(states[first:last]))
        first = last
    return routes


def route_agreement(a: Ints, b: Ints, lengths: Ints) -> float:
    """Share of runs that take the same route, under two ways to give states (n,).

    States of `b` are matched with those of `a`; one without a match is a state of its own.
    """
    match = match_states(a, b)
    without = int(a.max()) + 1
    numbers = np.array([match.get(state, without + state) for state in range(int(b.max()) + 1)])
    pairs = zip(routes_of(a, lengths), routes_of(numbers[b], lengths), strict=True)
    return float(np.mean([one == other for one, other in pairs]))
