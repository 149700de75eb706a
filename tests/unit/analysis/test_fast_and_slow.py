"""Transitions of fast and of slow runs: counts by hand, and tests against SciPy and by deals."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from tests.support.known_chains import paths_of
from training_maps.analysis.fast_and_slow import fast_and_slow, fisher_exact

FAST, SLOW = [0, 2, 3], [0, 1, 2, 3]


def times_of(steps, converged=None):
    converged = [True] * len(steps) if converged is None else converged
    return pd.DataFrame({"seed": range(len(steps)), "step": steps, "converged": converged})


def counts(found):
    return {use.transition: (use.n_fast, use.n_slow) for use in found.transitions}


def late(n):
    """Convergence times after all checkpoints, `n` early and `n` late ones."""
    return times_of([*range(1000, 1000 + n), *range(2000, 2000 + n)])


class TestCounts:
    def test_each_transition_is_counted_once_a_run(self):
        paths = paths_of(*[FAST] * 3, SLOW, SLOW, [0, 1, 0, 1, 2, 3])
        found = fast_and_slow(paths, late(3))
        assert (found.n_fast, found.n_slow) == (3, 3)
        assert counts(found) == {
            (0, 1): (0, 3), (0, 2): (3, 0), (1, 0): (0, 1), (1, 2): (0, 3), (2, 3): (3, 3),
        }  # fmt: skip

    def test_what_comes_after_the_first_convergence_is_not_counted(self):
        """All runs enter state 2 at their third checkpoint; one has converged at its second."""
        paths = paths_of(*[[0, 1, 2]] * 6)
        steps = sorted(paths["step"].unique())
        found = fast_and_slow(paths, times_of([steps[1], 1001, 1002, 2000, 2001, 2002]))
        assert found.until_step == steps[1]
        assert counts(found) == {(0, 1): (3, 3)}

    def test_a_transition_at_a_fixed_time_differs_for_nobody(self):
        """Slow runs have had it before they converge, and fast ones have not; that is no matter."""
        paths = paths_of(*[[0] * 10 + [1] * 10] * 20)
        steps = sorted(paths["step"].unique())
        found = fast_and_slow(paths, times_of([*[steps[5]] * 10, *[steps[15]] * 10]))
        assert found.transitions == ()

    def test_runs_that_never_converge_are_slow(self):
        paths = paths_of(*[[0, 1]] * 4, *[[0, 2]] * 4)
        found = fast_and_slow(paths, times_of([500] * 8, [True] * 4 + [False] * 4))
        assert (found.n_fast, found.n_slow) == (4, 4)
        assert counts(found) == {(0, 1): (4, 0), (0, 2): (0, 4)}

    def test_the_run_at_the_median_is_neither(self):
        found = fast_and_slow(paths_of(*[[0, 1]] * 7), times_of(range(1000, 1007)))
        assert (found.n_fast, found.n_slow) == (3, 3)

    @pytest.mark.parametrize(
        ("steps", "converged"),
        [([5] * 10, None), ([1, 2, 3, 4, 5], None), ([9] * 10, [False] * 10)],
        ids=["all at once", "too few", "none converges"],
    )
    def test_nothing_is_said_without_three_of_each(self, steps, converged):
        paths = paths_of(*[[0, 1]] * len(steps))
        assert fast_and_slow(paths, times_of(steps, converged)) is None

    def test_runs_without_a_time_are_left_out(self):
        paths = paths_of(*[[0, 1]] * 8)
        found = fast_and_slow(paths, late(3))
        assert counts(found) == {(0, 1): (3, 3)}


class TestDifference:
    def test_a_way_of_the_fast_runs_alone_differs(self):
        found = fast_and_slow(paths_of(*[FAST] * 10, *[SLOW] * 10), late(10))
        differs = {use.transition: use.differs for use in found.transitions}
        assert differs == {(0, 1): True, (0, 2): True, (1, 2): True, (2, 3): False}

    def test_p_values_are_fishers_by_holms_method(self):
        rng = np.random.default_rng(0)
        paths = paths_of(*([FAST, SLOW][int(rng.random() < 0.3 + i / 40)] for i in range(24)))
        found = fast_and_slow(paths, late(12))
        tested = [use for use in found.transitions if use.n_fast + use.n_slow < 24]
        raw = [
            stats.fisher_exact([[u.n_fast, 12 - u.n_fast], [u.n_slow, 12 - u.n_slow]])[1]
            for u in tested
        ]
        expected = multipletests(raw, method="holm")[1]
        assert [use.p_value for use in tested] == pytest.approx(expected)
        assert [u.p_value for u in found.transitions if u not in tested] == [1.0]

    def test_random_ways_differ_in_at_most_five_percent_of_sets(self):
        """Holm's adjustment holds for all transitions of a map together."""
        rng = np.random.default_rng(1)
        wrong = 0
        for _ in range(200):
            paths = paths_of(*([FAST, SLOW][k] for k in rng.integers(2, size=20)))
            found = fast_and_slow(paths, late(10))
            wrong += any(use.differs for use in found.transitions)
        assert wrong <= 17  # 10 are expected at most; more than 17 have a probability of 0.01


class TestFisher:
    @given(st.integers(1, 12), st.integers(1, 12), st.data())
    def test_equals_scipy(self, all_fast, all_slow, data):
        a, b = data.draw(st.integers(0, all_fast)), data.draw(st.integers(0, all_slow))
        expected = stats.fisher_exact([[a, all_fast - a], [b, all_slow - b]])[1]
        assert fisher_exact(a, b, all_fast, all_slow) == pytest.approx(expected)

    def test_equals_the_share_of_all_deals(self):
        """Of 3 of 4 and 1 of 5: all ways to say which 4 of the 9 runs take the transition."""
        deals = [sum(i < 4 for i in chosen) for chosen in combinations(range(9), 4)]
        shares = {k: deals.count(k) / len(deals) for k in range(5)}
        expected = sum(share for share in shares.values() if share <= shares[3] + 1e-12)
        assert fisher_exact(3, 1, 4, 5) == pytest.approx(expected)
