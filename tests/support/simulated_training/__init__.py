"""Sets of training runs whose truth is known: drift without states, chains of states, forks.

Each kind is a function of the number of runs and the seed of the random numbers, and gives what
the package takes: a table of metrics and a training log for each run. `KINDS` has them by name.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.support.simulated_training import drift, states
from tests.support.simulated_training.runs import SimulatedRuns, Truth

Simulate = Callable[..., SimulatedRuns]

DRIFTS: tuple[Simulate, ...] = (
    drift.drift_white,
    drift.drift_correlated,
    drift.drift_run_rates,
    drift.drift_metric_rates,
    drift.drift_heavy_tails,
    drift.drift_changing_noise,
    drift.drift_power_law,
    drift.drift_random_walk,
    drift.drift_wandering_pace,
    drift.noise_states,
)
CHAINS: tuple[Simulate, ...] = (
    states.chain_relaxing,
    states.chain_drifting,
    states.chain_plateaus,
)
FORKS: tuple[Simulate, ...] = (
    states.fork_equal,
    states.fork_delay,
    states.short_cut,
    states.stark_fork,
)
KINDS: dict[str, Simulate] = {kind.__name__: kind for kind in (*DRIFTS, *CHAINS, *FORKS)}

__all__ = ["CHAINS", "DRIFTS", "FORKS", "KINDS", "Simulate", "SimulatedRuns", "Truth"]
