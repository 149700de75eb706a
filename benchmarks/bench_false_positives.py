"""How often detours, outliers and differences in spread are found where there are none.

Simulated runs, so that it is known what there is to find: those of tests/support for
detours, and runs that are exchangeable for outliers and spread. `docs/outcomes.md` states the
rates.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
from tests.support.simulated_runs import MAPS, ended, simulate, stay

from benchmarks import print_table
from training_maps import equally_spread, outlier_runs
from training_maps.analysis.semantics.outcomes import time_outcome
from training_maps.analysis.semantics.regression import regress
from training_maps.training_map.paths import state_shares

N_SIMULATIONS = 100


def detours(n_runs: int) -> list[list[str]]:
    """Shares of simulations in which each rule calls state 1 a detour, and any other state."""
    rows = []
    for draw in MAPS:
        found = []
        for seed in range(N_SIMULATIONS):
            paths, convergence = simulate(draw, n_runs, seed)
            outcome = time_outcome(convergence, "eval_accuracy", 0.9)
            fit = regress(state_shares(paths), outcome, n_resamples=200, alternatives=False)
            table = fit.coefficients.set_index("state")
            by_sign = set(fit.detour_states)
            by_interval = {state for state in by_sign if table.loc[state, "interval_low"] > 0}
            found.append([1 in by_sign, bool(by_sign - {1}), 1 in by_interval,
                          bool(by_interval - {1})])  # fmt: skip
        rows.append([draw.__name__, *(f"{x:.0%}" for x in np.mean(found, axis=0))])
    return rows


def of_spread(spread: float) -> Callable[[np.random.Generator], list[int]]:
    """Runs through four states whose stays scatter log-normally."""

    def draw(rng: np.random.Generator) -> list[int]:
        stays = np.maximum(1, 8 * rng.lognormal(0, spread, 3)).astype(int)
        return ended(*enumerate(stays.tolist()), (3, 1))

    return draw


def fork(share: float) -> Callable[[np.random.Generator], list[int]]:
    """Runs of which a share takes state 1, the others state 2."""

    def draw(rng: np.random.Generator) -> list[int]:
        branch = 1 if rng.random() < share else 2
        return ended((0, stay(rng, 12)), (branch, stay(rng, 16)), (3, 1))

    return draw


def wandering(rng: np.random.Generator) -> list[int]:
    """A Markov chain that leaves its state at one checkpoint in twenty, for any other."""
    states = [0]
    while len(states) < 100:
        leave = rng.random() < 0.05
        states.append((states[-1] + int(rng.integers(1, 4))) % 4 if leave else states[-1])
    return states


EXCHANGEABLE = {
    "stays, 30 % spread": of_spread(0.3),
    "stays, 60 % spread": of_spread(0.6),
    "fork, 50 % and 50 %": fork(0.5),
    "fork, 25 % and 75 %": fork(0.25),
    "fork, 10 % and 90 %": fork(0.1),
    "wandering": wandering,
}


def paths_of(runs: list[list[int]]) -> pd.DataFrame:
    """State paths of seeds 0, 1, ..."""
    lengths = [len(run) for run in runs]
    return pd.DataFrame(
        {
            "seed": np.repeat(np.arange(len(runs)), lengths),
            "step": np.concatenate([np.arange(length) for length in lengths]),
            "state": np.concatenate(runs),
        }
    )


def outliers(n_runs: int) -> list[list[str]]:
    """Shares of runs called outliers, of sets of runs with any, and of planted ones found."""
    rows = []
    for name, draw in EXCHANGEABLE.items():
        rng = np.random.default_rng(n_runs)
        found, planted = [], []
        for _ in range(N_SIMULATIONS):
            runs = [draw(rng) for _ in range(n_runs)]
            found.append(outlier_runs(paths_of(runs))["is_outlier"].to_numpy())
            runs[0] = [0] * 20 + [3] * 20 + [1] * 60
            planted.append(outlier_runs(paths_of(runs))["is_outlier"].iloc[0])
        called = np.array(found)
        rates = (called.mean(), called.any(axis=1).mean(), np.mean(planted))
        rows.append([name, str(n_runs), *(f"{rate:.1%}" for rate in rates)])
    return rows


def spreads(n_first: int, n_second: int) -> list[list[str]]:
    """Shares of p-values below 0.05 for groups of equal spread, the second with other states."""
    rows = []
    for name, draw in EXCHANGEABLE.items():
        rng = np.random.default_rng(n_first)
        hits = 0
        for _ in range(N_SIMULATIONS):
            first, second = (paths_of([draw(rng) for _ in range(n)]) for n in (n_first, n_second))
            second["state"] = 3 - second["state"]
            hits += equally_spread(first, second, n_permutations=199).p_value <= 0.05
        rows.append([name, f"{n_first} and {n_second}", f"{hits / N_SIMULATIONS:.1%}"])
    return rows


def main() -> None:
    """Print the three tables, or those that are named on the command line."""
    wanted = sys.argv[1:] or ["detours", "outliers", "spread"]
    if "detours" in wanted:
        header = ["map", "state 1", "another", "state 1, interval", "another, interval"]
        print_table(header, detours(40))
    if "outliers" in wanted:
        header = ["runs that are", "runs", "outliers", "sets with any", "planted one found"]
        print_table(header, [row for n in (20, 40) for row in outliers(n)])
    if "spread" in wanted:
        sizes = ((10, 10), (8, 30))
        rows = [row for pair in sizes for row in spreads(*pair)]
        print_table(["runs that are", "groups", "p at most 0.05"], rows)


if __name__ == "__main__":
    main()
