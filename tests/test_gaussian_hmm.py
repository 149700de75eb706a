"""The EM loop: brute force over all state paths, hmmlearn's own steps, and how fits end."""

from __future__ import annotations

import itertools

import hmmlearn.hmm
import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.cluster import kmeans_plusplus

from training_maps.forward_backward import PackedSequences, expectation, viterbi
from training_maps.gaussian_hmm import COVARIANCE_FLOOR, GaussianHMM
from training_maps.gaussians import COVARIANCES, floored, log_density
from training_maps.training_rows import Statistics, TrainingRows, seed_means

# A floor that does not bind, as hmmlearn has none.
NO_FLOOR = 1e-12
LENGTHS = np.array([4, 1, 6, 3, 6])


def random_covars(draw, kind, states, d):
    a = draw.normal(size=(states, d, 2 * d))
    full = a @ np.swapaxes(a, 1, 2) / d
    return {
        "full": full,
        "tied": full[0],
        "diag": np.diagonal(full, axis1=1, axis2=2).copy(),
        "spherical": full[:, 0, 0].copy(),
    }[kind]


def random_model(kind, states=3, d=2, seed=0, **settings):
    """A model with random parameters."""
    draw = np.random.default_rng(seed)
    return GaussianHMM.from_parameters(
        draw.dirichlet(np.ones(states)),
        draw.dirichlet(np.ones(states), size=states),
        draw.normal(size=(states, d)) * 2,
        random_covars(draw, kind, states, d),
        covariance_type=kind,
        **{"covariance_floor": NO_FLOOR, **settings},
    )


def in_hmmlearn(model, **settings):
    """A model's parameters set one by one in hmmlearn's class, whose `fit` goes on from them."""
    theirs = hmmlearn.hmm.GaussianHMM(
        model.n_components, model.covariance_type, init_params="", **settings
    )
    theirs.startprob_, theirs.transmat_ = model.startprob_, model.transmat_
    theirs.means_, theirs.covars_ = model.means_, model.covariance_parameters()
    theirs.n_features = model.means_.shape[1]
    return theirs


def densities(model, x):
    return log_density(x, model.means_, model._covars_, model.covariance_type)


def random_rows(lengths, d, seed=1):
    return np.random.default_rng(seed).normal(size=(int(np.sum(lengths)), d)) * 2


def simulate(model, n_runs, length, seed=0):
    model = model.to_hmmlearn()
    draws = [model.sample(length, random_state=seed * 1000 + run) for run in range(n_runs)]
    return np.concatenate([x for x, _ in draws]), np.full(n_runs, length)


def brute_force(model, x):
    """Likelihood, posteriors, expected transitions and best path from all paths of one run."""
    states = model.n_components
    density = np.stack(
        [multivariate_normal(m, c).pdf(x) for m, c in zip(model.means_, model.covars_, strict=True)]
    ).reshape(states, len(x))
    posterior = np.zeros((len(x), states))
    transitions = np.zeros((states, states))
    total, best = 0.0, (-1.0, ())
    for path in itertools.product(range(states), repeat=len(x)):
        p = model.startprob_[path[0]] * density[path[0], 0]
        for t, (i, j) in enumerate(itertools.pairwise(path), start=1):
            p *= model.transmat_[i, j] * density[j, t]
        total += p
        best = max(best, (p, path))
        posterior[np.arange(len(x)), path] += p
        for i, j in itertools.pairwise(path):
            transitions[i, j] += p
    return np.log(total), posterior / total, transitions / total, np.array(best[1]), best[0]


