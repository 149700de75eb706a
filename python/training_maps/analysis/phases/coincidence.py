"""Which state or transition of their paths runs are at when something happens to them.

An event of a run *coincides* with a transition if that is the nearest of its path (the earlier of
two as near) and at most `tolerance` checkpoints away. It happens *in* the state of its checkpoint.

Coincidences come by chance too: where runs change state often, any time is near a transition. So
each count stands beside what it would be

- at random times: the sum over runs of the share of the run's checkpoints at which an event would
  coincide; with the probability of as many or more, which is that of a sum of independent trials of
  different probabilities (a Poisson binomial), adjusted by Holm's method for the number of states
  and transitions looked at;
- at the times of the other runs: the mean number when every run is given another run's event. Where
  this is as high as the count, runs do the same at the same time, and it cannot be told whether
  state and event belong together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from training_maps.stats.permutation_test import holm
from training_maps.utils.numbers import Ints

Edge = tuple[int, int]


@dataclass(frozen=True)
class Coincidence:
    """How often an event coincides with a state or a transition.

    Attributes:
        state: the state; None for a transition.
        transition: the transition (from, to); None for a state.
        n_runs: runs whose event coincides with it.
        share: their share of the runs that have the event.
        expected_at_random: the number of runs expected at random times.
        p_value: probability of as many or more at random times, adjusted for all states and
            transitions looked at.
        expected_of_other_runs: the number of runs expected at the times of the other runs; None
            with one run.
    """

    state: int | None
    transition: Edge | None
    n_runs: int
    share: float
    expected_at_random: float
    p_value: float
    expected_of_other_runs: float | None

    def to_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return {**asdict(self), "transition": list(self.transition) if self.transition else None}


def nearest_transitions(states: Ints, tolerance: int) -> list[Edge | None]:
    """The transition that an event at each checkpoint of a path coincides with, if any.

    Args:
        states: (n,) state at each checkpoint.
        tolerance: checkpoints between the event and the first one in the new state, at most.
    """
    entries = np.flatnonzero(states[1:] != states[:-1]) + 1
    if not entries.size:
        return [None] * len(states)
    distance = np.abs(np.arange(len(states))[:, None] - entries)
    nearest = entries[distance.argmin(axis=1)]
    near = distance.min(axis=1) <= tolerance
    return [
        (int(states[entry - 1]), int(states[entry])) if close else None
        for entry, close in zip(nearest.tolist(), near.tolist(), strict=True)
    ]


def coincidences(
    paths: Mapping[int, Ints], events: Mapping[int, int], tolerance: int
) -> list[Coincidence]:
    """How often events coincide with each state and transition, the most often first.

    Args:
        paths: states (n,) at the checkpoints of each run.
        events: position in its path of the event of each run that has one.
        tolerance: see `nearest_transitions`.
    """
    seeds = sorted(events)
    at_each = {seed: _marks(paths[seed], tolerance) for seed in seeds}
    things = sorted({thing for marks in at_each.values() for thing in marks}, key=_order)
    found = [_count(thing, seeds, at_each, events) for thing in things]
    adjusted = holm([one.p_value for one in found])
    judged = [
        Coincidence(**{**vars(one), "p_value": p}) for one, p in zip(found, adjusted, strict=True)
    ]
    return sorted(judged, key=lambda one: -one.n_runs)


def tail_probability(probabilities: Sequence[float], at_least: int) -> float:
    """Probability that at least so many of independent events happen (a Poisson binomial)."""
    counts = np.ones(1)
    for p in probabilities:
        counts = np.convolve(counts, [1 - p, p])
    return float(min(1.0, counts[at_least:].sum()))


def _marks(states: Ints, tolerance: int) -> dict[int | Edge, np.ndarray]:
    """At which checkpoints (n,) an event would coincide with each state and transition."""
    near = nearest_transitions(states, tolerance)
    marks: dict[int | Edge, np.ndarray] = {int(k): states == k for k in np.unique(states)}
    for edge in {edge for edge in near if edge is not None}:
        marks[edge] = np.array([other == edge for other in near])
    return marks


def _count(
    thing: int | Edge,
    seeds: Sequence[int],
    at_each: Mapping[int, Mapping[int | Edge, np.ndarray]],
    events: Mapping[int, int],
) -> Coincidence:
    """The count of one state or transition, its p-value not yet adjusted."""
    never = np.zeros(1, dtype=bool)
    marks = [at_each[seed].get(thing, never) for seed in seeds]
    shares = [float(mark.mean()) for mark in marks]
    at = np.array([events[seed] for seed in seeds])
    n_runs, others = 0, 0.0
    for i, mark in enumerate(marks):
        hits = mark[np.minimum(at, len(mark) - 1)]  # of this run, at every run's time
        n_runs += int(hits[i])
        others += float(hits.sum() - hits[i]) / max(len(seeds) - 1, 1)
    return Coincidence(
        state=thing if isinstance(thing, int) else None,
        transition=None if isinstance(thing, int) else thing,
        n_runs=n_runs,
        share=n_runs / len(seeds),
        expected_at_random=sum(shares),
        p_value=tail_probability(shares, n_runs),
        expected_of_other_runs=others if len(seeds) > 1 else None,
    )


def _order(thing: int | Edge) -> tuple[int, ...]:
    """Transitions first, so that of equal counts theirs, the more particular, comes first."""
    return (1, thing) if isinstance(thing, int) else (0, *thing)
