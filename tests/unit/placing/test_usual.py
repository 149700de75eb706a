"""What is usual: limits that hold, percentiles that are uniform, the larger of two kinds."""

import numpy as np
import pytest
from scipy.stats import t

from training_maps.placing.usual import WARNED, Usual, limit_of


def usual_of(values):
    values = np.asarray(values, dtype=float)
    return Usual.of(values, np.ones(values.shape[1:], dtype=bool))


def test_the_limit_is_the_value_of_its_rank():
    assert limit_of(np.arange(19.0)[::-1]) == (18.0, True)
    assert limit_of(np.arange(39.0)) == (37.0, True)
    assert limit_of(np.arange(99.0), 0.1) == (89.0, True)


def test_of_few_runs_it_is_a_prediction_interval():
    highest = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    limit, by_rank = limit_of(highest)
    expected = 3 + t.ppf(0.95, 4) * np.sqrt(1.2) * np.sqrt(2.5)
    assert not by_rank
    assert limit == pytest.approx(expected)
    assert limit_of(np.array([0.0, 0.0, 0.0, 0.0, 9.0]))[0] >= 9.0


@pytest.mark.parametrize("n_runs", [8, 19, 40])
def test_a_further_run_exceeds_it_as_rarely_as_it_says(n_runs):
    draw = np.random.default_rng(0)
    exceeded = [
        (highest := draw.normal(size=n_runs + 1))[-1] > limit_of(highest[:-1])[0]
        for _ in range(4000)
    ]
    assert np.mean(exceeded) <= WARNED + 0.01
    assert np.mean(exceeded) >= 0.02  # nor is it out of reach


def test_runs_like_the_map_s_are_warned_that_rarely_over_their_whole_length():
    """Correlated in time, of two kinds in different units, one with heavy tails."""
    draw = np.random.default_rng(1)
    warned = []
    for _ in range(300):
        walks = draw.normal(size=(31, 50)).cumsum(axis=1) / 3
        heavy = 40 * draw.standard_t(3, size=(31, 50))
        both = np.array([walks, heavy])
        usual = usual_of(both[:, :-1])
        unusual, _ = usual.unusual(both[:, -1])
        warned.append((unusual > usual.limit).any())
    assert np.mean(warned) <= WARNED + 0.03


def test_each_kind_counts_by_its_own_spread():
    draw = np.random.default_rng(2)
    values = np.array([draw.normal(size=(30, 20)), 1000 * draw.normal(size=(30, 20))])
    usual = usual_of(values)
    for kind, jump in ((0, 12.0), (1, 12000.0)):
        run = np.zeros((2, 20))
        run[kind, 7] = jump
        unusual, which = usual.unusual(run)
        assert np.flatnonzero(unusual > usual.limit).tolist() == [7]
        assert which[7] == kind


def test_what_is_not_known_is_not_unusual():
    draw = np.random.default_rng(3)
    values = np.array([draw.normal(size=(25, 9)), np.full((25, 9), np.nan)])
    usual = usual_of(values)
    unusual, which = usual.unusual(np.array([np.full(9, 0.5), np.full(9, 3.0)]))
    assert (which == 0).all()
    assert np.isfinite(unusual).all()
    nothing, _ = usual.unusual(np.full((2, 9), np.nan))
    assert (nothing == -np.inf).all()
    np.testing.assert_allclose(usual.percentile(nothing), 100.0)


def test_percentiles_of_runs_like_the_map_s_are_uniform():
    draw = np.random.default_rng(4)
    found = []
    for _ in range(2000):
        values = draw.normal(size=(2, 20, 3))
        usual = usual_of(values[:, :-1])
        found.append(usual.percentile(usual.unusual(values[:, -1])[0])[1])
    found = np.array(found)
    assert found.min() == pytest.approx(100 / 20)
    for limit in (10, 25, 50):
        assert np.mean(found <= limit) == pytest.approx(limit / 100, abs=0.04)


def test_a_run_that_has_ended_says_nothing_of_later_steps():
    draw = np.random.default_rng(5)
    values = draw.normal(size=(2, 22, 6))
    there = np.ones((22, 6), dtype=bool)
    there[:2, 3:] = False
    values[:, ~there] = np.nan
    usual = Usual.of(values, there)
    assert np.isnan(usual.runs[:2, 3:]).all()
    assert usual.percentile(np.full(6, np.inf))[4] == pytest.approx(100 / 21)
    assert usual.percentile(np.full(6, np.inf))[1] == pytest.approx(100 / 23)
