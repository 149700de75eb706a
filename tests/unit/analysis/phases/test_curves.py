"""Change points of simulated curves, noisy ones included, and the rule's corner cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training_maps.analysis.phases.curves import (
    Found,
    Rule,
    change_point,
    first_mean,
    leave_chance,
    loss_heights,
    plateau,
    running_median,
)

RULE = Rule()


def rise(n, middle, width=0.0):
    """A logistic rise from 0 to 1 whose height is 0.5 at `middle`; a step if `width` is 0."""
    time = np.arange(n) - middle
    if width == 0:
        return (time >= 0).astype(float)
    return 1 / (1 + np.exp(-4 * time / width))


class TestRunningMedian:
    @given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.sampled_from([1, 3, 5, 9]))
    @settings(max_examples=60, deadline=None)
    def test_equals_a_plain_loop(self, values, window):
        values = np.array(values)
        n = len(values)
        expected = []
        for i in range(n):
            reach = min(window // 2, i, n - 1 - i)
            expected.append(np.median(values[i - reach : i + reach + 1]))
        np.testing.assert_array_equal(running_median(values, window), expected)

    def test_keeps_a_step_and_takes_out_spikes(self):
        curve = rise(40, 20)
        curve[[5, 30, 31]] = [1, 0, 0]
        np.testing.assert_array_equal(running_median(curve, 5), rise(40, 20))


class TestLeavingChance:
    @pytest.mark.parametrize("middle", [3, 20, 90, 96])
    def test_a_step(self, middle):
        assert leave_chance(rise(100, middle), RULE) == Found("found", middle, middle, middle)

    def test_a_slow_rise(self):
        found = leave_chance(rise(200, 100, width=40), RULE)
        # 1 / (1 + exp(-t / 10)) is 0.1 at t = -22 and 0.9 at t = 22, to whole checkpoints.
        assert (found.onset, found.at, found.completion) == (79, 100, 122)

    def test_level(self):
        curve = rise(200, 100, width=40)
        assert leave_chance(curve, Rule(level=0.9)).at == 122
        assert leave_chance(curve, Rule(level=0.25)).at == 90

    def test_never(self):
        assert leave_chance(np.zeros(50), RULE) == Found("not reached")
        assert leave_chance(np.full(50, 0.4), RULE) == Found("not reached")

    def test_from_the_start(self):
        assert leave_chance(np.ones(50), RULE) == Found("from the start", 0, 0, 0)

    def test_not_all_the_way(self):
        found = leave_chance(0.7 * rise(100, 40), RULE)
        assert (found.status, found.at, found.completion) == ("found", 40, None)

    def test_a_lucky_stretch_before_does_not_count(self):
        """The curve is up for five checkpoints and back at chance for twenty: not sustained."""
        curve = rise(100, 40)
        curve[15:20] = 1
        assert leave_chance(curve, RULE).at == 40

    def test_collapses_that_are_recovered_from_are_forgiven(self):
        """Spikes as in modular addition: down to chance for some checkpoints, again and again."""
        curve = rise(300, 60)
        for start in (90, 150, 200, 260):
            curve[start : start + 5] = 0
        assert leave_chance(curve, RULE).at == 60
        assert leave_chance(curve, Rule(dips=0.05)).at > 60

    def test_a_run_that_ends_at_chance_has_not_made_it(self):
        curve = rise(100, 20)
        curve[-3:] = 0
        assert leave_chance(curve, RULE).status == "not reached"

    def test_partial_dips_need_no_forgiveness(self):
        """The paper's "no return to chance": a fall to a third of the way is none."""
        curve = rise(100, 20)
        curve[40:80] = 0.3
        assert leave_chance(curve, RULE).at == 20

    def test_nan_counts_as_chance(self):
        curve = rise(100, 30)
        curve[60:] = np.nan
        assert leave_chance(curve, RULE).status == "not reached"
        curve = rise(100, 30)
        curve[50] = np.nan
        assert leave_chance(curve, RULE).at == 30

    @given(st.integers(1, 30), st.integers(0, 100))
    @settings(max_examples=40, deadline=None)
    def test_onset_transition_completion_come_in_this_order(self, n, seed):
        curve = np.random.default_rng(seed).uniform(-0.2, 1.2, size=n).cumsum() / n
        found = leave_chance(curve, RULE)
        if found.status == "found":
            assert found.onset <= found.at
            assert found.completion is None or found.at <= found.completion


class TestLevels:
    def test_chance_is_the_mean_of_the_first_checkpoints(self):
        assert first_mean([np.array([0.4, 1]), np.array([0.6, 1]), np.array([np.nan, 1])]) == 0.5
        assert first_mean([]) == 0

    def test_plateau_is_the_best_end(self):
        curves = [np.linspace(0.5, 0.8, 100), np.append(np.full(99, 0.9), 0.1), np.full(100, 0.5)]
        assert plateau(curves, 0.5) == pytest.approx(0.9)

    def test_no_plateau_next_to_chance(self):
        rng = np.random.default_rng(0)
        curves = [0.5 + 0.05 * rng.normal(size=100) for _ in range(40)]
        assert plateau(curves, 0.5) is None
        assert plateau([], 0.5) is None


