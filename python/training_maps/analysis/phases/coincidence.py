"""Which state or transition of their paths runs are at when something happens to them.

An event of a run *coincides* with a transition if that is the nearest of its path (the earlier of
two as near) and at most `tolerance` checkpoints away. It happens *in* the state of its checkpoint.

Coincidences come by chance too, so each count stands beside two others:

- at the times of the other runs: the mean number when every run is given another run's event. The
  test is of this kind: events are dealt to the runs anew, in all orders where they are few, else in
  `N_PERMUTATIONS` random ones, and p is the share of deals with as many coincidences or more
  (Fisher 1935; Phipson and Smyth 2010). It is exact if the event has nothing to do with the run's
  path, however alike the runs' times are. Holm's method adjusts for the number of states and
  transitions looked at; those that every deal leaves at the same count cannot be told of, whatever
  happens, and are not tests (Tarone 1990).
- at random times: the sum over runs of the share of the run's checkpoints at which an event would
  coincide. That is no test: where all runs do everything at about the same time, any event beats
  it. Its p-value, of a sum of independent trials of different probabilities (a Poisson binomial),
  adjusted likewise, is told beside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import permutations
from math import factorial
from typing import Any

import numpy as np

from training_maps.stats.permutation_test import holm
from training_maps.utils.numbers import Bools, Ints

Edge = tuple[int, int]

SIGNIFICANCE = 0.05
# Random deals of events to runs, where there are more than `_MOST_EXACT` in all (from 8 runs on).
N_PERMUTATIONS = 9999
_MOST_EXACT = 20_000
_RANDOM_STATE = 0
# From this share of the runs on, another run's event would coincide as well.
SAME_TIMES = 0.6


@dataclass(frozen=True)
class Coincidence:
    """How often an event coincides with a state or a transition.

    Attributes:
        state: the state; None for a transition.
        transition: the transition (from, to); None for a state.
        n_runs: runs whose event coincides with it.
        n_events: runs that have the event.
        share: n_runs over n_events.
        expected_at_random: the number of runs expected at random times.
        p_value: share of the ways to deal the events to the runs that give as many or more,
            adjusted for all states and transitions tested; 1 where all ways give the same.
        p_value_at_random: probability of as many or more at random times, adjusted for all states
            and transitions looked at.
        expected_of_other_runs: the number of runs expected at the times of the other runs; None
            with one run.
    """

    state: int | None
    transition: Edge | None
    n_runs: int
    n_events: int
    share: float
    expected_at_random: float
    p_value: float
    p_value_at_random: float
    expected_of_other_runs: float | None

    @property
    def is_finding(self) -> bool:
        """Whether event and state or transition move together from run to run beyond chance."""
        return self.p_value < SIGNIFICANCE

    @property
    def at_same_times(self) -> bool:
        """Whether other runs' times would do for most runs as well, so that nothing can be told."""
        others = self.expected_of_other_runs
        alike = others is not None and others >= SAME_TIMES * self.n_events
        return alike and not self.is_finding

    def to_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return {**asdict(self), "transition": list(self.transition) if self.transition else None}


def nearest_transitions(states: Ints, tolerance: int) -> list[Edge | None]:
    """The transition that an event at each checkpoint of a path coincides with, if any.

    Args:
        states: (n,) state at each checkpoint.
        tolerance: checkpoints between the event and the first one in the new state, at most.
    """
    return [
        (int(states[entry - 1]), int(states[entry])) if entry else None
        for entry in _nearest_entries(states, tolerance).tolist()
    ]


def _nearest_entries(states: Ints, tolerance: int) -> Ints:
    """Where (n,) the transition that coincides enters its state; 0 if there is none."""
    entries = np.flatnonzero(states[1:] != states[:-1]) + 1
    at = np.arange(len(states))
    if not entries.size:
        return np.zeros_like(at)
    following = np.searchsorted(entries, at)
    before = entries[np.maximum(following - 1, 0)]
    after = entries[np.minimum(following, len(entries) - 1)]
    nearest = np.where(np.abs(at - before) <= np.abs(after - at), before, after)
    return np.where(np.abs(at - nearest) <= tolerance, nearest, 0)


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
    # Runs are many, checkpoints few: all hits are kept as a column for each time of an event.
    times, of_run = np.unique([events[seed] for seed in seeds], return_inverse=True)
    hits = [_hits(thing, seeds, at_each, times) for thing in things]
    found = [
        _count(thing, seeds, at_each, of_thing, of_run)
        for thing, of_thing in zip(things, hits, strict=True)
    ]
    at_random = holm([one.p_value_at_random for one in found])
    adjusted = _permuted(hits, of_run)
    judged = [
        replace(one, p_value=p, p_value_at_random=q)
        for one, p, q in zip(found, adjusted, at_random, strict=True)
    ]
    return sorted(judged, key=lambda one: -one.n_runs)


def permuted_counts(hits: Bools, of_run: Ints | None = None) -> tuple[Ints, bool]:
    """How many runs coincide when the events are dealt to the runs in other orders.

    Args:
        hits: (n, n_times), whether run i would coincide at each time of an event.
        of_run: (n,) the column of each run's event; without it, each run has its own.

    Returns:
        The counts, one a deal; and whether they are all n! deals, the real one among them, rather
        than random ones.
    """
    columns = np.arange(len(hits)) if of_run is None else of_run
    deals, exact = _deals(columns)
    return _counts(hits, deals), exact


