"""Second opinions on hidden Markov models: random models, brute force and one-row-at-a-time EM."""

from __future__ import annotations

import itertools

import hmmlearn.hmm
import numpy as np
from scipy.stats import multivariate_normal

from training_maps.hmm.autoregressive import AutoregressiveHMM
from training_maps.hmm.covariances import log_density
from training_maps.hmm.gaussian import GaussianHMM

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
    """A Gaussian model with random parameters."""
    draw = np.random.default_rng(seed)
    return GaussianHMM.from_parameters(
        draw.dirichlet(np.ones(states)),
        draw.dirichlet(np.ones(states), size=states),
        draw.normal(size=(states, d)) * 2,
        random_covars(draw, kind, states, d),
        covariance_type=kind,
        **{"covariance_floor": NO_FLOOR, **settings},
    )


def random_autoregression(kind, states=3, d=2, seed=0, dynamics="diagonal", **settings):
    """An autoregressive model with random parameters, all of them stable."""
    draw = np.random.default_rng(seed)
    coefficients = draw.normal(size=(states, d, d))
    if dynamics == "diagonal":
        coefficients *= np.eye(d)
    radius = np.abs(np.linalg.eigvals(coefficients)).max(axis=1)
    coefficients *= (draw.uniform(0.3, 0.9, size=states) / radius)[:, None, None]
    return AutoregressiveHMM.from_parameters(
        draw.dirichlet(np.ones(states)),
        draw.dirichlet(np.ones(states), size=states),
        draw.normal(size=(states, d)),
        random_covars(draw, kind, states, d),
        draw.normal(size=(states, d)) * 2,
        coefficients,
        draw.normal(size=d),
        draw.uniform(0.5, 2, size=d),
        covariance_type=kind,
        dynamics=dynamics,
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


def random_rows(lengths, d, seed=1):
    return np.random.default_rng(seed).normal(size=(int(np.sum(lengths)), d)) * 2


def with_gaps(x, share=0.15, seed=2):
    """Rows with random entries missing, one row wholly."""
    x = np.where(np.random.default_rng(seed).uniform(size=x.shape) < share, np.nan, x)
    x[len(x) // 2] = np.nan
    return x


def simulate(model, n_runs, length, seed=0):
    """Rows and lengths of runs drawn from a Gaussian model, by hmmlearn."""
    model = model.to_hmmlearn()
    draws = [model.sample(length, random_state=seed * 1000 + run) for run in range(n_runs)]
    return np.concatenate([x for x, _ in draws]), np.full(n_runs, length)


def simulate_autoregression(model, n_runs, length, seed=0):
    """Rows, lengths and states of runs drawn from an autoregressive model."""
    draw = np.random.default_rng(seed)
    states = np.arange(model.n_components)
    rows, path = [], []
    for _ in range(n_runs):
        state = draw.choice(states, p=model.startprob_)
        row = draw.normal(model.first_mean_, np.sqrt(model.first_variance_))
        for t in range(length):
            if t:
                state = draw.choice(states, p=model.transmat_[state])
                mean = model.intercepts_[state] + model.coefficients_[state] @ row
                row = draw.multivariate_normal(mean, model.covars_[state])
            rows.append(row)
            path.append(state)
    return np.array(rows), np.full(n_runs, length), np.array(path)


def row_density(mean, covariance, row):
    """Density of a row's observed entries, from SciPy; 1 if it has none."""
    seen = ~np.isnan(row)
    if not seen.any():
        return 1.0
    return multivariate_normal(mean[seen], covariance[np.ix_(seen, seen)]).pdf(row[seen])


def density_of_run(model, x):
    """Densities (T, K) of a run's rows, each given the one before if the model asks for it."""
    density = np.empty((len(x), model.n_components))
    for t, row in enumerate(x):
        for k in range(model.n_components):
            mean, covariance = model.means_[k], model.covars_[k]
            if isinstance(model, AutoregressiveHMM):
                if t == 0:
                    mean, covariance = model.first_mean_, np.diag(model.first_variance_)
                else:
                    mean = model.intercepts_[k] + model.coefficients_[k] @ x[t - 1]
            density[t, k] = row_density(mean, covariance, row)
    return density


def brute_force(model, x, density=None):
    """All of one run's paths: log-likelihood, posteriors, expected transitions, best path and its
    probability.
    """
    states = model.n_components
    density = density_of_run(model, x) if density is None else density
    posterior = np.zeros((len(x), states))
    transitions = np.zeros((states, states))
    total, best = 0.0, (-1.0, ())
    for path in itertools.product(range(states), repeat=len(x)):
        p = model.startprob_[path[0]] * density[0, path[0]]
        for t, (i, j) in enumerate(itertools.pairwise(path), start=1):
            p *= model.transmat_[i, j] * density[t, j]
        total += p
        best = max(best, (p, path))
        posterior[np.arange(len(x)), path] += p
        for i, j in itertools.pairwise(path):
            transitions[i, j] += p
    return np.log(total), posterior / total, transitions / total, np.array(best[1]), best[0]


def densities(model, x):
    """Log densities (n, K) of rows under a Gaussian model's states, as its E-step has them."""
    return log_density(x, model.means_, model._covars_, model.covariance_type)
