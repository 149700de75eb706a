"""Simulated runs through known maps: planted detours are found, and none where there is none."""

from __future__ import annotations

import pytest

from tests.support import simulated_runs
from training_maps.analysis.semantics.outcomes import time_outcome
from training_maps.analysis.semantics.regression import regress
from training_maps.training_map.paths import find_routes, state_shares

# docs/outcomes.md states the rates of many more simulations (benchmarks/bench_false_positives.py).
N_SIMULATIONS = 10


def found_in(draw, n_runs=40):
    """The detours of each simulation, by the sign and by the interval."""
    by_sign, by_interval = [], []
    for seed in range(N_SIMULATIONS):
        paths, convergence = simulated_runs.simulate(draw, n_runs, seed)
        outcome = time_outcome(convergence, "eval_accuracy", 0.9)
        fit = regress(state_shares(paths), outcome, n_resamples=200, alternatives=False)
        table = fit.coefficients.set_index("state")
        by_sign.append(fit.detour_states)
        by_interval.append(tuple(s for s in by_sign[-1] if table.loc[s, "interval_low"] > 0))
    return by_sign, by_interval


def test_a_planted_detour_is_found_and_no_other():
    assert found_in(simulated_runs.detour) == ([(1,)] * N_SIMULATIONS,) * 2


@pytest.mark.parametrize("draw", [simulated_runs.linear, simulated_runs.unrelated])
def test_nothing_is_found_on_a_linear_map_or_where_time_has_nothing_to_do_with_it(draw):
    assert found_in(draw)[0] == [()] * N_SIMULATIONS


def test_a_branch_that_costs_nothing():
    """Its coefficient is 0 but for noise, so that the sign alone is a coin's toss."""
    by_sign, by_interval = found_in(simulated_runs.harmless)
    assert 1 <= sum(1 in detours for detours in by_sign) <= 9
    assert sum(1 in detours for detours in by_interval) <= 2


def test_the_simulated_maps_are_what_they_are_called():
    for draw, routes in (
        (simulated_runs.detour, {(0, 2), (0, 1, 2)}),
        (simulated_runs.harmless, {(0, 2), (0, 2, 1)}),
        (simulated_runs.linear, {(0, 1, 2)}),
        (simulated_runs.equal_branches, {(0, 1, 2), (0, 3, 2)}),
    ):
        paths, _ = simulated_runs.simulate(draw, 40, seed=0)
        assert {route.states for route in find_routes(paths)} == routes
