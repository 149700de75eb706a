"""A hidden Markov model whose states are ways of moving: first-order autoregressions.

In state k a row follows from the one before it, whatever state that one was in:

    x_t = b_k + A_k x_(t-1) + noise,    noise ~ N(0, Sigma_k)

(Hamilton 1990; Rabiner 1989, section IV.B). A Gaussian state is a place where metrics stay, with
A_k = 0; an autoregressive one may also drift, decay or grow, as metrics of training do between
checkpoints, so that fewer states are needed and a state's covariance is that of a step.

**Diagonal or full.** `dynamics="diagonal"`, the default, lets each metric depend on its own last
value: d more parameters a state. A full A_k (`VectorAutoregressiveHMM`) has d^2, 196 of 14 metrics,
and a state seen by few checkpoints cannot support them; how metrics move together is in Sigma_k
either way.

**First rows.** They have no row before them. All share one Gaussian with a mean and variance for
each metric (2 d parameters), whatever the state: there are only as many first rows as runs, all
alike, too few for a Gaussian in every state or for a covariance. Their density then says nothing of
the first state, which follows from the second row, and no row goes uncounted: likelihoods and BIC
compare with those of a `GaussianHMM` on the same rows.

**M-step.** With P_k the inverse of Sigma_k, C the centred second moments of the rows in state k
(z: the row before, x: the row) and R the ridge, A_k and b_k maximise the objective given Sigma_k:

    full:      A = C_xz (C_zz + R I)^-1
    diagonal:  (P o (C_zz + R I)) a = (P o C_zx) 1     with o the product by entries, A = diag(a)
    both:      b = mean of x - A (mean of z)

and then Sigma_k maximises it given those: (Psi + S_k + R A A') / N_k with S_k the scatter of the
residuals and Psi as in `gaussian_hmm`, its eigenvalues raised to the floor. The ridge stands for
the log prior -R/2 trace(P_k A_k A_k'), which is R imagined rows that move a metric by one standard
deviation and see no effect: where a metric stands still, A_k would be 0 / 0, and is 0 instead.
Each half maximises the objective given the other (Meng and Rubin 1993), so that it never falls.

**Missing entries.** A row's missing entries are treated exactly (`hmm.missing_values`).
As the row before another they are interpolated in time first, which is an approximation, but the
same in every iteration: the objective is that of the observed entries, given those interpolated.

**Means.** The fixed point (I - A_k)^-1 b_k of a state that drifts may lie far from anything seen.
`means_`, which the map shows, is the average of the rows that the state holds instead, weighted by
their posterior probability (gaps interpolated). `covars_` is the covariance of a step, Sigma_k.

The spectral radius of A_k is not bounded: above 1, a state is a phase of growth. It is reported by
`spectral_radii`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from training_maps.hmm.base import STARVED, HiddenMarkovModel
from training_maps.hmm.covariances import (
    floored,
    log_density_of_maps,
    log_prior,
    maximising_covariances,
    whitened,
)
from training_maps.hmm.inference import Expectation
from training_maps.hmm.missing_values import IncompleteRows, gaps_filled, incomplete_rows
from training_maps.hmm.sufficient_statistics import (
    Counts,
    complete_only,
    first_rows,
    weighted_moments,
)
from training_maps.utils.numbers import Floats, Ints

Dynamics = Literal["diagonal", "full"]

# Imagined rows that see no effect of the row before: as strong as the prior on covariances.
RIDGE = 1e-2


@dataclass(frozen=True)
class LaggedRows:
    """The rows of all sequences, concatenated, each beside the one before it.

    Attributes:
        lengths: lengths of the sequences.
        begins: (runs,) where their first rows are.
        first: (runs, d) these first rows; NaN where an entry is missing.
        pairs: (n, 2 d) the row before, gaps interpolated, and the row, 0 where an entry is
            missing; 0 for first rows.
        filled: (n, d) rows, gaps interpolated.
        incomplete: the rows with missing entries, first rows apart.
    """

    lengths: Ints
    begins: Ints
    first: Floats
    pairs: Floats
    filled: Floats
    incomplete: tuple[IncompleteRows, ...]


@dataclass(frozen=True)
class LaggedStatistics(Counts):
    """What the M-step of autoregressive states needs; see `Counts`.

    Attributes:
        posterior: (n, K) probability of each state at each row.
        filled: (n, d) rows, gaps interpolated.
        products: (K, 1 + 2 d, 1 + 2 d) expected sum, over the rows that are no first ones, of the
            outer product of (1, row before, row) with itself.
        first_mean: (d,) mean of the first rows.
        first_variance: (d,) variance of the first rows.
        n_first: (d,) how many of them have each entry.
    """

    posterior: Floats
    filled: Floats
    products: Floats
    first_mean: Floats
    first_variance: Floats
    n_first: Floats


class AutoregressiveHMM(HiddenMarkovModel[LaggedRows, LaggedStatistics]):
    """A hidden Markov model with K autoregressive states in d dimensions; see `HiddenMarkovModel`.

    Attributes:
        dynamics: "diagonal" or "full".
        means_: (K, d) average row of each state.
        intercepts_: (K, d) b_k.
        coefficients_: (K, d, d) A_k.
        first_mean_: (d,) mean of first rows.
        first_variance_: (d,) their variance.
    """

    name = "autoregressive"
    _learned = (
        "startprob_",
        "transmat_",
        "intercepts_",
        "coefficients_",
        "_covars_",
        "first_mean_",
        "first_variance_",
    )
    _by_state = ("means_", "intercepts_", "coefficients_")

    intercepts_: Floats
    coefficients_: Floats
    first_mean_: Floats
    first_variance_: Floats

    def __init__(
        self,
        n_components: int = 1,
        covariance_type: str = "full",
        *,
        dynamics: Dynamics = "diagonal",
        ridge: float = RIDGE,
        **settings: Any,
    ) -> None:
        """Set up a model without parameters; `fit` or `from_parameters` gives it some.

        Args:
            n_components: number of states K.
            covariance_type: "full", "diag", "tied" or "spherical".
            dynamics: whether A_k is "diagonal" or "full".
            ridge: strength of the prior on A_k, above 0 (see the module).
            settings: further arguments of `HiddenMarkovModel`.
        """
        if dynamics not in ("diagonal", "full"):
            raise ValueError(f"dynamics {dynamics!r} is not one of diagonal, full")
        super().__init__(n_components, covariance_type, **settings)
        self.dynamics = dynamics
        self.ridge = ridge

    @classmethod
    def from_parameters(
        cls,
        startprob: Floats,
        transmat: Floats,
        means: Floats,
        covars: Floats,
        intercepts: Floats,
        coefficients: Floats,
        first_mean: Floats,
        first_variance: Floats,
        *,
        covariance_type: str = "full",
        **settings: Any,
    ) -> AutoregressiveHMM:
        """A model with given parameters, used as they are.

        Args:
            startprob: (K,) initial state probabilities.
            transmat: (K, K) transition probabilities.
            means: (K, d) average row of each state; plays no part in likelihoods.
            covars: (K, d, d) full, (K, d) diag, (d, d) tied or (K,) spherical.
            intercepts: (K, d) b_k.
            coefficients: (K, d, d) A_k.
            first_mean: (d,) mean of first rows.
            first_variance: (d,) their variance.
            covariance_type: "full", "diag", "tied" or "spherical".
            settings: further arguments of the class.

        Raises:
            ValueError: if shapes disagree, probabilities do not sum to 1, a covariance is not
                positive definite, or A_k is not diagonal where `dynamics` says so.
        """
        hmm = cls(len(startprob), covariance_type, **settings)
        given = {
            "means_": means,
            "intercepts_": intercepts,
            "coefficients_": coefficients,
            "first_mean_": first_mean,
            "first_variance_": first_variance,
        }
        states, d = hmm.n_components, np.shape(first_mean)[-1] if np.ndim(first_mean) else 0
        shapes = ((states, d), (states, d), (states, d, d), (d,), (d,))
        for (name, values), shape in zip(given.items(), shapes, strict=True):
            array = np.array(values, dtype=np.float64)
            if array.shape != shape or not np.isfinite(array).all():
                raise ValueError(
                    f"{name} has shape {array.shape}, expected {shape}, or is not all finite"
                )
            setattr(hmm, name, array)
        if not (hmm.first_variance_ > 0).all():
            raise ValueError("first_variance_ must be positive")
        if hmm.dynamics == "diagonal" and (hmm.coefficients_ * (1 - np.eye(d))).any():
            raise ValueError("coefficients_ must be diagonal matrices, as `dynamics` says")
        hmm._set_chain(startprob, transmat)
        hmm.covars_ = covars
        return hmm

    def arrays(self) -> dict[str, Floats]:
        """The parameters by the names of `from_parameters`."""
        return super().arrays() | {
            "intercepts": self.intercepts_,
            "coefficients": self.coefficients_,
            "first_mean": self.first_mean_,
            "first_variance": self.first_variance_,
        }

    def spectral_radii(self) -> Floats:
        """Largest absolute eigenvalue (K,) of each A_k; above 1, the state is one of growth."""
        return np.abs(np.linalg.eigvals(self.coefficients_)).max(axis=1)

    def _n_emission_parameters(self) -> int:
        """Intercepts, A_k, covariances, and the Gaussian of the first rows."""
        states, d = self.intercepts_.shape
        coefficients = states * (d if self.dynamics == "diagonal" else d * d)
        return states * d + coefficients + self._n_covariance_parameters() + 2 * d

    def _rows(self, X: Floats, lengths: Ints) -> LaggedRows:
        """The rows, each beside the one before it."""
        begins = first_rows(lengths)
        filled = gaps_filled(X, lengths)
        pairs = np.hstack([np.roll(filled, 1, axis=0), np.nan_to_num(X)])
        pairs[begins] = 0
        later = X.copy()
        later[begins] = 0
        return LaggedRows(lengths, begins, X[begins], pairs, filled, incomplete_rows(later))

    def _log_density(self, data: LaggedRows) -> Floats:
        """Log density (n, K) of each row given the one before it."""
        whitening, log_determinant = whitened(self.covars_)
        density = log_density_of_maps(
            data.pairs, self.intercepts_, whitening, log_determinant, self.coefficients_
        )
        for part in data.incomplete:
            density[part.rows] = part.log_density(self._predicted(data, part), self.covars_)
        terms = np.square(data.first - self.first_mean_) / self.first_variance_
        terms += np.log(2 * np.pi * self.first_variance_)
        density[data.begins] = -0.5 * np.nansum(terms, axis=1)[:, None]
        return density

    def _predicted(self, data: LaggedRows, part: IncompleteRows) -> Floats:
        """What each state expects (m, K, d) of some rows that are no first ones."""
        before = data.pairs[part.rows, : self.n_features]
        return self.intercepts_ + np.einsum("kij,mj->mki", self.coefficients_, before)

    def _statistics(self, data: LaggedRows, found: Expectation) -> LaggedStatistics:
        """Expected rows, and the products of each with itself and the row before it."""
        d = self.n_features
        later = found.posterior.copy()
        later[data.begins] = 0
        weights, sums, squares = weighted_moments(
            data.pairs, complete_only(later, data.incomplete), pairs=True
        )
        products = np.empty((len(weights), 1 + 2 * d, 1 + 2 * d))
        products[:, 0, 0] = weights
        products[:, 0, 1:] = products[:, 1:, 0] = sums
        products[:, 1:, 1:] = squares
        covars = self.covars_
        for part in data.incomplete:
            rows, missing_covars = part.completed(self._predicted(data, part), covars)
            for k, weight in enumerate(later[part.rows].T):
                ones = np.ones((len(weight), 1))
                vectors = np.hstack([ones, data.pairs[part.rows, :d], rows[:, k]])
                products[k] += (weight * vectors.T) @ vectors
                products[k, 1 + d :, 1 + d :] += weight.sum() * missing_covars[k]
        n_first = (~np.isnan(data.first)).sum(axis=0)
        counted = np.maximum(n_first, 1)
        first_mean = np.nansum(data.first, axis=0) / counted
        return LaggedStatistics(
            start=found.posterior[data.begins].sum(axis=0),
            transitions=found.transitions,
            rows=found.posterior.sum(axis=0),
            posterior=found.posterior,
            filled=data.filled,
            products=products,
            first_mean=first_mean,
            first_variance=np.nansum(np.square(data.first - first_mean), axis=0) / counted,
            n_first=n_first,
        )

    def _update_emissions(self, stats: LaggedStatistics) -> None:
        """A_k and b_k given Sigma_k, then Sigma_k given those; see the module."""
        d, kind = self.n_features, self.covariance_type
        fed = stats.products[:, 0, 0] >= STARVED
        intercepts, coefficients = self.intercepts_.copy(), self.coefficients_.copy()
        whitening = whitened(self.covars_)[0][fed]
        coefficients[fed], intercepts[fed] = self._regressions(
            stats.products[fed], np.swapaxes(whitening, 1, 2) @ whitening
        )
        self.intercepts_, self.coefficients_ = intercepts, coefficients
        residual = np.concatenate(
            [-intercepts[:, :, None], -coefficients, np.tile(np.eye(d), (len(fed), 1, 1))], axis=2
        )
        scatter = residual @ stats.products @ np.swapaxes(residual, 1, 2)
        scatter += self.ridge * coefficients @ np.swapaxes(coefficients, 1, 2)
        if kind == "tied":
            fed[:] = True  # one covariance of all rows, about whatever they were expected to be
        squares = scatter if kind in ("full", "tied") else np.diagonal(scatter, axis1=1, axis2=2)
        zero = np.zeros((int(fed.sum()), d))
        rows = stats.products[fed, 0, 0]
        new = maximising_covariances(rows, zero, squares[fed], zero, self.covars_prior, kind)
        if kind != "tied":
            covars = self._covars_.copy()
            covars[fed] = new
            new = covars
        self._covars_ = floored(new, self.covariance_floor, kind)
        self._update_first_rows(stats)

    def _regressions(self, products: Floats, precision: Floats) -> tuple[Floats, Floats]:
        """A_k (F, d, d) and b_k (F, d) of states with these products and inverse covariances."""
        d = self.n_features
        means = products[:, 0, 1:] / products[:, 0, :1]
        outer = means[:, :, None] * means[:, None, :]
        centred = products[:, 1:, 1:] - products[:, :1, :1] * outer
        before = centred[:, :d, :d] + self.ridge * np.eye(d)
        crossed = centred[:, :d, d:]
        if self.dynamics == "full":
            coefficients = np.swapaxes(np.linalg.solve(before, crossed), 1, 2)
        else:
            right = (precision * crossed).sum(axis=2)[:, :, None]
            coefficients = np.linalg.solve(precision * before, right) * np.eye(d)
        predicted = (coefficients @ means[:, :d, None])[:, :, 0]
        return coefficients, means[:, d:] - predicted

    def _update_first_rows(self, stats: LaggedStatistics) -> None:
        """The Gaussian of the first rows, which has the prior and the floor of a diagonal one."""
        seen = stats.n_first > 0
        counted = np.maximum(stats.n_first, 1)
        variance = np.maximum(
            stats.first_variance + self.covars_prior / counted, self.covariance_floor
        )
        self.first_mean_ = np.where(seen, stats.first_mean, self.first_mean_)
        self.first_variance_ = np.where(seen, variance, self.first_variance_)

    def _emit_alike(self, X: Floats) -> None:
        """Let all states emit alike: the mean and covariance of all rows, and no dynamics."""
        super()._emit_alike(X)
        d = X.shape[1]
        self.intercepts_ = self.means_.copy()
        self.coefficients_ = np.zeros((self.n_components, d, d))
        self.first_mean_ = X.mean(axis=0)
        self.first_variance_ = X.var(axis=0) + self.covariance_floor

    def _settle(self, stats: LaggedStatistics) -> None:
        """Average the rows that each state holds; an empty state keeps its mean."""
        held = stats.rows[:, None] >= STARVED
        sums = stats.posterior.T @ stats.filled
        self.means_ = np.where(held, sums / np.where(held, stats.rows[:, None], 1), self.means_)

    def _log_prior(self) -> float:
        """The log prior of covariances, A_k and first rows, up to a constant."""
        prior = log_prior(self._covars_, self.covars_prior, self.covariance_type, self.n_features)
        whitening, _ = whitened(self.covars_)
        prior -= 0.5 * self.ridge * float(np.square(whitening @ self.coefficients_).sum())
        return prior - 0.5 * self.covars_prior * float((1 / self.first_variance_).sum())


class VectorAutoregressiveHMM(AutoregressiveHMM):
    """An autoregressive model in which every metric depends on all metrics' last values.

    A_k is a full matrix: a vector autoregression (VAR) in each state, d^2 coefficients where
    `AutoregressiveHMM` has d. Worth it where metrics pull each other along and rows are many.
    """

    name = "vector_autoregressive"

    def __init__(
        self,
        n_components: int = 1,
        covariance_type: str = "full",
        *,
        dynamics: Dynamics = "full",
        **settings: Any,
    ) -> None:
        """Set up a model without parameters; arguments as for `AutoregressiveHMM`."""
        super().__init__(n_components, covariance_type, dynamics=dynamics, **settings)