@pytest.mark.parametrize("kind", COVARIANCES)
def test_e_step_and_viterbi_against_all_state_paths(kind):
    model, x = random_model(kind), random_rows(LENGTHS, 2)
    parts = np.split(x, np.cumsum(LENGTHS)[:-1])
    exact = [brute_force(model, part) for part in parts]
    packed = PackedSequences.from_lengths(LENGTHS)
    found = expectation(packed, model.startprob_, model.transmat_, densities(model, x)[packed.rows])
    assert found.redone.size == 0
    assert found.log_likelihood == pytest.approx(sum(e[0] for e in exact), rel=1e-12)
    posterior = np.empty_like(found.posterior)
    posterior[packed.rows] = found.posterior
    np.testing.assert_allclose(posterior, np.concatenate([e[1] for e in exact]), atol=1e-12)
    np.testing.assert_allclose(found.transitions, sum(e[2] for e in exact), atol=1e-12)
    np.testing.assert_array_equal(model.predict(x, LENGTHS), np.concatenate([e[3] for e in exact]))
    best, states = model.decode(x, LENGTHS)
    np.testing.assert_array_equal(states, model.predict(x, LENGTHS))
    assert best == pytest.approx(sum(np.log(e[4]) for e in exact), rel=1e-12)
    assert model.score(x, LENGTHS) == pytest.approx(found.log_likelihood, rel=1e-12)
    stats, likelihood = model._estep(TrainingRows.of(x, LENGTHS, kind))
    assert likelihood == pytest.approx(found.log_likelihood, rel=1e-12)
    np.testing.assert_allclose(stats.start, sum(e[1][0] for e in exact), atol=1e-12)
    np.testing.assert_allclose(stats.rows, sum(e[1].sum(axis=0) for e in exact), atol=1e-12)


@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize("states", [1, 2, 5])
def test_em_step_equals_that_of_hmmlearn(kind, states):
    lengths = np.array([40, 7, 101, 1, 40, 2])
    x = random_rows(lengths, 4)
    ours = random_model(kind, states, 4, n_iter=1)
    theirs = in_hmmlearn(ours, n_iter=1)
    np.testing.assert_allclose(densities(ours, x), theirs._compute_log_likelihood(x), rtol=1e-10)
    start = theirs.score(x, lengths)
    ours.fit(x, lengths, draw_start=False)
    theirs.fit(x, lengths)
    close = {"rtol": 1e-8, "atol": 1e-10}
    np.testing.assert_allclose(ours.startprob_, theirs.startprob_, **close)
    np.testing.assert_allclose(ours.transmat_, theirs.transmat_, **close)
    np.testing.assert_allclose(ours.means_, theirs.means_, **close)
    # hmmlearn repeats a spherical variance along the features.
    expected = theirs._covars_[:, 0] if kind == "spherical" else theirs._covars_
    np.testing.assert_allclose(ours.covariance_parameters(), expected, **close)
    report = ours.fit_report_
    assert report.iterations == 1
    assert report.reason == "iteration limit"
    assert report.log_likelihood[0] == pytest.approx(start, rel=1e-10)
    assert report.log_likelihood[1] == pytest.approx(theirs.score(x, lengths), rel=1e-8)


@pytest.mark.parametrize("kind", COVARIANCES)
def test_whole_fit_follows_hmmlearn(kind):
    x, lengths = simulate(random_model(kind, 3, 3), 6, 40)
    ours = random_model(kind, 3, 3, seed=9, n_iter=25, tol=1e-12)
    theirs = in_hmmlearn(ours, n_iter=25, tol=-np.inf)
    ours.fit(x, lengths, draw_start=False)
    theirs.fit(x, lengths)
    assert ours.score(x, lengths) == pytest.approx(theirs.score(x, lengths), rel=1e-8)
    plain = in_hmmlearn(ours)
    assert ours.fit_report_.log_likelihood[-1] == pytest.approx(plain.score(x, lengths), rel=1e-8)
    assert ours.score(x, lengths) == pytest.approx(plain.score(x, lengths), rel=1e-10)
    assert ours.n_parameters() == sum(plain._get_n_fit_scalars_per_param().values())
    best, states = plain.decode(x, lengths)
    assert ours.decode(x, lengths)[0] == pytest.approx(best, rel=1e-10)
    np.testing.assert_array_equal(ours.predict(x, lengths), states)
    np.testing.assert_allclose(ours.covars_, plain.covars_)
    assert ours.covars_.shape == (3, 3, 3)


