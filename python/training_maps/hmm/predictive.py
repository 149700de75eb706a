"""How well a model foretells runs: one-step-ahead predictive log densities with heavy tails.

A model foretells a run x_1..x_T checkpoint by checkpoint, each from those before it: the sum over
t = 2..T of log p(x_t | x_1..x_{t-1}), in nats. The first checkpoint does not count, as models that
describe how training goes on need not say where it begins. Missing entries count for nothing.

**Student's t.** Training has spikes. Under Gaussian noise a single one costs a model hundreds of
nats, and a second state that is wider is the cheapest way to allow for them: states would be found
in noise that is heavy-tailed and nothing else. So every model's noise, whatever the model, is a
multivariate t here (Lange, Little and Taylor 1989), with the mean and covariance that were fitted
and the degrees of freedom from `DEGREES` that make the runs it was fitted to likeliest:

    log t = lgamma((v + d)/2) - lgamma(v/2) - (d log(v pi) + log|S|)/2
            - (v + d)/2 log(1 + m / v)

with S = (v - 2)/v Sigma, so that the covariance stays Sigma, and m the squared Mahalanobis distance
under S. v = infinity is the Gaussian.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import numpy as np

from training_maps.hmm.base import HMM
from training_maps.hmm.inference import log_likelihood, log_likelihoods
from training_maps.utils.numbers import Floats, Ints

#: Degrees of freedom that are tried; 3 is the least that is tried, as the variance needs above 2.
DEGREES = (np.inf, 20.0, 8.0, 4.0, 3.0)


def student_t(distance: Floats, log_determinant: Floats, d: Floats | int, degrees: float) -> Floats:
    """Log density of the multivariate t; arguments broadcast.

    Args:
        distance: squared Mahalanobis distance of a row from the mean under the covariance.
        log_determinant: of the covariance.
        d: how many entries the row has.
        degrees: of freedom, above 2; infinity is the Gaussian.
    """
    if np.isinf(degrees):
        return -0.5 * (distance + log_determinant + d * np.log(2 * np.pi))
    shrunk = (degrees - 2) / degrees  # the scale matrix is this share of the covariance
    log_determinant = log_determinant + d * np.log(shrunk)
    # SciPy has this too, but takes a while to import.
    entries, which = np.unique(d, return_inverse=True)
    gammas = np.array([math.lgamma((degrees + entry) / 2) for entry in entries.tolist()])
    constant = gammas[which].reshape(np.shape(d)) - math.lgamma(degrees / 2)
    constant = constant - 0.5 * (d * np.log(degrees * np.pi) + log_determinant)
    return np.asarray(
        constant - 0.5 * (degrees + d) * np.log1p(distance / (shrunk * degrees)), dtype=np.float64
    )


def predictive_log_densities(hmm: HMM, X: Floats, lengths: Ints, degrees: float) -> Floats:
    """One-step-ahead predictive log density (M,) of each of M runs, in nats.

    Args:
        hmm: a fitted model.
        X: (n, d) rows of all runs, concatenated; NaN marks a missing entry.
        lengths: (M,) checkpoints of each run. A run of one has 0: there is nothing to foretell.
        degrees: degrees of freedom of the noise.
    """
    return _by_run(hmm, heavy_tailed_densities(hmm, X, lengths, degrees), lengths)


def foretold(hmm: HMM, seen: tuple[Floats, Ints], runs: tuple[Floats, Ints]) -> Floats:
    """One-step-ahead predictive log density (M,) of each run, in nats.

    Args:
        hmm: a fitted model.
        seen: rows (n, d) and lengths of the runs it was fitted to, which choose the degrees of
            freedom.
        runs: rows and lengths of the runs to foretell.
    """
    return predictive_log_densities(hmm, *runs, likeliest_degrees(hmm, *seen))


def likeliest_degrees(hmm: HMM, X: Floats, lengths: Ints) -> float:
    """The degrees of freedom, of `DEGREES`, that make runs likeliest; arguments as above."""
    noise = _Noise.of(hmm, X, lengths)
    first = np.cumsum(lengths) - lengths
    ones = np.ones_like(lengths)
    of = []
    for degrees in DEGREES:
        start, transition, density = hmm.expanded(noise.densities(lengths, degrees))
        begun = log_likelihood(ones, start, transition, density[first])
        of.append(log_likelihood(lengths, start, transition, density) - begun)
    return DEGREES[int(np.argmax(of))]


def heavy_tailed_densities(hmm: HMM, X: Floats, lengths: Ints, degrees: float) -> Floats:
    """Log density (n, K) of each row under each state, with noise of these degrees of freedom."""
    return _Noise.of(hmm, X, lengths).densities(lengths, degrees)


@dataclass(frozen=True)
class _Noise:
    """What densities with any degrees of freedom are made of.

    Attributes:
        density: (n, K) Gaussian log density of each row under each state.
        distance: (n, K) its squared Mahalanobis distance.
        log_determinant: (n, K) of its covariance.
        d: (n, 1) how many entries it has.
    """

    density: Floats
    distance: Floats
    log_determinant: Floats
    d: Floats

    @classmethod
    def of(cls, hmm: HMM, X: Floats, lengths: Ints) -> _Noise:
        """Distance and determinant from two densities, whatever a model makes of missing entries.

        With L1 of the model and L2 of one with twice the covariance: L1 - L2 = d log(2) / 2 - m/4.
        """
        density = hmm.log_densities(X, lengths)
        wider = copy.copy(hmm)
        wider.covars_ = 2 * hmm.covariance_parameters()
        d = np.count_nonzero(~np.isnan(X), axis=1)[:, None].astype(np.float64)
        distance = 2 * d * np.log(2) - 4 * (density - wider.log_densities(X, lengths))
        log_determinant = -2 * density - distance - d * np.log(2 * np.pi)
        return cls(density, np.maximum(distance, 0), log_determinant, d)

    def densities(self, lengths: Ints, degrees: float) -> Floats:
        """Log density (n, K) of each row under each state, with these degrees of freedom."""
        if np.isinf(degrees):
            return self.density
        heavy = student_t(self.distance, self.log_determinant, self.d, degrees)
        first = np.cumsum(lengths) - lengths
        heavy[first] = self.density[first]  # they are not foretold, and only weigh the states
        return heavy


def _by_run(hmm: HMM, density: Floats, lengths: Ints) -> Floats:
    """Log-likelihood of each run less that of its first checkpoint."""
    start, transition, density = hmm.expanded(density)
    first = np.cumsum(lengths) - lengths
    begun = log_likelihoods(np.ones_like(lengths), start, transition, density[first])
    return log_likelihoods(lengths, start, transition, density) - begun
