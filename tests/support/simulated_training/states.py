"""Runs through states: linear chains, forks with and without delay, short cuts.

A run goes through states in an order, its route, and stays in each for a number of checkpoints
drawn anew. A state is a way of moving: its runs relax towards its target, or drift at its velocity;
or it is a plateau, about which its runs scatter. A run converges as it enters its last state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from tests.support.simulated_training.runs import (
    METRICS,
    N_CHECKPOINTS,
    N_LATENT,
    SimulatedRuns,
    Truth,
    convergence_table,
    independent_times,
    loadings,
    metric_tables,
    path_table,
    training_logs,
)
from training_maps.utils.numbers import Floats, Ints

Motion = Literal["relaxing", "drifting", "plateau"]
# States of a run, each with its usual number of checkpoints of 100; the last is to the end.
Route = Sequence[tuple[int, float]]

_NOISE = 0.03  # of a metric at each checkpoint, in the curves' standard deviations
_SHAKE = 0.05  # of a latent curve from one checkpoint to the next
_KEPT = 0.92  # of the distance to a target, from one checkpoint to the next
_APART = 2.5  # the least distance between a state's target and the others'


def chain_relaxing(n_runs: int, seed: int, n_checkpoints: int = N_CHECKPOINTS) -> SimulatedRuns:
    """A linear chain of 3 or 4 states, each of which relaxes towards a target of its own."""
    return _chain("chain_relaxing", "relaxing", n_runs, seed, n_checkpoints)


def chain_drifting(n_runs: int, seed: int, n_checkpoints: int = N_CHECKPOINTS) -> SimulatedRuns:
    """A linear chain of 3 or 4 states, each of which drifts at a velocity of its own."""
    return _chain("chain_drifting", "drifting", n_runs, seed, n_checkpoints)


def chain_plateaus(n_runs: int, seed: int, n_checkpoints: int = N_CHECKPOINTS) -> SimulatedRuns:
    """A linear chain of 3 or 4 plateaus, about which the runs scatter: the paper's states."""
    return _chain("chain_plateaus", "plateau", n_runs, seed, n_checkpoints)


def fork_equal(n_runs: int, seed: int, n_checkpoints: int = N_CHECKPOINTS) -> SimulatedRuns:
    """Half go 0-1-3, half 0-2-3, which takes as long."""
    routes = (((0, 18), (1, 25), (3, 0)), ((0, 18), (2, 25), (3, 0)))
    return _runs("fork_equal", "relaxing", n_runs, seed, n_checkpoints, routes)


def fork_delay(n_runs: int, seed: int, n_checkpoints: int = N_CHECKPOINTS) -> SimulatedRuns:
    """Half go 0-2, half 0-1-2: state 1 costs what it takes."""
    routes = (((0, 20), (2, 0)), ((0, 20), (1, 25), (2, 0)))
    delays = frozenset({1})
    return _runs("fork_delay", "relaxing", n_runs, seed, n_checkpoints, routes, delays=delays)


def short_cut(n_runs: int, seed: int, n_checkpoints: int = N_CHECKPOINTS) -> SimulatedRuns:
    """Half go 0-1-3 with 6 checkpoints in state 1, half 0-2-3 with 30 in state 2.

    Visitors of state 2 are late, so that it is a delay; those of state 1 are early.
    """
    routes = (((0, 20), (1, 6), (3, 0)), ((0, 20), (2, 30), (3, 0)))
    return _runs(
        "short_cut",
        "relaxing",
        n_runs,
        seed,
        n_checkpoints,
        routes,
        delays=frozenset({2}),
        short_cuts=frozenset({1}),
    )


def stark_fork(n_runs: int, seed: int, n_checkpoints: int = N_CHECKPOINTS) -> SimulatedRuns:
    """The fork of `fork_equal`, with branches three times as far from all else."""
    routes = (((0, 18), (1, 25), (3, 0)), ((0, 18), (2, 25), (3, 0)))
    return _runs("stark_fork", "relaxing", n_runs, seed, n_checkpoints, routes, far=(1, 2))


def _chain(kind: str, motion: Motion, n_runs: int, seed: int, n_checkpoints: int) -> SimulatedRuns:
    """All runs in the same order, through 3 states for even seeds and 4 for odd ones."""
    route = ((0, 18), (1, 24), (2, 0)) if seed % 2 == 0 else ((0, 16), (1, 20), (2, 22), (3, 0))
    return _runs(kind, motion, n_runs, seed, n_checkpoints, (route,))


