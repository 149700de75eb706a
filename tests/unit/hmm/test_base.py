"""Fits: the objective never falls, the floor holds, and each fit ends for a true reason."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from tests.support.hmm_twins import (
    LENGTHS,
    brute_force,
    random_autoregression,
    random_model,
    random_rows,
    simulate,
)
from training_maps.hmm.autoregressive import AutoregressiveHMM
from training_maps.hmm.base import COVARIANCE_FLOOR
from training_maps.hmm.covariances import COVARIANCES, floored
from training_maps.hmm.gaussian import GaussianHMM
from training_maps.hmm.initialisation import STARTS
from training_maps.hmm.sufficient_statistics import Statistics


@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize("floor", [COVARIANCE_FLOOR, 1e-7])
@pytest.mark.parametrize("seed", range(3))
def test_objective_never_falls_and_covariances_stay_above_the_floor(kind, floor, seed):
    # Nearly collinear features (in a direction that the prior leaves alone, being orthogonal to
    # ones) and more states than the data have: the worst for covariances.
    x, lengths = simulate(random_model("full", 2, 3), 5, 30, seed)
    x = np.hstack([x, x @ [[1], [1], [-1]] + 1e-5 * np.sin(np.arange(len(x)))[:, None]])
    model = GaussianHMM(6, kind, covariance_floor=floor, random_state=seed, n_iter=300)
    report = model.fit(x, lengths).fit_report_
    objective = np.array(report.objective)
    assert (np.diff(objective) >= -1e-12 * (np.abs(objective[1:]) + x.size)).all()
    assert report.reason != "degenerate" or report.empty_states
    assert report.largest_fall == max(0, -np.diff(objective).min())
    least = np.linalg.eigvalsh(model.covars_).min()
    assert least >= floor * (1 - 1e-6)
    if kind in ("full", "tied"):
        assert least == pytest.approx(floor, rel=1e-3)  # the floor binds
    for values in (model.startprob_, model.transmat_, model.means_, model.covars_):
        assert np.isfinite(values).all()


@pytest.mark.parametrize("kind", COVARIANCES)
def test_a_bound_fit_is_a_maximum_among_covariances_above_the_floor(kind):
    # With a floor that binds everywhere it can, no nearby covariance above it has more objective.
    draw = np.random.default_rng(3)
    x, lengths = simulate(random_model(kind, 2, 2), 4, 30)
    floor = 0.5 * float(np.cov(x.T).diagonal().min())
    model = GaussianHMM(2, kind, covariance_floor=floor, random_state=0, n_iter=2000, tol=1e-10)
    model.fit(x, lengths)
    best = model.score(x, lengths) + model._log_prior()
    assert best == pytest.approx(model.fit_report_.objective[-1], rel=1e-10)
    assert np.linalg.eigvalsh(model.covars_).min() == pytest.approx(floor)
    covars = model._covars_
    for _ in range(50):
        model._covars_ = floored(covars + 0.05 * draw.normal(size=covars.shape), floor, kind)
        assert model.score(x, lengths) + model._log_prior() <= best + 1e-6


def test_log_prior_is_what_the_m_step_maximises():
    # The M-step's covariance must be a stationary point of likelihood plus prior: at a converged
    # fit, scaling a covariance either way loses objective.
    for kind in COVARIANCES:
        x, lengths = simulate(random_model(kind, 2, 2), 4, 30)
        model = GaussianHMM(2, kind, covars_prior=5.0, random_state=0, n_iter=2000, tol=1e-10)
        model.fit(x, lengths)
        assert model.fit_report_.converged
        best = model.score(x, lengths) + model._log_prior()
        assert best == pytest.approx(model.fit_report_.objective[-1], rel=1e-10)
        covars = model._covars_
        for factor in (0.99, 1.01):
            model._covars_ = covars * factor
            assert model.score(x, lengths) + model._log_prior() < best - 1e-4


def test_convergence_is_told_truly():
    x, lengths = simulate(random_model("full", 3, 2), 6, 50)
    fits = {
        n: GaussianHMM(3, "full", random_state=0, n_iter=n, tol=1e-3).fit(x, lengths)
        for n in (2, 500)
    }
    cut_short, whole = fits[2].fit_report_, fits[500].fit_report_
    assert (cut_short.reason, cut_short.converged, cut_short.iterations) == (
        "iteration limit",
        False,
        2,
    )
    assert (whole.reason, whole.converged) == ("converged", True)
    assert 0 <= whole.objective[-1] - whole.objective[-2] < 1e-3
    assert (np.diff(whole.objective[:-1]) >= 1e-3).all()
    assert len(whole.log_likelihood) == len(whole.objective) == whole.iterations + 1 < 501
    assert whole.log_likelihood[-1] == pytest.approx(fits[500].score(x, lengths), rel=1e-10)


def test_a_fall_of_the_objective_ends_the_fit_as_degenerate(monkeypatch):
    x, lengths = simulate(random_model("full", 3, 2), 6, 50)
    good = GaussianHMM._mstep
    steps = []

    def spoiled(self, stats):
        good(self, stats)
        steps.append(self.means_.copy())
        if len(steps) == 4:
            self.means_ = self.means_ + 5

    monkeypatch.setattr(GaussianHMM, "_mstep", spoiled)
    model = GaussianHMM(3, "full", random_state=0, tol=1e-9).fit(x, lengths)
    report = model.fit_report_
    assert (report.reason, report.converged, report.iterations) == ("degenerate", False, 3)
    assert report.largest_fall > 1
    np.testing.assert_array_equal(model.means_, steps[2])
    assert report.log_likelihood[-1] == pytest.approx(model.score(x, lengths), rel=1e-10)


@pytest.mark.parametrize("kind", COVARIANCES)
def test_starved_states_are_reported_and_leave_no_nan(kind):
    x, lengths = simulate(random_model(kind, 2, 2), 4, 30)
    model = random_model(kind, 4, 2, n_iter=50)
    covars = model.covars_
    means = model.means_.copy()
    means[3] = 1e4  # far from every row, and never reached
    model.means_ = means
    model.startprob_ = np.array([0.5, 0.5, 0, 0])
    model.transmat_ = np.array([[0.6, 0.4, 0, 0], [0.4, 0.6, 0, 0], [0.25] * 4, [0.25] * 4])
    report = model.fit(x, lengths, draw_start=False).fit_report_
    assert report.reason == "degenerate"
    assert report.empty_states == (2, 3)
    np.testing.assert_array_equal(model.means_[2:], means[2:])
    np.testing.assert_allclose(model.transmat_[2:], 0.25)
    if kind != "tied":
        np.testing.assert_allclose(model.covars_[2:], covars[2:])
    assert np.isfinite(model.covars_).all()
    assert (np.diff(report.objective) >= -1e-9 * np.abs(report.objective[1:])).all()
    model.renumber(np.array([3, 0, 1, 2]))
    assert model.fit_report_.empty_states == (0, 3)
    assert np.isfinite(model.score(x, lengths))


def test_a_tied_covariance_counts_the_rows_of_starved_states_too():
    # A state nearly starved keeps its mean far from its rows, and what scatter that makes is part
    # of the one covariance: leaving it out would lower the objective.
    draw = np.random.default_rng(0)
    x = draw.normal(size=(20, 2))
    posterior = np.column_stack([np.full(20, 1 - 4e-7), np.full(20, 4e-7)])
    model = random_model("tied", 2, 2)
    model.means_[1] = 1e3
    stats = Statistics(
        start=posterior[0],
        transitions=np.eye(2),
        rows=posterior.sum(axis=0),
        sums=posterior.T @ x,
        squares=np.einsum("nk,ni,nj->kij", posterior, x, x),
    )
    model._mstep(stats)
    np.testing.assert_array_equal(model.means_[1], 1e3)
    centred = [x - mean for mean in model.means_]
    scatter = sum((p[:, None] * c).T @ c for p, c in zip(posterior.T, centred, strict=True))
    np.testing.assert_allclose(model.covars_[0], (0.01 + scatter) / 20, rtol=1e-8)


def test_fits_repeat_bit_for_bit_and_differ_by_seed():
    x, lengths = simulate(random_model("full", 3, 4), 8, 60)
    first, again, other = (
        GaussianHMM(3, "full", random_state=seed).fit(x, lengths) for seed in (5, 5, 6)
    )
    for name in ("startprob_", "transmat_", "means_", "covars_"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert first.fit_report_ == again.fit_report_
    assert first.fit_report_.objective[0] != other.fit_report_.objective[0]


def test_more_states_than_distinct_rows():
    x = np.repeat(np.eye(2), 10, axis=0)
    model = GaussianHMM(4, "full", random_state=0).fit(x, [10, 10])
    assert np.isfinite(model.score(x, [10, 10]))
    assert np.isfinite(model.transmat_).all()


def test_an_objective_that_is_no_number_ends_the_fit_at_once(monkeypatch):
    monkeypatch.setattr(GaussianHMM, "_log_prior", lambda self: float("nan"))
    report = random_model("full", 2, 2).fit(random_rows([10], 2), draw_start=False).fit_report_
    assert (report.reason, report.iterations) == ("degenerate", 0)


@pytest.mark.parametrize("make", [GaussianHMM, AutoregressiveHMM])
@pytest.mark.parametrize("start", STARTS)
def test_fits_repeat_bit_for_bit_whatever_the_threads(make, start):
    x, lengths = simulate(random_model("full", 3, 14), 16, 200)
    fits = []
    for threads in (1, 2, 4):
        with threadpool_limits(limits=threads):
            model = make(3, "full", random_state=5, start=start, n_iter=15).fit(x, lengths)
            likelihood, path = model.decode(x, lengths)
            scores = (likelihood, model.score(x, lengths))
            fits.append((model.arrays(), path, scores, model.posteriors(x, lengths)))
    for arrays, path, scores, posterior in fits[1:]:
        for name, values in arrays.items():
            np.testing.assert_array_equal(values, fits[0][0][name])
        np.testing.assert_array_equal(path, fits[0][1])
        assert scores == fits[0][2]
        np.testing.assert_array_equal(posterior, fits[0][3])


@pytest.mark.parametrize("make", [random_model, random_autoregression])
def test_filtered_probabilities_are_those_of_the_rows_so_far(make):
    """Of each beginning of a run, the last row's posterior, by the sum over all its paths."""
    model = make("full", states=3, d=2)
    lengths = np.array([5, 1, 3])
    x = random_rows(lengths, 2)
    filtered = np.exp(model.log_filtered(x, lengths))
    np.testing.assert_allclose(filtered.sum(axis=1), 1)
    for rows, found in zip(
        np.split(x, np.cumsum(lengths)[:-1]),
        np.split(filtered, np.cumsum(lengths)[:-1]),
        strict=True,
    ):
        for n in range(1, len(rows) + 1):
            _, posterior, *_ = brute_force(model, rows[:n])
            np.testing.assert_allclose(found[n - 1], posterior[-1], rtol=1e-9)
        np.testing.assert_allclose(found[-1], model.posteriors(rows)[-1], rtol=1e-9)


