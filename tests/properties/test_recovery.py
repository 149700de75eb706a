"""Simulated data from known models: parameters come back, and the number of states is found."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.hmm_twins import random_covars, simulate
from training_maps.hmm.covariances import COVARIANCES
from training_maps.hmm.gaussian import GaussianHMM
from training_maps.hmm.initialisation import start_of

# Least distance between the means of well-separated states, in standard deviations of the wider.
SEPARATION = 6.0


def separated_model(draw, kind, states, d):
    """A model whose states are well apart, each kept for ten rows or so, all of them reached."""
    covars = random_covars(draw, kind, states, d)
    model = GaussianHMM.from_parameters(
        np.full(states, 1 / states),
        np.where(np.eye(states), 0.9, 0.1 / (states - 1)),
        np.zeros((states, d)),
        covars,
        covariance_type=kind,
    )
    widest = np.sqrt(np.linalg.eigvalsh(model.covars_).max())
    while True:
        means = draw.normal(size=(states, d)) * SEPARATION * widest
        apart = [np.linalg.norm(a - b) for i, a in enumerate(means) for b in means[:i]]
        if min(apart) >= SEPARATION * widest:
            model.means_ = means
            return model


@pytest.mark.parametrize("kind", COVARIANCES)
def test_parameters_of_well_separated_states_come_back(kind):
    truth = separated_model(np.random.default_rng(4), kind, 3, 3)
    x, lengths = simulate(truth, 40, 50)
    model = GaussianHMM(3, kind, random_state=0).fit(x, lengths)
    assert model.fit_report_.converged
    nearest = np.linalg.norm(model.means_[:, None] - truth.means_, axis=2).argmin(axis=0)
    assert sorted(nearest.tolist()) == [0, 1, 2]
    model.renumber(nearest)
    rows = len(x) / 3
    # Within five standard errors, about.
    deviations = np.sqrt(np.diagonal(truth.covars_, axis1=1, axis2=2))
    assert (np.abs(model.means_ - truth.means_) < 5 * deviations / np.sqrt(rows)).all()
    scale = deviations[:, :, None] * deviations[:, None, :]
    assert (np.abs(model.covars_ - truth.covars_) < 5 * scale * np.sqrt(2 / rows)).all()
    np.testing.assert_allclose(model.transmat_, truth.transmat_, atol=0.04)
    np.testing.assert_allclose(model.startprob_, truth.startprob_, atol=0.4)


def drawn_runs(draw, model, n_runs, length):
    """Rows and lengths of runs drawn from a Gaussian model, all runs at once."""
    path = np.empty((n_runs, length), dtype=int)
    path[:, 0] = draw.choice(model.n_components, n_runs, p=model.startprob_)
    below = np.cumsum(model.transmat_, axis=1)[:, :-1]
    for t in range(1, length):
        path[:, t] = (draw.uniform(size=(n_runs, 1)) > below[path[:, t - 1]]).sum(axis=1)
    noise = draw.normal(size=(n_runs, length, model.n_features, 1))
    noise = (np.linalg.cholesky(model.covars_)[path] @ noise)[..., 0]
    rows = model.means_[path] + noise
    return rows.reshape(n_runs * length, -1), np.full(n_runs, length)


def chosen_states(case):
    """True and chosen number of states of a simulated case: the lowest mean BIC of 1 to one more.

    As `model_selection.fit` and `model_selection.select` do it by default, with two restarts.
    """
    states, kind = 2 + case % 3, COVARIANCES[case % 4]
    x, lengths = simulate(
        separated_model(np.random.default_rng(case), kind, states, 2), 25, 20, case
    )
    x = x / x.std()
    train, held_out = x[:400], x[400:]
    means = []
    for k in range(1, states + 2):
        bic = []
        for restart in range(2):
            model = GaussianHMM(k, kind, random_state=10 * case + restart, start=start_of(restart))
            likelihood = model.fit(train, lengths[:20]).score(held_out, lengths[20:])
            bic.append(-2 * likelihood + model.n_parameters() * np.log(len(held_out)))
        means.append(np.mean(bic))
    return states, 1 + int(np.argmin(means))


def test_the_number_of_well_separated_states_is_found():
    # 100 cases of all covariance kinds and 2, 3 or 4 states.
    found = [chosen_states(case) for case in range(100)]
    right = sum(true == chosen for true, chosen in found)
    assert right >= 95, [pair for pair in found if pair[0] != pair[1]]
