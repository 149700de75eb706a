"""Simulated chains with known maps, forks and returns: the pipeline finds them, and no others.

State paths are drawn first, so that what is to be found is known; convergence times follow the
branch taken, or do not.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training_maps.analysis.forks import explain_forks, find_forks
from training_maps.hmm.observations import Observations
from training_maps.model_selection.select import select_hmm
from training_maps.training_map.map import TrainingMap
from training_maps.utils.seeds import format_seeds

N_CHECKPOINTS = 120


def drawn_paths(rng, routes, n=N_CHECKPOINTS):
    """State paths of runs that take the given routes, with stays of random length."""
    tables = []
    for seed, route in enumerate(routes):
        cuts = np.sort(rng.choice(np.arange(4, n - 4, 4), len(route) - 1, replace=False))
        states = np.repeat(route, np.diff([0, *cuts, n]))
        tables.append(pd.DataFrame({"seed": seed, "step": 10 * np.arange(n), "state": states}))
    return pd.concat(tables, ignore_index=True)


def two_forks(rng, n_runs, returns=0.0):
    """Routes 0-(1 or 2)-3-(4 or 5)-6, each branch at random; some runs go back from 3 to 0."""
    routes = []
    for _ in range(n_runs):
        first, second = int(rng.integers(1, 3)), int(rng.integers(4, 6))
        back = [0, 3] if rng.random() < returns else []
        routes.append([0, first, 3, *back, second, 6])
    return routes


def convergence(rng, routes, effect=0.0, skewed=False):
    """Convergence times that are later by `effect` standard deviations after branch 2."""
    noise = (rng.exponential if skewed else rng.normal)(size=len(routes))
    steps = 600 + 100 * (noise + effect * np.array([2 in route for route in routes]))
    return pd.DataFrame(
        {"seed": range(len(routes)), "step": steps.round().astype(int), "converged": True}
    )


class TestForks:
    @given(st.integers(0, 10_000))
    @settings(max_examples=15, deadline=None)
    def test_planted_forks_are_found_and_no_others(self, seed):
        rng = np.random.default_rng(seed)
        routes = two_forks(rng, 30, returns=0.3)
        forks = find_forks(drawn_paths(rng, routes))
        assert [fork.state for fork in forks] == [0, 3]
        for fork, targets in zip(forks, ([1, 2], [4, 5]), strict=True):
            for branch in fork.branches:
                taken = tuple(s for s, route in enumerate(routes) if branch.to in route)
                assert branch.to in targets
                assert branch.seeds == taken

    def test_linear_chains_with_returns_have_no_fork(self):
        rng = np.random.default_rng(0)
        routes = [[0, 1, 0, 1, 2, 3] if rng.random() < 0.5 else [0, 1, 2, 3] for _ in range(30)]
        paths = drawn_paths(rng, routes)
        assert find_forks(paths) == ()
        assert not TrainingMap.from_paths(paths).is_linear  # by the letter it is not, and says why
        back = [seed for seed, route in enumerate(routes) if len(route) > 4]
        note = f"; {len(back)} runs (seeds {format_seeds(back)}) went back to earlier states."
        assert note in " ".join(map(str, TrainingMap.from_paths(paths).notes))

    def test_the_fork_that_matters_is_told_from_the_one_that_does_not(self):
        """Of 25 sets of 40 runs: power at an effect of two standard deviations, and specificity."""
        rng = np.random.default_rng(1)
        found = []
        for _ in range(25):
            routes = two_forks(rng, 40)
            forks = explain_forks(
                drawn_paths(rng, routes), convergence(rng, routes, effect=2), n_permutations=999
            ).forks
            found.append([fork.predicts_convergence for fork in forks])
        matters, does_not = np.array(found).T
        assert matters.mean() >= 0.95
        # The second fork is tested at 5 % once the first is rejected: 0.05 + three standard errors.
        assert does_not.mean() <= 0.05 + 3 * (0.05 * 0.95 / 25) ** 0.5

    def test_false_positives_without_any_effect(self):
        """The probability that any fork is said to matter; benchmarks/check_forks.py has more."""
        rng = np.random.default_rng(2)
        n = 80
        wrong = 0
        for _ in range(n):
            routes = two_forks(rng, 12)
            times = convergence(rng, routes, skewed=True)
            forks = explain_forks(drawn_paths(rng, routes), times, n_permutations=199).forks
            wrong += any(fork.predicts_convergence for fork in forks)
        assert wrong / n <= 0.05 + 3 * (0.05 * 0.95 / n) ** 0.5
        assert wrong > 0  # a test that never rejects would pass the line above


MEANS = np.array([[0, 0, 0], [4, 1, -2], [-3, 3, 1], [1, -4, 3]], dtype=float)


@pytest.fixture(scope="module")
def simulated():
    """Forty runs: 24 go 0-1-3, 12 go 0-2-3 and 4 go 0-1-0-1-3; and the map found of them.

    Observations are drawn as the model supposes them, from a Gaussian of each state, and not
    z-scored: z-scores of a run depend on how long it is in which state, and shift its states.
    """
    rng = np.random.default_rng(5)
    routes = [[0, 1, 3]] * 24 + [[0, 2, 3]] * 12 + [[0, 1, 0, 1, 3]] * 4
    truth = drawn_paths(rng, routes, n=80)
    drawn = MEANS[truth["state"].to_numpy()] + 0.4 * rng.normal(size=(len(truth), 3))
    table = truth[["seed", "step"]].assign(
        split=np.where(truth["seed"] % 5 == 4, "validation", "train"),
        **dict(zip("abc", drawn.T, strict=True)),
    )
    seen = Observations(table, ("a", "b", "c"))
    model = select_hmm(seen, n_states=range(2, 7), restarts=3, random_state=0)
    return truth, routes, TrainingMap.from_model(model)


class TestFromObservations:
    """States are drawn with well separated Gaussians; the model, then the map, must find them."""

    def test_states_and_routes(self, simulated):
        truth, routes, tmap = simulated
        both = tmap.paths.merge(truth, on=["seed", "step"], suffixes=("", "_true"))
        assert len(tmap.states) == 4
        share = pd.crosstab(both["state"], both["state_true"], normalize="index")
        of = share.idxmax(axis=1)  # which true state each state found is
        assert (both["state"].map(of) == both["state_true"]).mean() >= 0.99
        ways = {seed: tuple(dict.fromkeys(of[k] for k in run["state"]))
                for seed, run in tmap.paths.groupby("seed")}  # fmt: skip
        expected = [tuple(dict.fromkeys(route)) for route in routes]
        assert np.mean([ways[seed] == way for seed, way in enumerate(expected)]) >= 0.95

    def test_the_fork_and_what_it_means(self, simulated):
        _, routes, tmap = simulated
        rng = np.random.default_rng(6)
        times = convergence(rng, routes, effect=2)
        forks = explain_forks(tmap.paths, times).forks
        (first,) = [fork for fork in forks if fork.state == 0]
        assert [branch.n_runs for branch in first.branches] == pytest.approx([28, 12], abs=1)
        assert first.predicts_convergence
        assert first.branches[1].mean_step > first.branches[0].mean_step
        nothing = explain_forks(tmap.paths, convergence(rng, routes)).forks
        assert not any(fork.predicts_convergence for fork in nothing)