@pytest.mark.parametrize("make", [random_model, random_autoregression])
def test_scores_paths_and_posteriors_are_those_of_all_state_paths(make):
    model = make("diag", states=3, d=2)
    lengths = np.array([4, 2])
    x = random_rows(lengths, 2)
    likelihoods, paths, posteriors, best = [], [], [], []
    for rows in np.split(x, np.cumsum(lengths)[:-1]):
        total, posterior, _, path, probability = brute_force(model, rows)
        likelihoods.append(total)
        posteriors.append(posterior)
        paths.append(path)
        best.append(np.log(probability))
    assert model.score(x, lengths) == pytest.approx(sum(likelihoods))
    np.testing.assert_allclose(model.posteriors(x, lengths), np.vstack(posteriors), rtol=1e-9)
    score, path = model.decode(x, lengths)
    assert score == pytest.approx(sum(best))
    np.testing.assert_array_equal(path, np.concatenate(paths))
    np.testing.assert_array_equal(model.predict(x, lengths), path)


def test_renumbered_states_are_the_same_states():
    model = random_model("full", states=4)
    x = random_rows(LENGTHS, 2)
    score, path = model.score(x, LENGTHS), model.predict(x, LENGTHS)
    means, transitions = model.means_.copy(), model.transmat_.copy()
    order = np.array([2, 0, 3, 1])
    model.renumber(order)
    assert model.score(x, LENGTHS) == pytest.approx(score)
    np.testing.assert_array_equal(order[model.predict(x, LENGTHS)], path)
    np.testing.assert_array_equal(model.means_, means[order])
    assert model.transmat_[0, 1] == transitions[2, 0]


def test_a_fit_may_go_on_from_the_parameters_set():
    x, lengths = simulate(random_model("full", 2, 2), 4, 30)
    model = GaussianHMM(2, random_state=0, n_iter=3, tol=1e-9).fit(x, lengths)
    reached = model.fit_report_.objective[-1]
    again = model.fit(x, lengths, draw_start=False).fit_report_
    assert again.objective[0] == pytest.approx(reached, rel=1e-12)
    assert again.objective[-1] > reached


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"X": np.array([[np.inf, 0.0]]), "lengths": [1]}, "infinite|finite"),
        ({"X": np.zeros((3, 2)), "lengths": [1, 1]}, "lengths"),
    ],
)
def test_rows_that_make_no_sense_are_refused(change, problem):
    model = random_model("full")
    for ask in (model.score, model.decode, model.posteriors, model.log_filtered, model.fit):
        with pytest.raises(ValueError, match=problem):
            ask(**change)


def test_one_row_and_one_state():
    model = random_model("full", states=1)
    x = random_rows([1], 2)
    assert model.predict(x).tolist() == [0]
    assert model.posteriors(x).tolist() == [[1.0]]
    assert model.score(x) == pytest.approx(model.log_densities(x)[0, 0])
