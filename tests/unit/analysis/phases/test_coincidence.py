"""What coincides with a phase: the nearest transitions, and how many chance would give."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from training_maps.analysis.phases.coincidence import (
    coincidences,
    nearest_transitions,
    tail_probability,
)


class TestNearestTransitions:
    def test_by_hand(self):
        states = np.array([0, 0, 0, 1, 1, 1, 1, 1, 2, 0])
        expected = [None, (0, 1), (0, 1), (0, 1), (0, 1), (0, 1), (1, 2), (1, 2), (1, 2), (2, 0)]
        assert nearest_transitions(states, 2) == expected
        assert nearest_transitions(states, 0) == [
            {3: (0, 1), 8: (1, 2), 9: (2, 0)}.get(i) for i in range(10)
        ]
        assert nearest_transitions(np.zeros(4, int), 9) == [None] * 4

    @given(st.lists(st.integers(0, 2), min_size=1, max_size=15), st.integers(0, 4))
    @settings(max_examples=60, deadline=None)
    def test_equals_a_plain_loop(self, states, tolerance):
        entries = [i for i in range(1, len(states)) if states[i] != states[i - 1]]
        expected = []
        for i in range(len(states)):
            near = sorted(entries, key=lambda e: (abs(e - i), e))
            close = near and abs(near[0] - i) <= tolerance
            expected.append((states[near[0] - 1], states[near[0]]) if close else None)
        assert nearest_transitions(np.array(states), tolerance) == expected


class TestChance:
    def test_poisson_binomial_by_brute_force(self):
        p = [0.1, 0.5, 0.7, 0.25]
        for at_least in range(6):
            expected = sum(
                np.prod([q if hit else 1 - q for q, hit in zip(p, hits, strict=True)])
                for hits in itertools.product([0, 1], repeat=4)
                if sum(hits) >= at_least
            )
            assert tail_probability(p, at_least) == pytest.approx(expected)

    def test_equal_probabilities_are_binomial(self):
        assert tail_probability([0.3] * 20, 9) == pytest.approx(stats.binom.sf(8, 20, 0.3))

    def test_counts_and_expectations_by_hand(self):
        paths = {0: np.array([0, 0, 1, 1]), 1: np.array([0, 1, 1, 1])}
        found = {c.transition or c.state: c for c in coincidences(paths, {0: 2, 1: 3}, 0)}
        assert set(found) == {(0, 1), 0, 1}
        edge = found[0, 1]
        assert (edge.n_runs, edge.share) == (1, 0.5)
        assert edge.expected_at_random == 0.5  # one of four checkpoints in each run
        assert edge.expected_of_other_runs == 0  # run 0 at 3, run 1 at 2: neither enters then
        assert (found[1].n_runs, found[1].expected_at_random) == (2, 1.25)
        assert found[1].expected_of_other_runs == 2
        assert found[0].expected_at_random == 0.75

    def test_p_values_are_adjusted_for_all_that_is_looked_at(self):
        paths = {0: np.repeat([0, 1], [10, 10]), 1: np.repeat([0, 1], [5, 15])}
        found = {c.transition or c.state: c for c in coincidences(paths, {0: 10, 1: 5}, 0)}
        assert found[0, 1].p_value == pytest.approx(3 / 20**2)  # the smallest of three, by Holm

    def test_random_times_are_rarely_significant(self):
        """The probability that anything is, without any relation, is at most 5 %."""
        rng = np.random.default_rng(0)
        rejected = 0
        for _ in range(300):
            paths, events = {}, {}
            for seed in range(12):
                cuts = np.sort(rng.choice(np.arange(1, 60), 3, replace=False))
                paths[seed] = np.repeat([0, 1, 2, 3], np.diff([0, *cuts, 60]))
                events[seed] = int(rng.integers(60))
            rejected += any(c.p_value < 0.05 for c in coincidences(paths, events, 3))
        assert rejected / 300 <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5

    def test_one_run_has_no_others_to_compare_with(self):
        (edge, first, second) = coincidences({4: np.array([0, 1, 1])}, {4: 1}, 0)
        assert edge.transition == (0, 1)  # of equal counts the transition, which says more
        assert edge.expected_of_other_runs is None
        assert {first.state, second.state} == {0, 1}
        assert edge.to_dict()["transition"] == [0, 1]
        assert first.to_dict()["transition"] is None

    def test_no_events_no_coincidences(self):
        assert coincidences({0: np.array([0, 1])}, {}, 1) == []
        assert tail_probability([], 0) == 1.0
        assert tail_probability([], 1) == 0.0
