"""Delays: closed forms, who counts as a visitor, and what is not tested."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.support.simulated_runs import detour, short_cut, simulate
from training_maps.analysis.semantics.delays import delays, mantel_byar, welch
from training_maps.analysis.semantics.outcomes import time_outcome, value_outcome
from training_maps.result_tables import DELAY_COLUMNS
from training_maps.utils.errors import InputError


def outcome_of(steps, converged=None, length=100):
    converged = [True] * len(steps) if converged is None else converged
    table = pd.DataFrame({"seed": range(len(steps)), "step": steps, "converged": converged})
    return time_outcome(table.assign(fraction=table["step"] / length), "eval_accuracy", 0.9)


def paths_of(*entered):
    """Runs of 11 checkpoints, steps 0 to 100, that enter state 1 at a step (None: never)."""
    rows = [
        (seed, step, int(at is not None and step >= at))
        for seed, at in enumerate(entered)
        for step in range(0, 101, 10)
    ]
    return pd.DataFrame(rows, columns=["seed", "step", "state"])


def test_welch_is_scipy_s():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 3, 7), rng.normal(1, 1, 12)
    difference, error, free = welch(a, b)
    peer = stats.ttest_ind(a, b, equal_var=False)
    assert difference / error == pytest.approx(peer.statistic)
    assert free == pytest.approx(peer.df)


def test_with_a_state_that_is_entered_at_the_start_it_is_the_log_rank_test():
    rng = np.random.default_rng(1)
    times, censored = rng.integers(1, 20, 30).astype(float), rng.random(30) < 0.3
    slow = np.arange(30) < 12
    z = mantel_byar(times, censored, np.where(slow, 0.0, np.inf))

    def data(chosen):
        return stats.CensoredData.right_censored(times[chosen], censored[chosen])

    assert abs(z) == pytest.approx(abs(stats.logrank(data(slow), data(~slow)).statistic))


def test_a_run_is_no_visitor_until_it_enters():
    """At time 1 one of two visits, and the other converges; at time 3 there is no other."""
    z = mantel_byar(np.array([1.0, 3.0]), np.array([False, False]), np.array([np.inf, 0.0]))
    assert z == pytest.approx(0.5 / np.sqrt(0.25))
    late = mantel_byar(np.array([1.0, 3.0]), np.array([False, False]), np.array([np.inf, 1.0]))
    assert late == 0


def test_a_visit_counts_before_convergence_only():
    paths = paths_of(20, 30, 40, 50, None, None, None)
    table = delays(paths, outcome_of([30, 30, 50, 40, 20, 30, 20])).set_index("state")
    assert table.loc[1, "n_visiting"] == 2  # seed 1 enters as it converges, seed 3 afterwards
    assert table.loc[0, ["n_visiting", "n_without"]].tolist() == [7, 0]
    censored = [True, True, True, False, True, True, True]
    table = delays(paths, outcome_of([30, 30, 50, 100, 20, 30, 20], censored)).set_index("state")
    assert table.loc[1, "n_visiting"] == 3
    assert table.loc[1, "n_without"] == 4


def test_nothing_is_claimed_of_fewer_than_three():
    for visitors in (2, 5):
        paths = paths_of(*[10] * visitors, *[None] * (7 - visitors))
        steps = [90, 80, 85, 95, 90][:visitors] + [20, 30, 25, 20, 30][: 7 - visitors]
        table = delays(paths, outcome_of(steps))
        assert table["delay"].isna().all()
        assert not table["is_delay"].any()


def test_the_delay_is_that_over_the_average_run():
    paths, convergence = simulate(short_cut, 40, 0)
    outcome = time_outcome(convergence, "eval_accuracy", 0.9)
    steps = convergence.set_index("seed")["step"]
    table = delays(paths, outcome, steps).set_index("state")
    times = convergence["fraction"].to_numpy()
    slow = paths[paths["state"] == 2]["seed"].unique()
    assert table.loc[2, "delay"] == pytest.approx(times[slow].mean() - times.mean())
    assert table.loc[2, "is_delay"]
    assert table.loc[2, "interval_low"] > 0
    assert table.loc[1, "delay"] < 0
    assert not table.loc[1, "is_delay"]
    n_tested = int(table["delay"].notna().sum())
    peer = stats.ttest_ind(times[slow], np.delete(times, slow), equal_var=False)
    interval = peer.confidence_interval(1 - 0.05 / n_tested)
    share = table.loc[2, "n_without"] / 40
    bounds = table.loc[2, ["interval_low", "interval_high"]].tolist()
    assert bounds == pytest.approx([share * interval.low, share * interval.high])


def test_only_times_have_delays():
    log = pd.DataFrame({"step": [0, 10], "epoch": [0.0, 1.0], "eval_accuracy": [0.1, 0.5]})
    paths = paths_of(None)
    table = delays(paths, value_outcome({0: log}, "eval_accuracy", "above", "final"))
    assert list(table) == list(DELAY_COLUMNS)
    assert table.empty


def test_a_missing_seed_is_named():
    paths, convergence = simulate(detour, 6, 0)
    with pytest.raises(InputError, match="seed 5"):
        delays(paths, time_outcome(convergence.iloc[:5], "eval_accuracy", 0.9))
    outcome = time_outcome(convergence, "eval_accuracy", 0.9)
    with pytest.raises(InputError, match="step of convergence for seed 5"):
        delays(paths, outcome, convergence.set_index("seed")["step"].iloc[:5])
