"""Missing entries: marginal densities, and EM against one that goes row by row."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.hmm_twins import (
    LENGTHS,
    brute_force,
    density_of_run,
    random_autoregression,
    random_model,
    random_rows,
    simulate,
    with_gaps,
)
from training_maps.hmm.covariances import COVARIANCES
from training_maps.hmm.gaussian import GaussianHMM
from training_maps.hmm.missing_values import gaps_filled, incomplete_rows


def gappy_rows(d=3, lengths=LENGTHS):
    return with_gaps(random_rows(lengths, d), 0.25)


@pytest.mark.parametrize("kind", COVARIANCES)
def test_likelihood_posteriors_and_paths_against_all_state_paths(kind):
    model, x = random_model(kind, 3, 3), gappy_rows()
    parts = np.split(x, np.cumsum(LENGTHS)[:-1])
    exact = [brute_force(model, part) for part in parts]
    assert model.score(x, LENGTHS) == pytest.approx(sum(e[0] for e in exact), rel=1e-10)
    posterior = np.concatenate([e[1] for e in exact])
    np.testing.assert_allclose(model.posteriors(x, LENGTHS), posterior, atol=1e-12)
    np.testing.assert_array_equal(model.predict(x, LENGTHS), np.concatenate([e[3] for e in exact]))


def expected_rows(model, x, posterior):
    """Row by row: expected rows, sums and outer products of every state."""
    states, d = model.means_.shape
    rows, sums, squares = np.zeros(states), np.zeros((states, d)), np.zeros((states, d, d))
    for row, weights in zip(x, posterior, strict=True):
        o, m = ~np.isnan(row), np.isnan(row)
        for k, weight in enumerate(weights):
            mean, covariance = model.means_[k], model.covars_[k]
            whole, spread = row.copy(), np.zeros((d, d))
            if m.any():
                gain = covariance[np.ix_(m, o)] @ np.linalg.inv(covariance[np.ix_(o, o)])
                whole[m] = mean[m] + gain @ (row[o] - mean[o])
                left = covariance[np.ix_(m, m)] - gain @ covariance[np.ix_(o, m)]
                spread[np.ix_(m, m)] = left
            rows[k] += weight
            sums[k] += weight * whole
            squares[k] += weight * (np.outer(whole, whole) + spread)
    return rows, sums, squares


@pytest.mark.parametrize("kind", COVARIANCES)
def test_em_step_against_one_row_at_a_time(kind):
    lengths = np.array([40, 7, 1, 40])
    x = gappy_rows(3, lengths)
    model = random_model(kind, 2, 3, n_iter=1)
    rows, sums, squares = expected_rows(model, x, model.posteriors(x, lengths))
    means = sums / rows[:, None]
    scatter = squares - rows[:, None, None] * means[:, :, None] * means[:, None, :] + 0.01
    full = scatter / rows[:, None, None]
    expected = {
        "full": full,
        "diag": np.diagonal(full, axis1=1, axis2=2),
        "tied": (scatter.sum(axis=0) - 0.01) / rows.sum(),  # the prior counts once
        "spherical": np.diagonal(full, axis1=1, axis2=2).mean(axis=1),
    }[kind]
    model.fit(x, lengths, draw_start=False)
    np.testing.assert_allclose(model.means_, means, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(model.covariance_parameters(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", COVARIANCES)
def test_objective_never_falls_with_missing_entries(kind):
    x, lengths = simulate(random_model("full", 2, 3), 6, 40)
    x = with_gaps(x, 0.1)
    report = GaussianHMM(4, kind, random_state=0, n_iter=200, tol=1e-6).fit(x, lengths).fit_report_
    assert report.reason == "converged"
    assert (np.diff(report.objective) >= -1e-10 * np.abs(report.objective[1:])).all()


def test_a_few_gaps_hardly_change_a_fit():
    truth = random_model("full", 3, 3)
    x, lengths = simulate(truth, 20, 100)
    whole, gappy = (
        GaussianHMM(3, "full", random_state=0).fit(rows, lengths)
        for rows in (x, with_gaps(x, 0.03))
    )
    states = whole.predict(x, lengths)
    found = gappy.predict(x, lengths)
    order = [int(np.bincount(found[states == k]).argmax()) for k in range(3)]
    assert sorted(order) == [0, 1, 2]
    gappy.renumber(np.array(order))
    np.testing.assert_allclose(gappy.means_, whole.means_, atol=0.1)
    np.testing.assert_allclose(gappy.covars_, whole.covars_, atol=0.3)


def test_a_wholly_missing_row_says_nothing():
    model = random_model("full", 3, 2)
    x = random_rows([5], 2)
    x[2] = np.nan
    density = density_of_run(model, x)
    np.testing.assert_array_equal(density[2], 1)
    assert model.score(x) == pytest.approx(brute_force(model, x, density)[0], rel=1e-12)


def test_rows_are_grouped_by_what_they_miss():
    x = gappy_rows()
    parts = incomplete_rows(x)
    rows = np.concatenate([part.rows for part in parts])
    assert sorted(rows.tolist()) == np.flatnonzero(np.isnan(x).any(axis=1)).tolist()
    assert len({tuple(part.observed) for part in parts}) == len(parts)
    for part in parts:
        np.testing.assert_array_equal(part.values, x[part.rows])
        assert (np.isnan(part.values) == ~part.observed).all()
    assert incomplete_rows(np.zeros((3, 2))) == ()


def test_gaps_are_interpolated_within_a_run():
    nan = np.nan
    x = np.array([[nan, 1], [2, nan], [nan, nan], [5, 4], [nan, nan], [nan, 7.0]])
    filled = gaps_filled(x, np.array([4, 2]))
    np.testing.assert_allclose(filled, [[2, 1], [2, 2], [3.5, 3], [5, 4], [0, 7], [0, 7]])
    assert np.isnan(x).sum() == 7  # the given rows stay as they are
    whole = np.ones((2, 2))
    assert gaps_filled(whole, np.array([2])) is whole


@pytest.mark.parametrize("make", [random_model, random_autoregression])
def test_infinite_entries_and_wrong_lengths_are_refused(make):
    model, x = make("full"), random_rows([10], 2)
    for call in (model.fit, model.score, model.decode, model.posteriors):
        with pytest.raises(ValueError, match="finite"):
            call(np.where(np.arange(20).reshape(10, 2) == 3, np.inf, x))
        for lengths in ([4, 5], [10, 0], [11, -1]):
            with pytest.raises(ValueError, match="sum to the 10 rows"):
                call(x, lengths)