@pytest.mark.parametrize("kind", COVARIANCES)
def test_to_hmmlearn_is_ready_to_use(kind):
    x, lengths = simulate(random_model(kind, 3, 3), 6, 40)
    ours = GaussianHMM(3, kind, random_state=1, n_iter=20).fit(x, lengths)
    theirs, plain = ours.to_hmmlearn(), in_hmmlearn(ours)
    assert type(theirs) is hmmlearn.hmm.GaussianHMM
    for method in ("score", "aic", "bic"):
        value = getattr(theirs, method)(x, lengths)
        assert value == pytest.approx(getattr(plain, method)(x, lengths), rel=1e-12)
    np.testing.assert_array_equal(theirs.predict(x, lengths), ours.predict(x, lengths))
    np.testing.assert_array_equal(theirs.covars_, ours.covars_)
    theirs.means_ += 1  # a copy, not a view
    assert ours.score(x, lengths) == pytest.approx(plain.score(x, lengths), rel=1e-10)


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
    assert (np.diff(objective) >= -1e-9 * np.abs(objective[1:])).all()
    assert report.largest_fall <= 1e-9 * np.abs(objective).max()
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


def test_scaling_that_underflows_is_redone_in_log_space():
    # From state 0, where runs start, state 1 is the only way on; rows far from both states in
    # turn leave nothing of the scaled forward probabilities.
    x = np.array([0.0, 0, 60, 0, 60, 60, 0, 0, 1, 0])[:, None]
    lengths = np.array([7, 3])
    ours = GaussianHMM.from_parameters(
        np.array([1.0, 0.0]),
        np.array([[0.5, 0.5], [0.0, 1.0]]),
        np.array([[0.0], [60.0]]),
        np.full((2, 1, 1), 0.5),
        covariance_floor=NO_FLOOR,
        n_iter=1,
    )
    theirs = in_hmmlearn(ours, n_iter=1)
    packed = PackedSequences.from_lengths(lengths)
    density = densities(ours, x[packed.rows])
    found = expectation(packed, ours.startprob_, ours.transmat_, density)
    assert found.redone.tolist() == [0]
    exact = theirs.score(x, lengths)
    assert exact < -3000
    assert found.log_likelihood == pytest.approx(exact, rel=1e-10)
    assert ours.score(x, lengths) == pytest.approx(exact, rel=1e-10)
    posterior = np.empty_like(found.posterior)
    posterior[packed.rows] = found.posterior
    np.testing.assert_allclose(posterior, theirs.predict_proba(x, lengths), atol=1e-9)
    report = ours.fit(x, lengths, draw_start=False).fit_report_
    assert report.log_likelihood[0] == pytest.approx(exact, rel=1e-10)
    theirs.fit(x, lengths)
    np.testing.assert_allclose(ours.means_, theirs.means_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(ours.covars_, theirs.covars_, rtol=1e-8)
    np.testing.assert_allclose(ours.transmat_, theirs.transmat_, rtol=1e-8)


def test_backward_overflow_is_redone_in_log_space():
    # Every row lies at a state that is never reached, whose backward probabilities explode.
    x = np.full((60, 1), 12.0)
    model = GaussianHMM.from_parameters(
        np.array([1.0, 0.0]), np.eye(2), np.array([[0.0], [12.0]]), np.full((2, 1, 1), 1.2)
    )
    stats, likelihood = model._estep(TrainingRows.of(x, np.array([60]), "full"))
    assert likelihood == pytest.approx(in_hmmlearn(model).score(x), rel=1e-12)
    assert model.score(x) == pytest.approx(likelihood, rel=1e-12)
    np.testing.assert_allclose(stats.rows, [60, 0], atol=1e-12)
    np.testing.assert_allclose(stats.transitions, [[59, 0], [0, 0]], atol=1e-12)


def test_viterbi_follows_the_only_way_through_zero_probabilities():
    # Left to right without leaps: the path must wait for each state, whatever the rows say.
    packed = PackedSequences.from_lengths(np.array([4, 1, 2]))
    transmat = np.array([[0.5, 0.5, 0], [0, 0.5, 0.5], [0, 0, 1.0]])
    density = np.full((7, 3), -5.0)
    density[:, 2] = 0.0
    likelihood, path = viterbi(packed, np.array([1.0, 0, 0]), transmat, density)
    states = np.empty(7, dtype=int)
    states[packed.rows] = path
    assert states.tolist() == [0, 1, 2, 2, 0, 0, 0]
    assert likelihood == pytest.approx(-10 - 5 - 10 + 3 * np.log(0.5))


def test_a_part_of_packed_sequences_is_packed_alike():
    packed = PackedSequences.from_lengths(LENGTHS)
    part = packed.only(np.isin(packed.run, [0, 1, 4]))
    alone = PackedSequences.from_lengths(LENGTHS[[0, 1, 4]])
    assert part.counts.tolist() == alone.counts.tolist()
    assert part.offsets.tolist() == alone.offsets.tolist()
    assert part.previous.tolist() == alone.previous.tolist()
    assert np.array([0, 1, 4])[alone.run].tolist() == part.run.tolist()
    assert packed.rows[np.isin(packed.run, [0, 1, 4])].tolist() == part.rows.tolist()


@pytest.mark.parametrize("states", [1, 2, 5, 8])
def test_seeds_are_those_of_scikit_learn(states):
    x = random_rows([200], 3)
    for seed in range(5):
        theirs, _ = kmeans_plusplus(x, states, random_state=np.random.RandomState(seed))
        ours = seed_means(x, states, np.random.RandomState(seed))
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"startprob": [0.5, 0.6]}, "startprob_"),
        ({"transmat": np.eye(3)}, "transmat_"),
        ({"transmat": [[2.0, -1.0], [0, 1]]}, "transmat_"),
        ({"means": np.zeros((3, 2))}, "means"),
        ({"means": np.full((2, 2), np.nan)}, "means"),
        ({"covars": np.eye(2)}, "covars have shape"),
        ({"covars": np.stack([np.eye(2), -np.eye(2)])}, "positive definite"),
        ({"covars": np.full((2, 2, 2), np.nan)}, "positive definite"),
        ({"covars": np.stack([np.eye(2), [[1, 0.5], [0, 1]]])}, "symmetric"),
        ({"covars": np.zeros((2, 2)), "covariance_type": "diag"}, "positive definite"),
        ({"covariance_type": "banded"}, "'banded' is none of full"),
    ],
)
def test_parameters_that_make_no_model_are_refused(changes, problem):
    good = {"startprob": np.full(2, 0.5), "transmat": np.eye(2), "means": np.zeros((2, 2))}
    good["covars"] = np.stack([np.eye(2)] * 2)
    GaussianHMM.from_parameters(**good)
    with pytest.raises(ValueError, match=problem):
        GaussianHMM.from_parameters(**{**good, **changes})


