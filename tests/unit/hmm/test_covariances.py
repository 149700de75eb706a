"""Covariances of the four kinds: shapes, the floor, and densities."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from tests.support.hmm_twins import (
    random_covars,
    random_rows,
)
from training_maps.hmm.covariances import (
    COVARIANCES,
    check_covariances,
    floored,
    full_covariances,
    log_density,
    log_density_of_maps,
    log_prior,
    maximising_covariances,
    n_covariance_parameters,
    of_kind,
    whitened,
)


def test_floor_is_the_constrained_maximum():
    draw = np.random.default_rng(0)
    scatter = random_covars(draw, "full", 1, 3)[0] * np.array([1, 1e-3, 1e-6])[:, None]
    scatter = (scatter + scatter.T) / 2 + 1e-9 * np.eye(3)
    floor = 0.05

    def objective(sigma):  # of one state's covariance, per row
        return -np.linalg.slogdet(sigma)[1] - np.trace(np.linalg.solve(sigma, scatter))

    best = floored(scatter[None], floor, "full")[0]
    assert np.linalg.eigvalsh(best).min() == pytest.approx(floor)
    for _ in range(300):
        other = best + draw.normal(size=(3, 3)) * draw.choice([1e-4, 1e-2, 1])
        other = floored((other + other.T)[None] / 2, floor, "full")[0]
        assert objective(other) <= objective(best) + 1e-12


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"rows": np.zeros((5, 2))}, "rows has 10 values, expected 15"),
        ({"centres": np.full((2, 3), np.nan)}, "centres must be finite"),
        ({"maps": np.zeros((2, 3, 4))}, "maps has 24 values, expected 18"),
        ({"maps": np.zeros((1, 3, 3))}, "maps has 9 values, expected 18"),
        ({"maps": np.full((2, 3, 3), np.inf)}, "maps must be finite"),
        ({"log_determinant": np.full(2, np.nan)}, "offsets must be finite"),
    ],
)
def test_gaussians_that_are_none_are_refused(changes, problem):
    good = {
        "rows": np.zeros((5, 3)),
        "centres": np.zeros((2, 3)),
        "maps": np.zeros((2, 3, 3)),
        "log_determinant": np.zeros(2),
    }
    log_density_of_maps(**good)
    with pytest.raises(ValueError, match=problem):
        log_density_of_maps(**{**good, **changes})


K, D = 3, 2
SHAPES = {"full": (K, D, D), "diag": (K, D), "tied": (D, D), "spherical": (K,)}


@pytest.mark.parametrize("kind", COVARIANCES)
def test_covariances_have_the_shape_of_their_kind(kind):
    covars = random_covars(np.random.default_rng(0), kind, K, D)
    assert covars.shape == SHAPES[kind]
    check_covariances(covars, kind, K, D)
    for wrong in (covars[..., None], np.full(SHAPES[kind], np.nan), -covars, 0 * covars):
        with pytest.raises(ValueError, match="covars"):
            check_covariances(wrong, kind, K, D)
    if kind in ("full", "tied"):
        lopsided = covars.copy()
        lopsided[..., 0, 1] += 1
        with pytest.raises(ValueError, match="symmetric"):
            check_covariances(lopsided, kind, K, D)
    with pytest.raises(ValueError, match="'round' is not one of full, diag, tied, spherical"):
        check_covariances(covars, "round", K, D)


@pytest.mark.parametrize("kind", COVARIANCES)
def test_one_covariance_for_all_states_in_every_kind(kind):
    covariance = random_covars(np.random.default_rng(1), "full", 1, D)[0]
    covars = of_kind(covariance, kind, K)
    assert covars.shape == SHAPES[kind]
    expected = {
        "full": covariance, "tied": covariance, "diag": np.diag(np.diag(covariance)),
        "spherical": np.diag(covariance).mean() * np.eye(D),
    }[kind]  # fmt: skip
    for full in full_covariances(covars, kind, K, D):
        np.testing.assert_array_equal(full, expected)


@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize(("states", "d"), [(1, 1), (2, 3), (5, 4)])
def test_free_parameters_are_the_directions_in_which_covariances_can_move(kind, states, d):
    draw = np.random.default_rng(0)
    moves = [
        full_covariances(random_covars(draw, kind, states, d), kind, states, d).ravel()
        for _ in range(3 * states * d * d)
    ]
    assert n_covariance_parameters(kind, states, d) == np.linalg.matrix_rank(np.array(moves))


@pytest.mark.parametrize("kind", COVARIANCES)
def test_log_densities_are_those_of_scipy(kind):
    draw = np.random.default_rng(2)
    covars, means = random_covars(draw, kind, K, D), draw.normal(size=(K, D))
    x = random_rows([20], D)
    found = log_density(x, means, covars, kind)
    full = full_covariances(covars, kind, K, D)
    expected = [multivariate_normal(means[k], full[k]).logpdf(x) for k in range(K)]
    np.testing.assert_allclose(found, np.transpose(expected), rtol=1e-10)


def test_whitening_makes_a_covariance_the_identity():
    covars = random_covars(np.random.default_rng(3), "full", K, D)
    maps, log_determinant = whitened(covars)
    for a, sigma, logarithm in zip(maps, covars, log_determinant, strict=True):
        np.testing.assert_allclose(a @ sigma @ a.T, np.eye(D), atol=1e-12)
        assert logarithm == pytest.approx(np.linalg.slogdet(sigma)[1])
    assert whitened(covars[0])[0].shape == (1, D, D)


@pytest.mark.parametrize("kind", COVARIANCES)
def test_the_m_step_is_the_weighted_scatter_about_the_means(kind):
    draw = np.random.default_rng(4)
    x, weights = random_rows([50], D), draw.dirichlet(np.ones(K), size=50)
    rows, sums = weights.sum(axis=0), weights.T @ x
    means, prior = sums / rows[:, None], 0.01
    squares = np.einsum("nk,ni,nj->kij", weights, x, x)
    if kind in ("diag", "spherical"):
        squares = np.diagonal(squares, axis1=1, axis2=2)
    found = maximising_covariances(rows, sums, squares, means, prior, kind)
    scatter = np.stack(
        [(weights[:, k, None] * (x - means[k])).T @ (x - means[k]) for k in range(K)]
    )
    variances = np.diagonal((scatter + prior) / rows[:, None, None], axis1=1, axis2=2)
    expected = {
        "full": (scatter + prior) / rows[:, None, None],
        "tied": (scatter.sum(axis=0) + prior) / 50,
        "diag": variances,
        "spherical": variances.mean(axis=1),
    }[kind]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("kind", COVARIANCES)
def test_the_log_prior_is_a_trace_with_the_inverse(kind):
    covars = random_covars(np.random.default_rng(5), kind, K, D)
    if kind in ("full", "tied"):
        inverses = np.linalg.inv(covars.reshape(-1, D, D))
        expected = sum(np.trace(0.3 * np.ones((D, D)) @ inverse) for inverse in inverses)
    else:
        full = full_covariances(covars, kind, K, D)
        expected = sum(0.3 * (1 / np.diag(sigma)).sum() for sigma in full)
    assert log_prior(covars, 0.3, kind, D) == pytest.approx(-expected / 2)


@pytest.mark.parametrize("kind", COVARIANCES)
def test_the_floor_raises_what_lies_below_and_nothing_else(kind):
    covars = random_covars(np.random.default_rng(6), kind, K, D)
    np.testing.assert_array_equal(floored(covars, 1e-9, kind), covars)
    raised = full_covariances(floored(covars, 0.5, kind), kind, K, D)
    before = np.linalg.eigvalsh(full_covariances(covars, kind, K, D))
    after = np.linalg.eigvalsh(raised)
    np.testing.assert_allclose(after, np.maximum(before, 0.5), rtol=1e-10)