class TestLosses:
    def test_change_point_by_brute_force(self):
        rng = np.random.default_rng(0)
        values = rng.normal(size=25).cumsum()

        def residual(k):
            return sum(((part - part.mean()) ** 2).sum() for part in (values[:k], values[k:]))

        best = min(range(3, 23), key=residual)
        split, found = change_point(values)
        assert split == best
        assert found == pytest.approx(residual(best))

    def test_a_fall_of_the_loss(self):
        loss = np.exp(0.3 - 4 * rise(200, 70, width=10))
        assert leave_chance(loss_heights(loss, RULE), RULE).at == pytest.approx(70, abs=3)

    def test_a_loss_that_rises_before_it_falls(self):
        """As evaluation losses do in grokking."""
        loss = np.exp(1 + np.minimum(np.arange(300) / 100, 2) - 9 * rise(300, 220, width=8))
        assert leave_chance(loss_heights(loss, RULE), RULE).at == pytest.approx(220, abs=4)

    def test_a_loss_that_goes_on_falling(self):
        """A training loss: down by checkpoint 10, and orders of magnitude further until the end."""
        loss = 2.0 * np.where(np.arange(400) < 10, 1.0, 1e-2 * 0.98 ** np.arange(400))
        assert leave_chance(loss_heights(loss, RULE), RULE).at == 10

    @pytest.mark.parametrize(
        "loss",
        [
            np.exp(-np.arange(200) / 100),  # steady decay
            np.full(50, 2.0),
            1 - 0.3 * rise(100, 50),  # falls by less than half
            1 + rise(100, 50),  # rises
            np.full(50, np.nan),
            np.zeros(50),
            np.ones(4),
        ],
    )
    def test_no_change_point(self, loss):
        assert loss_heights(loss, RULE) is None

    def test_infinite_and_zero_losses_do_no_harm(self):
        loss = 1 - rise(60, 30)
        loss[5] = np.inf
        heights = loss_heights(loss + 0.0, RULE)
        assert np.isfinite(heights).all()
        assert leave_chance(heights, RULE).at == 30


def noisy_accuracies(rng, n_runs, n, n_examples, width, chance=0.5):
    """Accuracies on `n_examples` that rise at known checkpoints, and those checkpoints."""
    middles = rng.integers(n // 10, n * 8 // 10, size=n_runs)
    true = [chance + (1 - chance) * rise(n, middle, width) for middle in middles]
    return [rng.binomial(n_examples, p) / n_examples for p in true], middles


class TestNoise:
    """How accurate the rule is, as docs/phase_transitions.md says it."""

    @pytest.mark.parametrize(
        ("n_examples", "width", "within", "share"),
        [(100, 0, 0, 1.0), (100, 5, 1, 0.99), (100, 20, 2, 0.96), (1000, 20, 1, 0.97)],
    )
    def test_transition_of_an_accuracy(self, n_examples, width, within, share):
        rng = np.random.default_rng(1)
        curves, middles = noisy_accuracies(rng, 200, 200, n_examples, width)
        chance = first_mean(curves)
        top = plateau(curves, chance)
        found = [leave_chance((curve - chance) / (top - chance), RULE) for curve in curves]
        assert all(one.status == "found" for one in found)
        errors = np.array([one.at for one in found]) - middles
        assert np.mean(np.abs(errors) <= within) >= share

    def test_no_transition_where_there_is_only_noise(self):
        """Some runs generalise, so that there is a plateau; the others stay at chance."""
        rng = np.random.default_rng(2)
        risen, _ = noisy_accuracies(rng, 10, 200, 100, 5)
        flat = [rng.binomial(100, 0.5, size=200) / 100 for _ in range(500)]
        chance, top = 0.5, plateau(risen + flat, 0.5)
        found = [leave_chance((curve - chance) / (top - chance), RULE) for curve in flat]
        assert {one.status for one in found} == {"not reached"}

    def test_transition_of_a_noisy_loss(self):
        rng = np.random.default_rng(3)
        errors = []
        for _ in range(200):
            middle = int(rng.integers(20, 160))
            loss = np.exp(0.7 - 3.5 * rise(200, middle, 5) + 0.3 * rng.normal(size=200))
            heights = loss_heights(loss, RULE)
            errors.append(leave_chance(heights, RULE).at - middle)
        assert np.mean(np.abs(errors) <= 2) >= 0.95

    def test_no_change_point_in_noisy_steady_decay(self):
        rng = np.random.default_rng(4)
        found = [
            loss_heights(np.exp(-np.arange(200) / 80 + 0.2 * rng.normal(size=200)), RULE)
            for _ in range(200)
        ]
        assert np.mean([one is not None for one in found]) <= 0.02
