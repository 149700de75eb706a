"""Which states, transitions, forks and delays of a map the halves of the runs have too.

Both the map and a half give every checkpoint of every run a state.

- **A state** is matched with the half's state that holds most of the same checkpoints, by their
  Jaccard index (those in both, as a share of those in either), one to one so that the indices' sum
  is largest (Kuhn 1955). It is found again if its index is at least `ALIKE`.
- **A transition** is found again if both its states are, and the runs that take it are mostly those
  that take the transition between their matches: Jaccard index of the runs at least `ALIKE`.
- **A fork** is found again if its state is, the half's map forks there as well, and it parts the
  runs alike: of the runs that take a branch of the map's fork, adjusted Rand index of the branches
  they take by the map and by the half at least `ALIKE`. Runs that take none by the half are a
  branch of their own.
- **A delay** is found again if its state is, and its match is a delay by the same rule.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from training_maps.analysis.forks import Fork, find_forks
from training_maps.stats.agreement import adjusted_rand_index, contingency
from training_maps.utils.numbers import Ints

#: Least index of what counts as the same.
ALIKE = 0.5

#: The states of a table of paths (`seed`, `step`, `state`) that delay runs.
FindDelays = Callable[[pd.DataFrame], Collection[int]]


def matched_states(map_states: Ints, half_states: Ints) -> dict[int, int]:
    """By state of the map that is found again, the half's state that it is.

    Args:
        map_states: (n,) states of all checkpoints by the map, counted from 0.
        half_states: (n,) states of the same checkpoints by a half, under numbers of their own.
    """
    from scipy.optimize import linear_sum_assignment

    n_states = int(max(map_states.max(), half_states.max())) + 1
    both = contingency(map_states, half_states, n_states)
    either = both.sum(axis=1)[:, None] + both.sum(axis=0)[None, :] - both
    index = both / np.maximum(either, 1)
    rows, columns = linear_sum_assignment(index, maximize=True)
    return {
        int(of_map): int(of_half)
        for of_map, of_half in zip(rows, columns, strict=True)
        if index[of_map, of_half] >= ALIKE
    }


def runs_of_transitions(paths: pd.DataFrame) -> dict[tuple[int, int], set[int]]:
    """The seeds that take each transition; `paths` is sorted by seed and step."""
    seeds, states = paths["seed"].to_numpy(), paths["state"].to_numpy()
    moves = np.flatnonzero((seeds[1:] == seeds[:-1]) & (states[1:] != states[:-1]))
    taken: dict[tuple[int, int], set[int]] = {}
    for at in moves.tolist():
        edge = int(states[at]), int(states[at + 1])
        taken.setdefault(edge, set()).add(int(seeds[at]))
    return taken


def parts_alike(fork: Fork, other: Fork) -> bool:
    """Whether two forks part the runs that take a branch of the first alike."""
    by_other = {seed: branch.to for branch in other.branches for seed in branch.seeds}
    ours = [(seed, branch.to) for branch in fork.branches for seed in branch.seeds]
    a = np.array([to for _, to in ours])
    b = np.array([by_other.get(seed, -1) + 1 for seed, _ in ours])
    return len(set(b.tolist())) > 1 and adjusted_rand_index(a, b) >= ALIKE


def found_again(
    paths: pd.DataFrame, of_halves: Sequence[Ints], find_delays: FindDelays | None = None
) -> dict[str, list[dict[str, Any]]]:
    """The share of halves that have each state, transition, fork and delay of the map.

    Args:
        paths: the map's: `seed`, `step`, `state`, a row a checkpoint, sorted by seed and step.
        of_halves: for each half, the states (n,) of the same checkpoints.
        find_delays: what names delays; none are looked for if None.

    Returns:
        `states`, `transitions`, `forks` and `delays`, each a list of rows ready for JSON, with
        `state` (of transitions `from` and `to`), and `share`, from 0 to 1.
    """
    found = [_of_half(paths, states, find_delays) for states in of_halves]
    here = _parts(paths, find_delays)
    rows: dict[str, list[dict[str, Any]]] = {}
    for kind, parts in here.items():
        rows[kind] = [
            {
                **({"from": part[0], "to": part[1]} if kind == "transitions" else {"state": part}),
                "share": sum(part in half[kind] for half in found) / len(found),
            }
            for part in parts
        ]
    return rows


def _parts(paths: pd.DataFrame, find_delays: FindDelays | None) -> dict[str, list[Any]]:
    """What there is on a map."""
    return {
        "states": sorted(int(state) for state in paths["state"].unique()),
        "transitions": sorted(runs_of_transitions(paths)),
        "forks": [fork.state for fork in find_forks(paths)],
        "delays": sorted(find_delays(paths)) if find_delays else [],
    }


def _of_half(
    paths: pd.DataFrame, states: Ints, find_delays: FindDelays | None
) -> Mapping[str, set[Any]]:
    """What of the map's a half has too."""
    there = paths.assign(state=states)
    match = matched_states(paths["state"].to_numpy(), states)
    taken, taken_there = runs_of_transitions(paths), runs_of_transitions(there)
    forks_there = {fork.state: fork for fork in find_forks(there)}
    delays = set(find_delays(there)) if find_delays else set()
    return {
        "states": set(match),
        "transitions": {
            (a, b)
            for (a, b), runs in taken.items()
            if a in match
            and b in match
            and _jaccard(runs, taken_there.get((match[a], match[b]), set())) >= ALIKE
        },
        "forks": {
            fork.state
            for fork in find_forks(paths)
            if match.get(fork.state) in forks_there
            and parts_alike(fork, forks_there[match[fork.state]])
        },
        "delays": {state for state, of_half in match.items() if of_half in delays},
    }


def _jaccard(a: set[int], b: set[int]) -> float:
    return len(a & b) / len(a | b)
