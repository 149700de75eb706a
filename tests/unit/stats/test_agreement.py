"""How far two sequences of states agree: by counting pairs, scikit-learn and brute force."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training_maps.stats.agreement import (
    adjusted_rand_index,
    agreed_information,
    contingency,
    matched_share,
)

SEQUENCES = st.integers(2, 30).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 3), min_size=n, max_size=n)] * 2)
)


def rand_of_pairs(a, b):
    """The adjusted Rand index by counting pairs one by one (Hubert and Arabie 1985, section 2)."""
    pairs = list(combinations(range(len(a)), 2))
    in_a = np.array([a[i] == a[j] for i, j in pairs])
    in_b = np.array([b[i] == b[j] for i, j in pairs])
    both, expected = (in_a & in_b).sum(), in_a.sum() * in_b.sum() / len(pairs)
    most = (in_a.sum() + in_b.sum()) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)


@settings(deadline=None)  # the first call imports scikit-learn
@given(SEQUENCES)
def test_the_adjusted_rand_index_is_that_of_pairs_and_of_sklearn(two):
    from sklearn.metrics import adjusted_rand_score

    a, b = map(np.array, two)
    found = adjusted_rand_index(a, b)
    assert found == pytest.approx(rand_of_pairs(a, b), abs=1e-12)
    assert found == adjusted_rand_score(a, b)


def test_numbers_of_states_do_not_matter():
    path = np.array([0, 0, 1, 1, 1, 2, 2, 0])
    assert adjusted_rand_index(path, np.array([2, 0, 1])[path]) == 1.0
    assert adjusted_rand_index(np.zeros(5, int), np.zeros(5, int)) == 1.0
    draw = np.random.default_rng(0)
    unrelated = [adjusted_rand_index(*draw.integers(0, 3, (2, 2000))) for _ in range(20)]
    assert abs(np.mean(unrelated)) < 0.002


@settings(deadline=None)
@given(SEQUENCES)
def test_agreed_information_is_that_of_sklearn(two):
    from sklearn.metrics import mutual_info_score

    a, b = map(np.array, two)
    mutual, of_a, of_b = (mutual_info_score(*pair) for pair in ((a, b), (a, a), (b, b)))
    assert agreed_information(a, b) == pytest.approx(3 * mutual - of_a - of_b, abs=1e-12)
    assert agreed_information(a, b) == pytest.approx(agreed_information(b, a), abs=1e-12)


def test_agreed_information_in_closed_form():
    path = np.repeat(np.arange(4), 5)
    assert agreed_information(path, path[::-1]) == pytest.approx(np.log(4))
    # The same, with two of four states as one: log 2 / 2 less of each, and that much is not shared.
    merged = np.array([0, 1, 2, 2])[path]
    of_merged = np.log(4) - np.log(2) / 2
    assert agreed_information(path, merged) == pytest.approx(of_merged - np.log(2) / 2)
    assert agreed_information(path * 0, path * 0) == 0.0
    unrelated = np.tile(np.arange(2), 10), np.repeat(np.arange(2), 10)
    assert agreed_information(*unrelated) == pytest.approx(-2 * np.log(2))


def test_contingency():
    counts = contingency(np.array([0, 0, 1, 2]), np.array([1, 1, 0, 1]), 3)
    assert counts.tolist() == [[0, 2, 0], [1, 0, 0], [0, 1, 0]]


@settings(deadline=None)  # the first call imports scipy.optimize
@given(SEQUENCES)
def test_states_are_matched_so_that_most_checkpoints_agree(two):
    a, b = map(np.array, two)
    best = max((np.array(order)[b] == a).sum() for order in permutations(range(4)))
    shares, sizes = matched_share(a, b, 4), np.bincount(a, minlength=4)
    assert np.isnan(shares).tolist() == (sizes == 0).tolist()
    assert np.nansum(shares * sizes) == pytest.approx(best)


def test_one_checkpoint_and_states_that_nobody_visits():
    one = np.array([2])
    assert adjusted_rand_index(one, np.array([0])) == 1.0
    assert contingency(one, np.array([0]), 3).sum() == 1
    assert np.isnan(matched_share(one, np.array([0]), 3)).tolist() == [True, True, False]
    assert matched_share(one, np.array([0]), 3)[2] == 1.0
