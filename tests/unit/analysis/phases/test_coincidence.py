"""What coincides with a phase: the nearest transitions, and how many chance would give."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.support.timed_events import chain_and_events
from training_maps.analysis.phases.coincidence import (
    coincidences,
    nearest_transitions,
    permuted_counts,
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

    def test_a_long_run_takes_no_table_of_all_checkpoints_and_transitions(self):
        states = np.arange(100_000) % 2  # a table would have 10^10 entries
        found = nearest_transitions(states, 2)
        assert found[:4] == [(0, 1), (0, 1), (1, 0), (0, 1)]
        assert len(found) == len(states)


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

    def test_p_values_at_random_are_adjusted_for_all_that_is_looked_at(self):
        paths = {0: np.repeat([0, 1], [10, 10]), 1: np.repeat([0, 1], [5, 15])}
        found = {c.transition or c.state: c for c in coincidences(paths, {0: 10, 1: 5}, 0)}
        assert found[0, 1].p_value_at_random == pytest.approx(3 / 20**2)  # of three, by Holm

    def test_random_times_are_rarely_significant(self):
        """The probability that anything is, without any relation, is at most 5 %."""
        rng = np.random.default_rng(0)
        rejected = permuted = 0
        for _ in range(300):
            paths, events = {}, {}
            for seed in range(12):
                cuts = np.sort(rng.choice(np.arange(1, 60), 3, replace=False))
                paths[seed] = np.repeat([0, 1, 2, 3], np.diff([0, *cuts, 60]))
                events[seed] = int(rng.integers(60))
            found = coincidences(paths, events, 3)
            rejected += any(c.p_value_at_random < 0.05 for c in found)
            permuted += any(c.is_finding for c in found)
        assert max(rejected, permuted) / 300 <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5

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


class TestPermutation:
    def test_all_deals_by_brute_force(self):
        hits = np.random.default_rng(0).random((5, 5)) < 0.4
        counts, exact = permuted_counts(hits)
        expected = [
            sum(hits[i, j] for i, j in enumerate(deal)) for deal in itertools.permutations(range(5))
        ]
        assert exact
        assert sorted(counts) == sorted(expected)

    def test_runs_whose_events_share_a_time_are_dealt_it(self):
        """Columns are times; the same as a column a run."""
        by_time = np.random.default_rng(1).random((6, 3)) < 0.5
        of_run = np.array([0, 2, 2, 1, 0, 2])
        counts, _ = permuted_counts(by_time, of_run)
        expected, _ = permuted_counts(by_time[:, of_run])
        np.testing.assert_array_equal(counts, expected)

    def test_random_deals_are_close_to_all(self):
        """Nine runs, of which each coincides at its own time alone: derangements give 0."""
        counts, exact = permuted_counts(np.eye(9, dtype=bool))
        assert not exact
        assert (counts == 0).mean() == pytest.approx(1 / np.e, abs=0.02)
        assert counts.mean() == pytest.approx(1, abs=0.04)

    def test_p_value_by_hand(self):
        """Four runs enter at four times: one of 24 deals gives all; states coincide by it too."""
        paths = {s: np.repeat([0, 1], [5 + 4 * s, 20 - 4 * s]) for s in range(4)}
        found = coincidences(paths, {s: 5 + 4 * s for s in range(4)}, 0)
        (edge,) = [c for c in found if c.transition]
        # States 0 and 1: at its own time each run is in state 1, as in 1 of 24 deals.
        assert edge.p_value == pytest.approx(3 / 24)

    def test_what_no_deal_changes_is_no_test(self):
        """Every run is in state 0 at any event: Holm's method counts the transition alone."""
        paths = {s: np.array([0] * 30) for s in range(5)}
        for s in range(5):
            paths[s][5 * s + 2] = 1
        found = {
            c.transition or c.state: c
            for c in coincidences(paths, {s: 5 * s + 1 for s in range(5)}, 1)
        }
        assert found[0].p_value == 1
        assert found[1].p_value == 1
        assert found[0, 1].p_value == pytest.approx(1 / 120)
        assert found[0, 1].is_finding

    @pytest.mark.parametrize("n_runs", [10, 20, 40])
    @pytest.mark.parametrize("spread", [1, 3, 6])
    def test_about_the_same_time_is_no_coincidence(self, n_runs, spread):
        """At most 5 %, where random times would be beaten in nearly every set."""
        n_sets = 60
        claims = easy = 0
        for seed in range(n_sets):
            found = coincidences(*chain_and_events(seed, n_runs, spread, together=False), 3)
            claims += any(c.is_finding for c in found if c.transition)
            easy += any(c.p_value_at_random < 0.05 for c in found if c.transition)
        assert claims / n_sets <= 0.05
        assert easy / n_sets > (0.3 if spread == 6 else 0.8)

    @pytest.mark.parametrize("n_runs", [10, 20, 40])
    def test_true_coincidence_is_found(self, n_runs):
        n_sets = 40
        found = 0
        for seed in range(n_sets):
            known = coincidences(*chain_and_events(seed, n_runs, 6, together=True), 3)
            (edge,) = [c for c in known if c.transition == (0, 1)]
            found += edge.is_finding
            # One of few runs that are not found may be of times too alike, no found one is.
            assert not (edge.at_same_times and edge.is_finding)
        assert found / n_sets >= 0.9

    def test_equal_times_are_said_to_tell_nothing(self):
        for seed in range(10):
            known = coincidences(*chain_and_events(seed, 20, 1, together=True), 3)
            (edge,) = [c for c in known if c.transition == (0, 1)]
            assert edge.at_same_times
            assert not edge.is_finding
