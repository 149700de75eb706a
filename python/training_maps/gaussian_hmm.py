"""A hidden Markov model with Gaussian states, and its EM loop, on NumPy alone.

The reference is hmmlearn 0.3.3: the M-step, likelihoods and Viterbi paths are equal to those of its
`GaussianHMM`, and `GaussianHMM.to_hmmlearn` gives one. Its `fit` is not used, because it calls a
fit converged when the iterations ran out or the likelihood fell, lets covariances become singular,
divides by zero when a state loses all its rows, and visits sequences one by one.

**What EM maximises.** hmmlearn's M-step is kept to the letter, with its default prior on
covariances (`covars_prior` = 0.01, `covars_weight` = 1), which the authors of Hu et al. 2023 used
too. A full covariance becomes

    Sigma_k = (Psi + S_k) / N_k

with N_k the expected number of rows in state k, S_k their expected scatter about the mean, and Psi
the matrix with 0.01 in *every* entry (hmmlearn adds the scalar to all of them, so Psi has rank one
and keeps no other direction from collapsing). This maximises the log-likelihood plus the log prior

    - 1/2 * sum over k of trace(Psi Sigma_k^-1)

("objective" here), which EM raises at every step; the log-likelihood alone need not rise. The same
holds for tied (one term), diagonal and spherical covariances (0.01 / 2 / variance for every state
and feature).

**The floor.** Every eigenvalue of a covariance below `covariance_floor` is raised to it after each
M-step. hmmlearn documents its `min_covar` as a floor "to prevent overfitting" and applies it to the
initial covariance only; here it holds to the end. The metrics of training runs are nearly collinear
within a state, so that without a floor a covariance shrinks along such a direction until a run that
departs from it a little counts as all but impossible. At the default of 1e-3 no combination of
metrics (of unit length) is taken to vary by less than 0.03 of a standard deviation. Over all
covariances with no eigenvalue below the floor, raising them is the exact maximiser of the M-step's
objective (same eigenvectors, clamped eigenvalues), so EM still never lowers the objective.

**Starved states.** A state whose expected number of rows is below `STARVED` keeps its mean and
covariance, and a state with no expected transition keeps its row of the transition matrix. Leaving
a block of parameters as it is cannot lower the objective either, and nothing divides by zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from threadpoolctl import threadpool_limits

from training_maps.forward_backward import (
    Floats,
    Ints,
    PackedSequences,
    expectation,
    log_likelihood,
    viterbi,
)
from training_maps.gaussians import COVARIANCES as COVARIANCES
from training_maps.gaussians import (
    check_covariances,
    floored,
    full_covariances,
    log_density,
    log_prior,
    maximising_covariances,
    n_covariance_parameters,
    of_kind,
)
from training_maps.training_rows import Statistics, TrainingRows, seed_means

Reason = Literal["converged", "iteration limit", "degenerate"]

# Smallest eigenvalue of a covariance, in squared standard deviations of a z-scored metric: the
# value of hmmlearn's `min_covar`.
COVARIANCE_FLOOR = 1e-3
# hmmlearn's prior, in every entry of a covariance's scatter.
COVARS_PRIOR = 1e-2
# What hmmlearn adds to the diagonal of the initial covariance.
MIN_COVAR = 1e-3
# Expected rows below which the M-step would divide by rounding error.
STARVED = 1e-5
# Expected rows below which a state stands for nothing: less than one checkpoint in all runs.
EMPTY = 1.0
# A fall of the objective by less than this share of it is rounding.
ROUNDING = 1e-9


@dataclass(frozen=True)
class FitReport:
    """How a fit went.

    Attributes:
        iterations: number of M-steps.
        log_likelihood: log-likelihood at the start and after each M-step (iterations + 1 values).
        objective: log-likelihood plus log prior, likewise.
        reason: "converged" if the last gain of the objective lay between zero and the tolerance;
            "iteration limit" if the iterations ran out first; "degenerate" if the objective fell
            beyond rounding or was not finite (the fit stops at the parameters before), or if a
            state ended with less than one expected row.
        largest_fall: largest fall of the objective between iterations; 0 if it never fell.
        empty_states: states that ended with less than one expected row.
    """

    iterations: int
    log_likelihood: tuple[float, ...]
    objective: tuple[float, ...]
    reason: Reason
    largest_fall: float
    empty_states: tuple[int, ...]

    @property
    def converged(self) -> bool:
        """Whether the gain fell below the tolerance, and nothing else ended the fit."""
        return self.reason == "converged"


class GaussianHMM:
    """A hidden Markov model with K Gaussian states in d dimensions.

    Attributes:
        n_components: number of states K.
        covariance_type: "full", "diag", "tied" or "spherical".
        covariance_floor: smallest eigenvalue that a fit leaves a covariance.
        fit_report_: how the last `fit` went.
        startprob_: (K,) initial state probabilities.
        transmat_: (K, K) transition probabilities, rows sum to 1.
        means_: (K, d) state means.
    """

    fit_report_: FitReport
    startprob_: Floats
    transmat_: Floats
    means_: Floats
    _covars_: Floats

    def __init__(
        self,
        n_components: int = 1,
        covariance_type: str = "full",
        *,
        covariance_floor: float = COVARIANCE_FLOOR,
        covars_prior: float = COVARS_PRIOR,
        random_state: int | None = None,
        n_iter: int = 500,
        tol: float = 1e-2,
    ) -> None:
        """Set up a model without parameters; `fit` or `from_parameters` gives it some.

        Args:
            n_components: number of states K.
            covariance_type: "full", "diag", "tied" or "spherical".
            covariance_floor: smallest eigenvalue of a covariance, above 0, kept through all
                iterations (see the module).
            covars_prior: added to every entry of a covariance's scatter (see the module).
            random_state: seed of the start.
            n_iter: most M-steps.
            tol: EM has converged when the objective gains less than this (nats, all rows
                together).
        """
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.covariance_floor = covariance_floor
        self.covars_prior = covars_prior
        self.random_state = random_state
        self.n_iter = n_iter
        self.tol = tol

    @classmethod
    def from_parameters(
        cls,
        startprob: Floats,
        transmat: Floats,
        means: Floats,
        covars: Floats,
        *,
        covariance_type: str = "full",
        **settings: Any,
    ) -> GaussianHMM:
        """A model with given parameters, `covars` in the shape of its type, used as they are.

        Args:
            startprob: (K,) initial state probabilities.
            transmat: (K, K) transition probabilities.
            means: (K, d) state means.
            covars: (K, d, d) full, (K, d) diag, (d, d) tied or (K,) spherical.
            covariance_type: "full", "diag", "tied" or "spherical".
            settings: further arguments of the class.

        Raises:
            ValueError: if shapes disagree, probabilities do not sum to 1, or a covariance is not
                positive definite.
        """
        hmm = cls(len(startprob), covariance_type, **settings)
        hmm.startprob_, hmm.transmat_, hmm.means_ = (
            np.array(values, dtype=np.float64) for values in (startprob, transmat, means)
        )
        states = hmm.n_components
        if hmm.means_.ndim != 2 or len(hmm.means_) != states or not np.isfinite(hmm.means_).all():
            raise ValueError(f"means have shape {hmm.means_.shape} or are not all finite")
        for name, shape in {"startprob_": (states,), "transmat_": (states, states)}.items():
            values = getattr(hmm, name)
            sums = values.sum(axis=-1) if values.shape == shape else np.array(np.nan)
            if not ((values >= 0).all() and np.allclose(sums, 1)):
                raise ValueError(f"{name} must have shape {shape} and rows that sum to 1")
        hmm.covars_ = covars
        return hmm

    @property
    def n_features(self) -> int:
        """Number of dimensions d."""
        return int(self.means_.shape[1])

    @property
    def covars_(self) -> Floats:
        """Covariances (K, d, d) of the states, whatever the type; set in the type's own shape."""
        return full_covariances(
            self._covars_, self.covariance_type, self.n_components, self.n_features
        )

    @covars_.setter
    def covars_(self, covars: Floats) -> None:
        covars = np.array(covars, dtype=np.float64)
        check_covariances(covars, self.covariance_type, self.n_components, self.n_features)
        self._covars_ = covars

    def covariance_parameters(self) -> Floats:
        """Covariances in the shape of their type, as the `covars_` setter and hmmlearn take them.

        Returns:
            (K, d, d) full, (K, d) diag, (d, d) tied or (K,) spherical.
        """
        return np.array(self._covars_)

    def n_parameters(self) -> int:
        """Number of free parameters, as hmmlearn's `aic` and `bic` count them."""
        states, d = self.means_.shape
        covariances = n_covariance_parameters(self.covariance_type, states, d)
        return states - 1 + states * (states - 1) + states * d + covariances

    def score(self, X: Any, lengths: Any = None) -> float:
        """Log-likelihood of sequences, summed over them.

        Args:
            X: (n, d) rows of all sequences, concatenated.
            lengths: lengths of the sequences; one sequence if None.
        """
        packed, density = self._densities(X, lengths)
        return log_likelihood(packed, self.startprob_, self.transmat_, density)

    def decode(self, X: Any, lengths: Any = None) -> tuple[float, Ints]:
        """Most likely (Viterbi) path of each sequence; arguments as for `score`.

        Returns:
            Sum over the sequences of the log joint density of path and rows, and the (n,) states.
        """
        packed, density = self._densities(X, lengths)
        likelihood, path = viterbi(packed, self.startprob_, self.transmat_, density)
        states = np.empty_like(path)
        states[packed.rows] = path
        return likelihood, states

    def predict(self, X: Any, lengths: Any = None) -> Ints:
        """The (n,) states of `decode`."""
        return self.decode(X, lengths)[1]

    def to_hmmlearn(self) -> Any:
        """This model as an `hmmlearn.hmm.GaussianHMM`, all parameters set, ready to be used.

        Its `score`, `predict`, `decode`, `aic`, `bic` and `sample` work at once. Its `fit` starts
        anew unless `init_params` is set to "", and knows neither the floor nor the fit report.
        """
        from hmmlearn.hmm import GaussianHMM as HmmlearnGaussianHMM  # takes seconds to import

        model = HmmlearnGaussianHMM(
            self.n_components,
            self.covariance_type,
            covars_prior=self.covars_prior,
            random_state=self.random_state,
            n_iter=self.n_iter,
            tol=self.tol,
        )
        model.n_features = self.n_features
        model.startprob_ = self.startprob_.copy()
        model.transmat_ = self.transmat_.copy()
        model.means_ = self.means_.copy()
        model.covars_ = self.covariance_parameters()
        return model

    def fit(self, X: Any, lengths: Any = None, *, draw_start: bool = True) -> GaussianHMM:
        """Fit by EM. The result does not depend on the number of threads: it uses one.

        Args:
            X: (n, d) rows of all sequences, concatenated.
            lengths: lengths of the sequences; one sequence if None.
            draw_start: whether to draw initial parameters; if not, EM goes on from those set.

        Returns:
            self, with `fit_report_` set. The parameters are those whose log-likelihood is the
            report's last.

        Raises:
            ValueError: if rows are not finite, or the lengths do not sum to their number.
        """
        X, lengths = _checked(X, lengths)
        with threadpool_limits(limits=1):
            if draw_start:
                self._draw_start(X)
            self._covars_ = floored(self._covars_, self.covariance_floor, self.covariance_type)
            data = TrainingRows.of(X, lengths, self.covariance_type)
            self.fit_report_ = self._expectation_maximisation(data)
        return self

    def renumber(self, order: Ints) -> None:
        """Reorder the states: state `order[i]` becomes state i, in the report too."""
        order = np.asarray(order)
        self.startprob_ = self.startprob_[order]
        self.transmat_ = self.transmat_[np.ix_(order, order)]
        self.means_ = self.means_[order]
        if self.covariance_type != "tied":
            self._covars_ = self._covars_[order]
        if hasattr(self, "fit_report_"):
            number = {int(state): new for new, state in enumerate(order)}
            empty = sorted(number[k] for k in self.fit_report_.empty_states)
            self.fit_report_ = replace(self.fit_report_, empty_states=tuple(empty))

    def _draw_start(self, X: Floats) -> None:
        """Draw a start: k-means++ seeds as means, and flat Dirichlet draws as probabilities.

        Every state starts with the covariance of all rows plus `MIN_COVAR` on the diagonal, as in
        hmmlearn. hmmlearn's means, the best of 10 whole k-means, hardly differ between restarts;
        the seeds of k-means++ are rows far from each other, drawn anew each time.
        """
        d, states = X.shape[1], self.n_components
        draw = np.random.RandomState(self.random_state)
        self.means_ = seed_means(X, states, draw)
        self.startprob_ = draw.dirichlet(np.ones(states))
        self.transmat_ = draw.dirichlet(np.ones(states), size=states)
        covariance = np.cov(X.T, bias=True).reshape(d, d) + MIN_COVAR * np.eye(d)
        self._covars_ = of_kind(covariance, self.covariance_type, states)

    def _expectation_maximisation(self, data: TrainingRows) -> FitReport:
        """Alternate E- and M-steps until the fit ends; see `FitReport.reason`."""
        likelihoods: list[float] = []
        objectives: list[float] = []
        largest_fall = 0.0
        reason: Reason = "iteration limit"
        before = self._parameters()
        for iteration in range(self.n_iter + 1):
            stats, likelihood = self._estep(data)
            objective = likelihood + self._log_prior()
            gain = objective - objectives[-1] if objectives else np.inf
            largest_fall = max(largest_fall, -gain)
            if not gain >= -ROUNDING * (1 + abs(objective)):  # a fall, or not a number
                self.startprob_, self.transmat_, self.means_, self._covars_ = before
                reason = "degenerate"
                break
            likelihoods.append(likelihood)
            objectives.append(objective)
            occupancy = stats.rows
            if gain < self.tol:
                reason = "converged"
                break
            before = self._parameters()
            if iteration < self.n_iter:
                self._mstep(stats)
        empty = tuple(np.flatnonzero(occupancy < EMPTY).tolist())
        return FitReport(
            iterations=len(objectives) - 1,
            log_likelihood=tuple(likelihoods),
            objective=tuple(objectives),
            reason="degenerate" if empty else reason,
            largest_fall=largest_fall,
            empty_states=empty,
        )

    def _parameters(self) -> tuple[Floats, Floats, Floats, Floats]:
        """What an M-step replaces. It makes new arrays, so these need no copying."""
        return self.startprob_, self.transmat_, self.means_, self._covars_

    def _estep(self, data: TrainingRows) -> tuple[Statistics, float]:
        """What the M-step needs, and the log-likelihood."""
        density = log_density(data.X, self.means_, self._covars_, self.covariance_type)
        found = expectation(data.packed, self.startprob_, self.transmat_, density)
        return data.statistics(found), found.log_likelihood

    def _mstep(self, stats: Statistics) -> None:
        """hmmlearn's M-step, guarded against starved states, then the covariance floor."""
        _, transmat, means, covars = self._parameters()
        kind = self.covariance_type
        self.startprob_ = stats.start / stats.start.sum()
        leaving = stats.transitions.sum(axis=1, keepdims=True)
        used = leaving >= np.finfo(float).tiny
        self.transmat_ = np.where(used, stats.transitions / np.where(used, leaving, 1), transmat)
        fed = stats.rows >= STARVED
        rows = np.where(fed, stats.rows, 1)[:, None]
        self.means_ = np.where(fed[:, None], stats.sums / rows, means)
        if kind == "tied":
            fed[:] = True  # one covariance of all rows, about whatever means
        new = maximising_covariances(
            stats.rows[fed],
            stats.sums[fed],
            stats.squares[fed],
            self.means_[fed],
            self.covars_prior,
            kind,
        )
        if kind == "tied":
            covars = new
        else:
            covars = covars.copy()
            covars[fed] = new
        self._covars_ = floored(covars, self.covariance_floor, kind)

    def _log_prior(self) -> float:
        """The log prior, up to a constant (see the module)."""
        return log_prior(self._covars_, self.covars_prior, self.covariance_type, self.n_features)

    def _densities(self, X: Any, lengths: Any) -> tuple[PackedSequences, Floats]:
        """Sequences packed, and the log density (n, K) of each packed row under each state."""
        X, lengths = _checked(X, lengths)
        packed = PackedSequences.from_lengths(lengths)
        rows = X[packed.rows]
        return packed, log_density(rows, self.means_, self._covars_, self.covariance_type)


def _checked(X: Any, lengths: Any) -> tuple[Floats, Ints]:
    """Rows (n, d) and lengths as arrays, or a ValueError."""
    X = np.asarray(X, dtype=np.float64)
    lengths = np.asarray([len(X)] if lengths is None else lengths, dtype=np.int64)
    if X.ndim != 2 or not np.isfinite(X).all():
        raise ValueError("X must have two dimensions and finite values")
    if (lengths < 1).any() or lengths.sum() != len(X):
        raise ValueError(f"lengths must be positive and sum to the {len(X)} rows of X")
    return X, lengths