def _deals(of_run: Ints) -> tuple[Ints, bool]:
    """The time that each run (n,) is dealt in each deal, (n, n_deals); whether they are all."""
    n = len(of_run)
    exact = n <= 12 and factorial(n) <= _MOST_EXACT
    deals = _all_deals(n) if exact else _random_deals(n)
    return np.ascontiguousarray(of_run.astype(np.int32)[deals].T), exact


def _counts(hits: Bools, deals: Ints) -> Ints:
    counts = np.zeros(deals.shape[1], dtype=np.int64)
    for of_run, dealt in zip(hits, deals, strict=True):
        counts += of_run[dealt]
    return counts


@lru_cache(maxsize=8)
def _all_deals(n: int) -> Ints:
    return np.array(list(permutations(range(n))), dtype=np.int64).reshape(factorial(n), n)


@lru_cache(maxsize=1)
def _random_deals(n: int) -> Ints:
    rows = np.tile(np.arange(n), (N_PERMUTATIONS, 1))
    return np.random.default_rng(_RANDOM_STATE).permuted(rows, axis=1, out=rows)


def _permuted(hits: Sequence[Bools], of_run: Ints) -> list[float]:
    """The p-value of each state or transition by permutation, adjusted for those that vary."""
    p_values = [1.0] * len(hits)
    # Of the others each run coincides at all times or at none, or all do at the same times.
    tested = [
        i
        for i, of_thing in enumerate(hits)
        if not (of_thing == of_thing[:, :1]).all() and not (of_thing == of_thing[:1]).all()
    ]
    if not tested:
        return p_values
    deals, exact = _deals(of_run)
    for i in tested:
        counts = _counts(hits[i], deals)
        as_many = int((counts >= _n_hits(hits[i], of_run)).sum())
        p_values[i] = as_many / len(counts) if exact else (1 + as_many) / (1 + len(counts))
    for i, p in zip(tested, holm([p_values[i] for i in tested]), strict=True):
        p_values[i] = p
    return p_values


def _n_hits(hits: Bools, of_run: Ints) -> int:
    """How many runs coincide at the times of their own events."""
    return int(hits[np.arange(len(hits)), of_run].sum())


def tail_probability(probabilities: Sequence[float], at_least: int) -> float:
    """Probability that at least so many of independent events happen (a Poisson binomial)."""
    counts = np.ones(1)
    for p in probabilities:
        counts = np.convolve(counts, [1 - p, p])
    return float(min(1.0, counts[at_least:].sum()))


def _marks(states: Ints, tolerance: int) -> dict[int | Edge, np.ndarray]:
    """At which checkpoints (n,) an event would coincide with each state and transition."""
    marks: dict[int | Edge, np.ndarray] = {int(k): states == k for k in np.unique(states)}
    entries = _nearest_entries(states, tolerance)
    before, after = states[entries - 1], states[entries]
    for edge in set(zip(before[entries > 0].tolist(), after[entries > 0].tolist(), strict=True)):
        marks[edge] = (entries > 0) & (before == edge[0]) & (after == edge[1])
    return marks


def _hits(
    thing: int | Edge,
    seeds: Sequence[int],
    at_each: Mapping[int, Mapping[int | Edge, np.ndarray]],
    times: Ints,
) -> Bools:
    """Whether each run coincides with a state or transition at each of the times, (n, n_times)."""
    never = np.zeros(1, dtype=bool)
    marks = [at_each[seed].get(thing, never) for seed in seeds]
    shape = (len(seeds), len(times))
    found = [mark[np.minimum(times, len(mark) - 1)] for mark in marks]
    return np.array(found, dtype=bool).reshape(shape)


def _count(
    thing: int | Edge,
    seeds: Sequence[int],
    at_each: Mapping[int, Mapping[int | Edge, np.ndarray]],
    hits: Bools,
    of_run: Ints,
) -> Coincidence:
    """The count of one state or transition, its p-values not yet adjusted."""
    n = len(seeds)
    shares = [float(at_each[s][thing].mean()) if thing in at_each[s] else 0.0 for s in seeds]
    n_runs = _n_hits(hits, of_run)
    n_of_all = int((hits.sum(axis=0) * np.bincount(of_run, minlength=hits.shape[1])).sum())
    return Coincidence(
        state=thing if isinstance(thing, int) else None,
        transition=None if isinstance(thing, int) else thing,
        n_runs=n_runs,
        n_events=n,
        share=n_runs / n,
        expected_at_random=sum(shares),
        p_value=1.0,
        p_value_at_random=tail_probability(shares, n_runs),
        expected_of_other_runs=float(n_of_all - n_runs) / (n - 1) if n > 1 else None,
    )


def _order(thing: int | Edge) -> tuple[int, ...]:
    """Transitions first, so that of equal counts theirs, the more particular, comes first."""
    return (1, thing) if isinstance(thing, int) else (0, *thing)
