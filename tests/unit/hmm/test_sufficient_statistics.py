"""What an M-step needs of rows and posteriors: against sums written out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.hmm_twins import LENGTHS, random_model, random_rows, with_gaps
from training_maps.hmm.inference import Expectation
from training_maps.hmm.sufficient_statistics import (
    TrainingRows,
    complete_only,
    first_rows,
    weighted_moments,
)


def posteriors(n, states=3, seed=5):
    return np.random.default_rng(seed).dirichlet(np.ones(states), size=n)


def expectation_of(posterior):
    states = posterior.shape[1]
    return Expectation(posterior, np.arange(states**2, dtype=float).reshape(states, states), 0.0)


@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize(("n", "d", "states"), [(1, 1, 1), (7, 3, 2), (400, 14, 8)])
def test_moments_are_weighted_sums(n, d, states, pairs):
    x, weights = random_rows([n], d), posteriors(n, states)
    total, sums, products = weighted_moments(x, weights, pairs)
    np.testing.assert_allclose(total, weights.sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(sums, weights.T @ x, rtol=1e-10, atol=1e-12)
    expected = np.einsum("nk,ni,nj->kij", weights, x, x)
    if not pairs:
        expected = np.diagonal(expected, axis1=1, axis2=2)
    np.testing.assert_allclose(products, expected, rtol=1e-10, atol=1e-12)


def test_moments_want_a_weight_for_every_row():
    with pytest.raises(ValueError, match=r"weights has 4 values"):
        weighted_moments(np.zeros((5, 3)), np.zeros((4, 1)), False)


def test_first_rows_of_sequences():
    assert first_rows(np.array([4, 1, 6])).tolist() == [0, 4, 5]
    assert first_rows(np.array([3])).tolist() == [0]


@pytest.mark.parametrize("kind", ["full", "diag", "tied", "spherical"])
def test_statistics_of_whole_rows(kind):
    model = random_model(kind)
    x = random_rows(LENGTHS, 2)
    rows = TrainingRows.of(x, LENGTHS, kind)
    assert rows.outer == (kind in ("full", "tied"))
    found = expectation_of(posteriors(len(x)))
    stats = rows.statistics(found, model.means_, model.covars_)
    np.testing.assert_allclose(stats.start, found.posterior[first_rows(LENGTHS)].sum(axis=0))
    np.testing.assert_array_equal(stats.transitions, found.transitions)
    np.testing.assert_allclose(stats.rows, found.posterior.sum(axis=0))
    np.testing.assert_allclose(stats.sums, found.posterior.T @ x)
    squares = np.einsum("nk,ni,nj->kij", found.posterior, x, x)
    if not rows.outer:
        squares = np.diagonal(squares, axis1=1, axis2=2)
    np.testing.assert_allclose(stats.squares, squares)


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_missing_entries_count_as_their_state_expects_them(kind):
    """Each entry's mean and spread, given the row's others: the normal distribution's textbook."""
    model = random_model(kind, d=3)
    x = with_gaps(random_rows(LENGTHS, 3), share=0.3)
    assert np.isnan(x).any()
    found = expectation_of(posteriors(len(x)))
    rows = TrainingRows.of(x, LENGTHS, kind)
    assert not np.isnan(rows.X).any()
    stats = rows.statistics(found, model.means_, model.covars_)
    sums, squares = np.zeros((3, 3)), np.zeros((3, 3, 3))
    for row, weights in zip(x, found.posterior, strict=True):
        seen, gone = ~np.isnan(row), np.isnan(row)
        for k, weight in enumerate(weights):
            mean, sigma = model.means_[k], model.covars_[k]
            pull = sigma[np.ix_(gone, seen)] @ np.linalg.inv(sigma[np.ix_(seen, seen)])
            full, spread = row.copy(), np.zeros((3, 3))
            full[gone] = mean[gone] + pull @ (row[seen] - mean[seen])
            spread[np.ix_(gone, gone)] = (
                sigma[np.ix_(gone, gone)] - pull @ sigma[np.ix_(seen, gone)]
            )
            sums[k] += weight * full
            squares[k] += weight * (np.outer(full, full) + spread)
    np.testing.assert_allclose(stats.rows, found.posterior.sum(axis=0))
    np.testing.assert_allclose(stats.sums, sums)
    if not rows.outer:
        squares = np.diagonal(squares, axis1=1, axis2=2)
    np.testing.assert_allclose(stats.squares, squares)


def test_only_complete_rows_keep_their_posteriors():
    x = with_gaps(random_rows(LENGTHS, 2))
    posterior = posteriors(len(x))
    before = posterior.copy()
    kept = complete_only(posterior, TrainingRows.of(x, LENGTHS, "full").incomplete)
    gaps = np.isnan(x).any(axis=1)
    assert not kept[gaps].any()
    np.testing.assert_array_equal(kept[~gaps], posterior[~gaps])
    np.testing.assert_array_equal(posterior, before)
    assert complete_only(posterior, ()) is posterior
