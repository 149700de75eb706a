"""Autoregressive states: brute force, least squares, recovery, and what the objective does."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, norm

from tests.support.hmm_twins import (
    LENGTHS,
    brute_force,
    density_of_run,
    random_autoregression,
    random_rows,
    row_density,
    simulate_autoregression,
    with_gaps,
)
from training_maps.hmm.autoregressive import RIDGE, AutoregressiveHMM
from training_maps.hmm.covariances import COVARIANCES, floored
from training_maps.hmm.gaussian import GaussianHMM
from training_maps.hmm.missing_values import gaps_filled

DYNAMICS = ("diagonal", "full")
NAMES = ("intercepts_", "coefficients_", "means_", "first_mean_", "first_variance_", "transmat_")


@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_e_step_and_viterbi_against_all_state_paths(kind, dynamics):
    model, x = random_autoregression(kind, dynamics=dynamics), random_rows(LENGTHS, 2)
    parts = np.split(x, np.cumsum(LENGTHS)[:-1])
    exact = [brute_force(model, part) for part in parts]
    likelihood = sum(e[0] for e in exact)
    assert model.score(x, LENGTHS) == pytest.approx(likelihood, rel=1e-12)
    posterior = np.concatenate([e[1] for e in exact])
    np.testing.assert_allclose(model.posteriors(x, LENGTHS), posterior, atol=1e-12)
    best, path = model.decode(x, LENGTHS)
    np.testing.assert_array_equal(path, np.concatenate([e[3] for e in exact]))
    assert best == pytest.approx(sum(np.log(e[4]) for e in exact), rel=1e-12)
    stats, found = model._estep(model._rows(x, LENGTHS))
    assert found == pytest.approx(likelihood, rel=1e-12)
    np.testing.assert_allclose(stats.transitions, sum(e[2] for e in exact), atol=1e-12)
    np.testing.assert_allclose(stats.rows, posterior.sum(axis=0), atol=1e-12)
    np.testing.assert_allclose(stats.start, sum(e[1][0] for e in exact), atol=1e-12)


def test_without_dynamics_it_is_the_gaussian_model():
    # Rows that are wholly missing say nothing: so a Gaussian model sees the first rows.
    for kind in COVARIANCES:
        model, x = random_autoregression(kind), random_rows(LENGTHS, 2)
        model.coefficients_ = np.zeros_like(model.coefficients_)
        plain = GaussianHMM.from_parameters(
            model.startprob_,
            model.transmat_,
            model.intercepts_,
            model.covariance_parameters(),
            covariance_type=kind,
        )
        first = np.cumsum(LENGTHS) - LENGTHS
        unseen = x.copy()
        unseen[first] = np.nan
        of_first = norm(model.first_mean_, np.sqrt(model.first_variance_)).logpdf(x[first]).sum()
        expected = plain.score(unseen, LENGTHS) + of_first
        assert model.score(x, LENGTHS) == pytest.approx(expected, rel=1e-12)
        posterior = plain.posteriors(unseen, LENGTHS)
        np.testing.assert_allclose(model.posteriors(x, LENGTHS), posterior, atol=1e-12)
        np.testing.assert_array_equal(model.predict(x, LENGTHS), plain.predict(unseen, LENGTHS))


def weighted_regressions(model, x, posterior):
    """Every state's rows as one weighted least-squares problem; the ridge as imagined rows.

    Returns, of each state, A_k and b_k that a general solver finds for the noise covariance that
    the model has.
    """
    later = np.setdiff1d(np.arange(len(x)), np.cumsum(LONG) - LONG)
    before, rows, weights = x[later - 1], x[later], posterior[later]
    d = x.shape[1]
    imagined = np.eye(d)
    found = []
    for k in range(model.n_components):
        # Unknowns: A row by row, then b. Each row of the data gives d equations, whitened.
        white = np.linalg.inv(np.linalg.cholesky(model.covars_[k]))
        design, right = [], []
        for z, y, w in zip(before, rows, weights[:, k], strict=True):
            equations = np.hstack([np.kron(np.eye(d), z), np.eye(d)])
            design.append(np.sqrt(w) * white @ equations)
            right.append(np.sqrt(w) * white @ y)
        for z in imagined:
            equations = np.hstack([np.kron(np.eye(d), z), np.zeros((d, d))])
            design.append(np.sqrt(RIDGE) * white @ equations)
            right.append(np.zeros(d))
        design, right = np.concatenate(design), np.concatenate(right)
        free = np.ones(d * d + d, dtype=bool)
        if model.dynamics == "diagonal":
            free[: d * d] = np.eye(d, dtype=bool).ravel()
        solution = np.zeros(d * d + d)
        solution[free] = np.linalg.lstsq(design[:, free], right, rcond=None)[0]
        found.append((solution[: d * d].reshape(d, d), solution[d * d :]))
    return found, before, rows, weights


LONG = np.array([30, 9, 1, 30])


@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_m_step_against_weighted_least_squares(kind, dynamics):
    model = random_autoregression(kind, 2, 3, dynamics=dynamics, n_iter=1)
    x = random_rows(LONG, 3)
    posterior = model.posteriors(x, LONG)
    expected, before, rows, weights = weighted_regressions(model, x, posterior)
    first = x[np.cumsum(LONG) - LONG]
    model.fit(x, LONG, draw_start=False)
    scatters = []
    for k, (coefficients, intercept) in enumerate(expected):
        np.testing.assert_allclose(model.coefficients_[k], coefficients, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(model.intercepts_[k], intercept, rtol=1e-8, atol=1e-10)
        residual = rows - before @ coefficients.T - intercept
        scatter = sum(w * np.outer(r, r) for w, r in zip(weights[:, k], residual, strict=True))
        scatters.append(scatter + RIDGE * coefficients @ coefficients.T)
    counts = weights.sum(axis=0)
    full = (np.array(scatters) + 0.01) / counts[:, None, None]
    covars = {
        "full": full,
        "diag": np.diagonal(full, axis1=1, axis2=2),
        "tied": (sum(scatters) + 0.01) / counts.sum(),
        "spherical": np.diagonal(full, axis1=1, axis2=2).mean(axis=1),
    }[kind]
    np.testing.assert_allclose(model.covariance_parameters(), covars, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(model.first_mean_, first.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(model.first_variance_, first.var(axis=0) + 0.01 / 4, rtol=1e-12)
    after = model.posteriors(x, LONG)
    means = after.T @ x / after.sum(axis=0)[:, None]
    np.testing.assert_allclose(model.means_, means, rtol=1e-10)


@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_objective_never_falls_and_ends_at_a_maximum(kind, dynamics):
    truth = random_autoregression("full", 2, 3, seed=3)
    x, lengths, _ = simulate_autoregression(truth, 8, 40)
    x = np.hstack([x, x @ [[1], [1], [-1]] + 1e-5 * np.sin(np.arange(len(x)))[:, None]])
    model = AutoregressiveHMM(3, kind, dynamics=dynamics, random_state=0, n_iter=2000, tol=1e-8)
    report = model.fit(x, lengths).fit_report_
    objective = np.array(report.objective)
    assert report.reason == "converged"
    assert (np.diff(objective) >= -1e-10 * np.abs(objective[1:])).all()
    assert np.linalg.eigvalsh(model.covars_).min() >= 1e-3 * (1 - 1e-9)
    best = model.score(x, lengths) + model._log_prior()
    assert best == pytest.approx(objective[-1], rel=1e-10)
    draw = np.random.default_rng(0)
    kept = model._parameters()
    for _ in range(30):
        mask = np.eye(4) if dynamics == "diagonal" else 1
        model.coefficients_ = kept["coefficients_"] + 1e-2 * mask * draw.normal(size=(3, 4, 4))
        model.intercepts_ = kept["intercepts_"] + 1e-2 * draw.normal(size=(3, 4))
        noise = 1e-3 * draw.normal(size=kept["_covars_"].shape)
        model._covars_ = floored(kept["_covars_"] + noise, 1e-3, kind)
        assert model.score(x, lengths) + model._log_prior() <= best + 1e-5


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_parameters_are_recovered(dynamics):
    truth = random_autoregression("full", 2, 2, seed=5, dynamics=dynamics)
    truth.transmat_ = np.array([[0.95, 0.05], [0.1, 0.9]])
    truth.startprob_ = np.array([0.7, 0.3])
    x, lengths, path = simulate_autoregression(truth, 30, 200)
    model = AutoregressiveHMM(2, "full", dynamics=dynamics, random_state=0).fit(x, lengths)
    assert model.fit_report_.converged
    if np.mean(model.predict(x, lengths) == path) < 0.5:
        model.renumber(np.array([1, 0]))
    assert np.mean(model.predict(x, lengths) == path) > 0.9
    np.testing.assert_allclose(model.coefficients_, truth.coefficients_, atol=0.05)
    np.testing.assert_allclose(model.intercepts_, truth.intercepts_, atol=0.15)
    np.testing.assert_allclose(model.covars_, truth.covars_, rtol=0.15, atol=0.1)
    np.testing.assert_allclose(model.transmat_, truth.transmat_, atol=0.03)
    np.testing.assert_allclose(model.first_mean_, truth.first_mean_, atol=0.7)
    radii = [np.abs(np.linalg.eigvals(a)).max() for a in model.coefficients_]
    np.testing.assert_allclose(model.spectral_radii(), radii)
    # It fits better than Gaussian states, by far more than its parameters cost.
    plain = GaussianHMM(2, "full", random_state=0).fit(x, lengths)
    more = model.n_parameters() - plain.n_parameters()
    gain = model.score(x, lengths) - plain.score(x, lengths)
    assert gain > 10 * more * np.log(len(x))


def test_one_state_is_ordinary_regression():
    truth = random_autoregression("full", 1, 2, seed=1)
    x, lengths, _ = simulate_autoregression(truth, 4, 50)
    model = AutoregressiveHMM(
        1, "full", dynamics="full", ridge=1e-12, covars_prior=0.0, covariance_floor=1e-12
    ).fit(x, lengths)
    later = np.setdiff1d(np.arange(len(x)), np.cumsum(lengths) - lengths)
    design = np.hstack([np.ones((len(later), 1)), x[later - 1]])
    solution = np.linalg.lstsq(design, x[later], rcond=None)[0]
    np.testing.assert_allclose(model.intercepts_[0], solution[0], rtol=1e-8)
    np.testing.assert_allclose(model.coefficients_[0], solution[1:].T, rtol=1e-8)
    residual = x[later] - design @ solution
    np.testing.assert_allclose(model.covars_[0], residual.T @ residual / len(later), rtol=1e-8)


def test_a_metric_that_stands_still_makes_no_wild_dynamics():
    truth = random_autoregression("full", 2, 2, seed=3)
    x, lengths, _ = simulate_autoregression(truth, 8, 40)
    x = np.hstack([x, np.ones((len(x), 1)), 1e-9 * np.random.default_rng(0).normal(size=(320, 1))])
    for dynamics in DYNAMICS:
        model = AutoregressiveHMM(3, "full", dynamics=dynamics, random_state=0).fit(x, lengths)
        assert model.fit_report_.reason != "degenerate"
        assert np.abs(model.coefficients_).max() < 3
        assert np.abs(model.coefficients_[:, 2:, 2:]).max() < 1e-6


@pytest.mark.parametrize("kind", COVARIANCES)
def test_missing_entries_by_marginal_densities_given_interpolated_rows(kind):
    model, x = random_autoregression(kind, 2, 3), with_gaps(random_rows(LENGTHS, 3), 0.25)
    x[0, 1] = np.nan
    total = 0.0
    filled = np.split(gaps_filled(x, LENGTHS), np.cumsum(LENGTHS)[:-1])
    for part, whole in zip(np.split(x, np.cumsum(LENGTHS)[:-1]), filled, strict=True):
        density = np.ones((len(part), 2))
        density[0] = row_density(model.first_mean_, np.diag(model.first_variance_), part[0])
        for t in range(1, len(part)):
            for k in range(2):
                mean = model.intercepts_[k] + model.coefficients_[k] @ whole[t - 1]
                density[t, k] = row_density(mean, model.covars_[k], part[t])
        total += brute_force(model, part, density)[0]
    assert model.score(x, LENGTHS) == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_em_step_with_missing_entries_maximises_the_expected_objective(dynamics):
    # The M-step's regression, from the statistics of gappy rows, against a general optimiser of
    # what EM maximises: expected log density of whole rows given the observed entries.
    x = with_gaps(random_rows(LONG, 2), 0.2)
    model = random_autoregression("full", 1, 2, dynamics=dynamics, covars_prior=0.0, n_iter=1)
    old = model._parameters()
    filled = gaps_filled(x, LONG)
    expected = []  # (row before, expected row, covariance of its missing entries)
    for t in np.setdiff1d(np.arange(len(x)), np.cumsum(LONG) - LONG):
        o, m = ~np.isnan(x[t]), np.isnan(x[t])
        mean = old["intercepts_"][0] + old["coefficients_"][0] @ filled[t - 1]
        covariance = model.covars_[0]
        row, spread = x[t].copy(), np.zeros((2, 2))
        gain = covariance[np.ix_(m, o)] @ np.linalg.inv(covariance[np.ix_(o, o)])
        row[m] = mean[m] + gain @ (x[t][o] - mean[o])
        spread[np.ix_(m, m)] = covariance[np.ix_(m, m)] - gain @ covariance[np.ix_(o, m)]
        expected.append((filled[t - 1], row, spread))
    precision = np.linalg.inv(model.covars_[0])
    places = np.eye(2, dtype=bool) if dynamics == "diagonal" else np.ones((2, 2), dtype=bool)

    def loss(unknown):
        coefficients = np.zeros((2, 2))
        coefficients[places] = unknown[2:]
        value = RIDGE * np.trace(precision @ coefficients @ coefficients.T)
        for z, row, spread in expected:
            residual = row - unknown[:2] - coefficients @ z
            value += residual @ precision @ residual + np.trace(precision @ spread)
        return value

    best = minimize(loss, np.zeros(2 + places.sum()), method="BFGS", options={"gtol": 1e-7})
    model.fit(x, LONG, draw_start=False)
    np.testing.assert_allclose(model.intercepts_[0], best.x[:2], atol=1e-6)
    np.testing.assert_allclose(model.coefficients_[0][places], best.x[2:], atol=1e-6)
    scatter = RIDGE * model.coefficients_[0] @ model.coefficients_[0].T
    for z, row, spread in expected:
        residual = row - model.intercepts_[0] - model.coefficients_[0] @ z
        scatter = scatter + np.outer(residual, residual) + spread
    np.testing.assert_allclose(model.covars_[0], scatter / len(expected), rtol=1e-8)


def test_objective_never_falls_with_missing_entries():
    truth = random_autoregression("full", 2, 3, seed=3)
    x, lengths, _ = simulate_autoregression(truth, 8, 40)
    for kind in COVARIANCES:
        model = AutoregressiveHMM(3, kind, random_state=0, n_iter=60, tol=1e-6)
        report = model.fit(with_gaps(x, 0.1), lengths).fit_report_
        assert report.reason != "degenerate"
        assert (np.diff(report.objective) >= -1e-10 * np.abs(report.objective[1:])).all()


@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_starved_states_keep_what_they_emit(kind, dynamics):
    truth = random_autoregression("full", 2, 2, seed=3)
    x, lengths, _ = simulate_autoregression(truth, 5, 30)
    model = random_autoregression(kind, 3, 2, dynamics=dynamics, n_iter=30)
    model.intercepts_[2] = 1e4
    model.startprob_ = np.array([0.5, 0.5, 0])
    model.transmat_ = np.array([[0.6, 0.4, 0], [0.4, 0.6, 0], [0.2, 0.3, 0.5]])
    kept = {name: getattr(model, name)[2].copy() for name in NAMES[:3]}
    report = model.fit(x, lengths, draw_start=False).fit_report_
    assert (report.reason, report.empty_states) == ("degenerate", (2,))
    for name, value in kept.items():
        np.testing.assert_array_equal(getattr(model, name)[2], value)
    assert (np.diff(report.objective) >= -1e-10 * np.abs(report.objective[1:])).all()


def test_renumbering_and_number_of_parameters():
    covariances = {"full": 9, "tied": 3, "diag": 6, "spherical": 3}
    x, order = random_rows(LENGTHS, 2), np.array([2, 0, 1])
    for kind, count in covariances.items():
        for dynamics, entries in {"diagonal": 2, "full": 4}.items():
            model = random_autoregression(kind, dynamics=dynamics)
            # Chain, intercepts, A_k, covariances, first rows.
            assert model.n_parameters() == 2 + 6 + 6 + 3 * entries + count + 4
            moved = AutoregressiveHMM.from_parameters(
                **model.arrays(), covariance_type=kind, dynamics=dynamics
            )
            moved.renumber(order)
            assert moved.score(x, LENGTHS) == pytest.approx(model.score(x, LENGTHS), rel=1e-12)
            path = model.predict(x, LENGTHS)
            np.testing.assert_array_equal(order[moved.predict(x, LENGTHS)], path)
            for name in ("means_", "intercepts_", "coefficients_", "covars_"):
                np.testing.assert_array_equal(getattr(moved, name), getattr(model, name)[order])


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"startprob": [0.5, 0.6]}, "startprob_"),
        ({"intercepts": np.zeros((2, 3))}, r"intercepts_ has shape \(2, 3\), expected \(2, 2\)"),
        ({"coefficients": np.zeros((2, 2))}, "coefficients_ has shape"),
        ({"coefficients": np.ones((2, 2, 2))}, "must be diagonal"),
        ({"coefficients": np.full((2, 2, 2), np.nan)}, "not all finite"),
        ({"first_variance": [1.0, 0.0]}, "first_variance_ must be positive"),
        ({"first_mean": 0.0}, "expected"),
        ({"covars": np.stack([np.eye(2), -np.eye(2)])}, "positive definite"),
        ({"dynamics": "banded"}, "'banded' is not one of diagonal, full"),
    ],
)
def test_parameters_that_make_no_model_are_refused(changes, problem):
    good = {
        "startprob": np.full(2, 0.5),
        "transmat": np.eye(2),
        "means": np.zeros((2, 2)),
        "covars": np.stack([np.eye(2)] * 2),
        "intercepts": np.zeros((2, 2)),
        "coefficients": np.zeros((2, 2, 2)),
        "first_mean": np.zeros(2),
        "first_variance": np.ones(2),
    }
    AutoregressiveHMM.from_parameters(**good)
    with pytest.raises(ValueError, match=problem):
        AutoregressiveHMM.from_parameters(**{**good, **changes})


def test_density_of_a_run_is_that_of_scipy():
    # The twin itself, once by hand.
    model, x = random_autoregression("full"), random_rows([3], 2)
    density = density_of_run(model, x)
    mean = model.intercepts_[1] + model.coefficients_[1] @ x[1]
    assert density[2, 1] == pytest.approx(multivariate_normal(mean, model.covars_[1]).pdf(x[2]))