def test_rows_that_cannot_be_fitted_are_refused():
    x = random_rows([10], 2)
    model = GaussianHMM(2)
    with pytest.raises(ValueError, match="finite"):
        model.fit(np.where(np.arange(20).reshape(10, 2) == 3, np.nan, x))
    for lengths in ([4, 5], [10, 0], [11, -1]):
        with pytest.raises(ValueError, match="sum to the 10 rows"):
            model.fit(x, lengths)


def test_packing_keeps_every_row_once_in_order_of_time():
    packed = PackedSequences.from_lengths(LENGTHS)
    assert sorted(packed.rows.tolist()) == list(range(LENGTHS.sum()))
    assert packed.counts.tolist() == [5, 4, 4, 3, 2, 2]
    ends = np.cumsum(LENGTHS)
    np.testing.assert_array_equal(packed.run, np.searchsorted(ends, packed.rows, side="right"))
    np.testing.assert_array_equal(
        packed.rows[packed.previous] + 1, packed.rows[packed.offsets[1] :]
    )
    alone = PackedSequences.from_lengths(np.array([1]))
    assert alone.previous.size == 0


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


@pytest.mark.parametrize("kind", COVARIANCES)
def test_renumbering_and_parameters(kind):
    model, x = random_model(kind), random_rows(LENGTHS, 2)
    order = np.array([2, 0, 1])
    moved = GaussianHMM.from_parameters(
        model.startprob_,
        model.transmat_,
        model.means_,
        model.covariance_parameters(),
        covariance_type=kind,
    )
    moved.renumber(order)
    assert moved.score(x, LENGTHS) == pytest.approx(model.score(x, LENGTHS), rel=1e-12)
    np.testing.assert_array_equal(order[moved.predict(x, LENGTHS)], model.predict(x, LENGTHS))
    np.testing.assert_array_equal(moved.covars_, model.covars_[order])
    counts = {"full": 9, "tied": 3, "diag": 6, "spherical": 3}
    assert moved.n_parameters() == 2 + 6 + 6 + counts[kind]
