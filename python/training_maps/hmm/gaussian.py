"""A hidden Markov model with Gaussian states, and its EM loop.

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

from typing import Any

import numpy as np

from training_maps.hmm.base import COVARIANCE_FLOOR as COVARIANCE_FLOOR
from training_maps.hmm.base import STARVED, HiddenMarkovModel
from training_maps.hmm.covariances import COVARIANCES as COVARIANCES
from training_maps.hmm.covariances import floored, log_density, log_prior, maximising_covariances
from training_maps.hmm.inference import Expectation
from training_maps.hmm.sufficient_statistics import Statistics, TrainingRows
from training_maps.utils.numbers import Floats
from training_maps.utils.numbers import Ints as Ints


class GaussianHMM(HiddenMarkovModel[TrainingRows, Statistics]):
    """A hidden Markov model with K Gaussian states in d dimensions; see `HiddenMarkovModel`."""

    name = "gaussian"
    _learned = ("startprob_", "transmat_", "means_", "_covars_")
    _by_state = ("means_",)

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
        hmm.means_ = np.array(means, dtype=np.float64)
        states = hmm.n_components
        if hmm.means_.ndim != 2 or len(hmm.means_) != states or not np.isfinite(hmm.means_).all():
            raise ValueError(f"means have shape {hmm.means_.shape} or are not all finite")
        hmm._set_chain(startprob, transmat)
        hmm.covars_ = covars
        return hmm

    def to_hmmlearn(self) -> Any:
        """This model as an `hmmlearn.hmm.GaussianHMM`, all parameters set, ready to be used.

        Its `score`, `predict`, `decode`, `aic`, `bic` and `sample` work at once. Its `fit` draws
        new parameters unless `init_params` is set to "", and knows neither the floor nor the fit
        report.

        Raises:
            ValueError: if stays have a minimum, which hmmlearn's model cannot have.
        """
        if self.minimum_stay > 1:
            raise ValueError("hmmlearn has no model with a minimum stay")
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

    def _n_emission_parameters(self) -> int:
        """Means and covariances, as hmmlearn's `aic` and `bic` count them."""
        return self.means_.size + self._n_covariance_parameters()

    def _rows(self, X: Floats, lengths: Ints) -> TrainingRows:
        """The rows, and which are incomplete."""
        return TrainingRows.of(X, lengths, self.covariance_type)

    def _log_density(self, data: TrainingRows) -> Floats:
        """Log density (n, K) of each row; of its observed entries, if some are missing."""
        density = log_density(data.X, self.means_, self._covars_, self.covariance_type)
        for part in data.incomplete:
            density[part.rows] = part.log_density(self.means_[None], self.covars_)
        return density

    def _statistics(self, data: TrainingRows, found: Expectation) -> Statistics:
        """Expected rows, their sums and products."""
        return data.statistics(found, self.means_, self.covars_)

    def _update_emissions(self, stats: Statistics) -> None:
        """hmmlearn's M-step, guarded against starved states, then the covariance floor."""
        kind = self.covariance_type
        fed = stats.rows >= STARVED
        rows = np.where(fed, stats.rows, 1)[:, None]
        self.means_ = np.where(fed[:, None], stats.sums / rows, self.means_)
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
        if kind != "tied":
            covars = self._covars_.copy()
            covars[fed] = new
            new = covars
        self._covars_ = floored(new, self.covariance_floor, kind)

    def _log_prior(self) -> float:
        """The log prior, up to a constant (see the module)."""
        return log_prior(self._covars_, self.covars_prior, self.covariance_type, self.n_features)
