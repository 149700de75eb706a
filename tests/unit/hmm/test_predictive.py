"""Predictive log densities: SciPy's multivariate t, and filtering written from its definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal, multivariate_t

from tests.support.hmm_twins import (
    random_autoregression,
    random_model,
    random_rows,
    simulate_autoregression,
    with_gaps,
)
from training_maps.hmm.autoregressive import AutoregressiveHMM
from training_maps.hmm.covariances import COVARIANCES
from training_maps.hmm.missing_values import gaps_filled
from training_maps.hmm.predictive import DEGREES, foretold, predictive_log_densities, student_t

LENGTHS = np.array([9, 1, 5, 2])


def density_of_t(row: np.ndarray, mean: np.ndarray, covariance: np.ndarray, degrees: float) -> Any:
    """Density of a row's seen entries under a t of this covariance, by SciPy; 1 if it has none."""
    seen = ~np.isnan(row)
    if not seen.any():
        return 1.0
    row, mean, covariance = row[seen], mean[seen], covariance[np.ix_(seen, seen)]
    if np.isinf(degrees):
        return multivariate_normal(mean, covariance).pdf(row)
    return multivariate_t(mean, covariance * (degrees - 2) / degrees, df=degrees).pdf(row)


def filtered(hmm: Any, run: np.ndarray, degrees: float) -> float:
    """Sum of log p(x_t | x_1..x_t-1) over t = 2..T, checkpoint by checkpoint from the definition.

    States are predicted one step ahead, p(s_t | x_1..x_t-1), and then corrected by the checkpoint.
    The first checkpoint only corrects; it is Gaussian, as the model has it.
    """
    moving = isinstance(hmm, AutoregressiveHMM)
    filled = gaps_filled(run, np.array([len(run)]))
    believed, total = hmm.startprob_, 0.0
    for t, row in enumerate(run):
        densities = []
        for k in range(hmm.n_components):
            mean, covariance, freedom = hmm.means_[k], hmm.covars_[k], degrees
            if moving:
                mean = hmm.intercepts_[k] + hmm.coefficients_[k] @ filled[t - 1]
            if t == 0:
                freedom = np.inf
                if moving:
                    mean, covariance = hmm.first_mean_, np.diag(hmm.first_variance_)
            densities.append(density_of_t(row, mean, covariance, freedom))
        expected = believed @ hmm.transmat_ if t else believed
        joint = expected * np.array(densities)
        if t:
            total += np.log(joint.sum())
        believed = joint / joint.sum()
    return float(total)


@pytest.mark.parametrize("degrees", DEGREES)
@pytest.mark.parametrize("d", [1, 3])
def test_student_t_is_that_of_scipy_with_this_covariance(d: int, degrees: float) -> None:
    draw = np.random.default_rng(d)
    a = draw.normal(size=(d, d + 2))
    covariance, mean = a @ a.T, draw.normal(size=d)
    rows = draw.normal(size=(20, d)) * 5
    away = rows - mean
    distance = np.einsum("ni,ij,nj->n", away, np.linalg.inv(covariance), away)
    found = student_t(distance, np.linalg.slogdet(covariance)[1], d, degrees)
    expected = [np.log(density_of_t(row, mean, covariance, degrees)) for row in rows]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_nothing_seen_counts_for_nothing() -> None:
    for degrees in DEGREES:
        assert student_t(np.zeros(2), np.zeros(2), 0, degrees).tolist() == [0.0, 0.0]


def test_covariance_stays_whatever_the_degrees_of_freedom() -> None:
    x = np.linspace(-3000, 3000, 2_000_001)
    for degrees in DEGREES:
        density = np.exp(student_t(x**2 / 4, np.log(4.0) * np.ones(1), 1, degrees))
        step = x[1] - x[0]
        assert density.sum() * step == pytest.approx(1, abs=1e-6)
        assert (density * x**2).sum() * step == pytest.approx(4, rel=0.01)


@pytest.mark.parametrize("degrees", DEGREES)
@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize("make", [random_model, random_autoregression])
def test_checkpoint_by_checkpoint_from_the_definition(make: Any, kind: str, degrees: float) -> None:
    hmm, rows = make(kind), random_rows(LENGTHS, 2)
    found = predictive_log_densities(hmm, rows, LENGTHS, degrees)
    runs = np.split(rows, np.cumsum(LENGTHS)[:-1])
    expected = [filtered(hmm, run, degrees) for run in runs]
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9)
    assert abs(found[1]) < 1e-12  # a run of one checkpoint


@pytest.mark.parametrize("degrees", [np.inf, 4.0])
@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize("make", [random_model, random_autoregression])
def test_missing_entries_by_the_density_of_what_is_seen(
    make: Any, kind: str, degrees: float
) -> None:
    rows = with_gaps(random_rows(LENGTHS, 3), 0.25)
    rows[0, 1] = np.nan  # in a first checkpoint too
    hmm = make(kind, d=3)
    found = predictive_log_densities(hmm, rows, LENGTHS, degrees)
    runs = np.split(rows, np.cumsum(LENGTHS)[:-1])
    expected = [filtered(hmm, run, degrees) for run in runs]
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9)


def test_full_dynamics_and_many_metrics() -> None:
    hmm = random_autoregression("full", states=2, d=10, dynamics="full")
    rows = random_rows([12, 7], 10)
    found = predictive_log_densities(hmm, rows, np.array([12, 7]), 8.0)
    expected = [filtered(hmm, run, 8.0) for run in np.split(rows, [12])]
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_the_model_stays_as_it_was() -> None:
    hmm, rows = random_autoregression("full"), random_rows(LENGTHS, 2)
    before = {name: values.copy() for name, values in hmm.arrays().items()}
    predictive_log_densities(hmm, rows, LENGTHS, 3.0)
    for name, values in hmm.arrays().items():
        np.testing.assert_array_equal(values, before[name])


def with_spikes(share: float) -> tuple[Any, np.ndarray, np.ndarray]:
    """A model and runs of it in which a share of the checkpoints jumps far."""
    hmm = random_autoregression("full", states=1, seed=3)
    rows, lengths, _ = simulate_autoregression(hmm, 12, 60, seed=5)
    draw = np.random.default_rng(6)
    spikes = draw.uniform(size=len(rows)) < share
    rows[spikes] += 12 * draw.normal(size=(int(spikes.sum()), 2))
    return hmm, rows, lengths


@pytest.mark.parametrize(("share", "heavy"), [(0.0, False), (0.05, True)])
def test_the_runs_seen_choose_the_degrees_of_freedom(share: float, heavy: bool) -> None:
    hmm, rows, lengths = with_spikes(share)
    calm_rows, calm_lengths = with_spikes(0.0)[1:]
    likelihood = [predictive_log_densities(hmm, rows, lengths, v).sum() for v in DEGREES]
    likeliest = DEGREES[int(np.argmax(likelihood))]
    assert (likeliest <= 8) == heavy
    # Whatever is foretold has no say in it.
    found = foretold(hmm, (rows, lengths), (calm_rows, calm_lengths))
    expected = predictive_log_densities(hmm, calm_rows, calm_lengths, likeliest)
    np.testing.assert_array_equal(found, expected)
    others = [
        predictive_log_densities(hmm, calm_rows, calm_lengths, v) for v in DEGREES if v != likeliest
    ]
    assert all(abs(found.sum() - other.sum()) > 1e-3 for other in others)
