"""The permutation test and Holm's correction: brute force over all ways, SciPy, statsmodels."""

from __future__ import annotations

import itertools
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from training_maps.stats.permutation_test import holm, permutation_test


class TestPermutationTest:
    def test_all_ways_by_brute_force(self):
        values, groups = [3.0, 1.0, 4.0, 1.5, 9.0, 2.6], [1, 1, 2, 2, 2, 1]

        def f(labels):
            return stats.f_oneway(
                *(np.array(values)[np.array(labels) == g] for g in (1, 2))
            ).statistic

        every = [f(labels) for labels in set(itertools.permutations(groups))]
        found = permutation_test(values, groups)
        assert found.exact
        assert found.n_permutations == len(every) == 20
        assert found.f == pytest.approx(f(groups))
        assert found.p_value == np.mean(np.array(every) >= f(groups) - 1e-9)
        assert found.smallest_p_value == np.mean(np.array(every) >= max(every) - 1e-9)

    def test_three_groups_by_brute_force(self):
        values, groups = [3.0, 1.0, 4.0, 1.5, 9.0, 2.6, 5.3], list("aabbbcc")

        def f(labels):
            parts = (np.array(values)[np.array(labels) == g] for g in "abc")
            return stats.f_oneway(*parts).statistic

        every = np.array([f(labels) for labels in set(itertools.permutations(groups))])
        found = permutation_test(values, groups)
        assert (found.exact, found.n_permutations) == (True, 210)
        assert found.f == pytest.approx(f(groups))
        assert found.p_value == np.mean(every >= f(groups) - 1e-9)

    def test_agrees_with_scipy_on_two_groups(self):
        rng = np.random.default_rng(3)
        values, groups = rng.normal(size=12), np.repeat([0, 1], [5, 7])

        def difference(x, y, axis):
            return np.abs(x.mean(axis=axis) - y.mean(axis=axis))

        theirs = stats.permutation_test(
            (values[:5], values[5:]), difference, vectorized=True, n_resamples=np.inf,
            alternative="greater",
        )  # fmt: skip
        assert permutation_test(values, groups).p_value == pytest.approx(theirs.pvalue)

    def test_a_sample_of_permutations_is_close_to_all(self, monkeypatch):
        rng = np.random.default_rng(4)
        values, groups = rng.normal(size=14) + np.repeat([0, 0.8], 7), np.repeat([0, 1], 7)
        exact = permutation_test(values, groups)
        monkeypatch.setattr("training_maps.stats.permutation_test.MOST_EXACT", 1)
        sampled = permutation_test(values, groups, n_permutations=19_999)
        assert exact.exact
        assert not sampled.exact
        assert sampled.f == exact.f
        # Four standard errors of the sampled share.
        error = (exact.p_value * (1 - exact.p_value) / 19_999) ** 0.5
        assert sampled.p_value == pytest.approx(exact.p_value, abs=4 * error)
        again = permutation_test(values, groups, n_permutations=19_999)
        assert again == sampled
        other = permutation_test(values, groups, n_permutations=19_999, random_state=1)
        assert other.p_value != sampled.p_value

    def test_a_sampled_p_value_is_never_zero(self):
        values = np.concatenate([np.arange(20.0), 1000 + np.arange(20.0)])
        found = permutation_test(values, np.repeat([0, 1], 20), n_permutations=99)
        assert found.p_value == found.smallest_p_value == 0.01

    def test_one_run_against_many(self):
        """Where the odd one out is the largest, no other way is as extreme, the smallest aside."""
        found = permutation_test([*range(9), 30.0], [0] * 9 + [1])
        assert found.p_value == found.smallest_p_value == 0.1

    def test_ties_count_as_extreme(self):
        found = permutation_test([0.1, 0.1, 0.3, 0.3], [0, 0, 1, 1])
        assert found.f is None  # nothing varies within groups
        assert found.p_value == pytest.approx(2 / 6)

    @pytest.mark.parametrize(
        ("values", "groups"), [([1, 2], [0, 0]), ([1, 1], [0, 1]), ([1, 2, 3], [0, 1])]
    )
    def test_nothing_to_test(self, values, groups):
        with pytest.raises(ValueError, match="two groups"):
            permutation_test(values, groups)

    def test_p_values_are_uniform_without_an_effect(self):
        """An exact test's p-values are at most 5 % in at most 5 % of draws; skewed values too."""
        rng = np.random.default_rng(0)
        p = [
            permutation_test(rng.exponential(size=9), [0, 0, 0, 0, 1, 1, 1, 1, 1]).p_value
            for _ in range(1000)
        ]
        for level in (0.05, 0.2, 0.5):
            share = np.mean(np.array(p) <= level)
            error = (level * (1 - level) / len(p)) ** 0.5
            assert share <= level + 3.5 * error
            assert share >= level - 3.5 * error - 2 / 126  # p comes in steps of 2 in 126, or less

    @given(st.lists(st.floats(0, 1), max_size=8))
    @settings(max_examples=50, deadline=None)
    def test_holm_equals_statsmodels(self, p_values):
        with mock.patch("gc.collect"):  # which statsmodels calls each time
            expected = multipletests(p_values, method="holm")[1] if p_values else []
        np.testing.assert_allclose(holm(p_values), expected)