def _runs(
    kind: str,
    motion: Motion,
    n_runs: int,
    seed: int,
    n_checkpoints: int,
    routes: Sequence[Route],
    *,
    delays: frozenset[int] = frozenset(),
    short_cuts: frozenset[int] = frozenset(),
    far: Sequence[int] = (),
) -> SimulatedRuns:
    """Runs of which equal shares take each route, in random order."""
    rng = np.random.default_rng(seed)
    taken = rng.permutation(n_runs) % len(routes)
    states, converged = _paths(rng, [routes[route] for route in taken], n_checkpoints)
    n_states = 1 + max(state for route in routes for state, _ in route)
    targets = _targets(rng, n_states, far)
    latent = {"relaxing": _relax, "drifting": _move, "plateau": _scatter}[motion](
        rng, states, targets
    )
    noise = _NOISE * rng.normal(size=(n_runs, n_checkpoints, len(METRICS)))
    values = latent @ loadings(rng).T + noise
    memorised = independent_times(rng, n_runs, 0.18 * n_checkpoints, n_checkpoints)
    truth = Truth(
        kind,
        "regions" if motion == "plateau" else "phases",
        path_table(states),
        convergence_table(converged),
        forks=len(routes) > 1,
        delays=delays,
        short_cuts=short_cuts,
        n_states=n_states,
        coincident=frozenset({"generalisation"}),
    )
    logs = training_logs(rng, memorised, converged, n_checkpoints)
    return SimulatedRuns(metric_tables(values), logs, truth)


def _paths(
    rng: np.random.Generator, routes: Sequence[Route], n_checkpoints: int
) -> tuple[Ints, Ints]:
    """States of all runs, (runs, checkpoints), and the checkpoint at which each enters its last."""
    states = np.empty((len(routes), n_checkpoints), dtype=np.int64)
    entered = np.zeros(len(routes), dtype=np.int64)
    for run, route in enumerate(routes):
        for state, mean in route[:-1]:
            usual = mean * n_checkpoints / 100
            # A third of the mean is the standard deviation of a stay.
            stay = max(2, int(rng.gamma(9, usual / 9)))
            states[run, entered[run] : entered[run] + stay] = state
            entered[run] += stay
        entered[run] = min(entered[run], n_checkpoints - 6)
        states[run, entered[run] :] = route[-1][0]
    return states, entered


def _targets(rng: np.random.Generator, n_states: int, far: Sequence[int]) -> Floats:
    """Points that are well apart, (states, N_LATENT); those of `far` three times as far out."""
    while True:
        targets = 1.5 * rng.normal(size=(n_states, N_LATENT))
        targets[list(far)] *= 3
        apart = np.linalg.norm(targets[:, None] - targets, axis=2)
        if apart[np.triu_indices(n_states, 1)].min() >= _APART * (2 if len(far) else 1):
            return targets


def _relax(rng: np.random.Generator, states: Ints, targets: Floats) -> Floats:
    """Latent curves (runs, checkpoints, N_LATENT) that go towards the target of their state."""
    n_runs, n_checkpoints = states.shape
    latent = np.empty((n_runs, n_checkpoints, N_LATENT))
    # The run begins away from the first target, so that its first state moves too.
    begin = targets[0] + _APART * _direction(rng)
    at = begin + 0.3 * rng.normal(size=(n_runs, N_LATENT))
    kept = _KEPT ** (N_CHECKPOINTS / n_checkpoints)
    for time in range(n_checkpoints):
        target = targets[states[:, time]]
        at = target + kept * (at - target) + _SHAKE * rng.normal(size=at.shape)
        latent[:, time] = at
    return latent


def _move(rng: np.random.Generator, states: Ints, targets: Floats) -> Floats:
    """Latent curves that go in their state's direction, at its pace."""
    n_checkpoints = states.shape[1]
    velocity = (targets - targets.mean(axis=0)) * 8 / n_checkpoints
    shake = _SHAKE * rng.normal(size=(*states.shape, N_LATENT))
    return np.cumsum(velocity[states] + shake, axis=1)


def _scatter(rng: np.random.Generator, states: Ints, targets: Floats) -> Floats:
    """Latent curves that scatter about their state's target, independently at each checkpoint."""
    return targets[states] + 0.3 * rng.normal(size=(*states.shape, N_LATENT))


def _direction(rng: np.random.Generator) -> Floats:
    """A unit vector, (N_LATENT,)."""
    vector = rng.normal(size=N_LATENT)
    return vector / np.linalg.norm(vector)
