"""What hidden Markov models share, whatever their states emit: EM, likelihoods, paths.

**What EM raises.** The "objective": the log-likelihood plus the log prior of the emissions. Every
M-step here maximises its expected value over the parameters that are allowed (covariances with no
eigenvalue below the floor), block by block, or leaves a block as it is. By the inequality of
Dempster, Laird and Rubin the objective then never falls, with the floor and with states that starve
too. The log-likelihood alone may fall, where the prior gains more than it loses. So what a fit
checks at every step is the objective; a fall beyond rounding would be an error of the software, and
ends the fit as degenerate.

**Starved states.** A state whose expected number of rows is below `STARVED` keeps its emissions,
and a state with no expected transition keeps its row of the transition matrix, so that nothing is
divided by zero. A fit in which a state ends with less than `EMPTY` rows is degenerate.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Literal, Protocol, Self, TypeVar

import numpy as np

from training_maps.hmm.covariances import (
    check_covariances,
    floored,
    full_covariances,
    n_covariance_parameters,
    of_kind,
)
from training_maps.hmm.inference import (
    Expectation,
    expectation,
    log_filtered,
    log_likelihood,
    log_likelihoods,
    viterbi,
)
from training_maps.hmm.initialisation import (
    TRIAL_ITERATIONS,
    TRIALS,
    Assignment,
    Start,
    assigned_states,
)
from training_maps.hmm.missing_values import checked_rows, gaps_filled
from training_maps.hmm.stays import (
    expanded_chain,
    expanded_density,
    folded_expectation,
    folded_log,
    log_prior_of_stays,
    updated_transitions,
)
from training_maps.hmm.sufficient_statistics import Counts
from training_maps.settings.sections import FitSettings
from training_maps.utils.numbers import Floats, Ints
from training_maps.utils.threads import one_thread

Reason = Literal["converged", "iteration limit", "degenerate"]

# Smallest eigenvalue of a covariance, in squared standard deviations of a z-scored metric: the
# value of hmmlearn's `min_covar`.
COVARIANCE_FLOOR = FitSettings.covariance_floor
# hmmlearn's prior, in every entry of a covariance's scatter.
COVARS_PRIOR = 1e-2
# What hmmlearn adds to the diagonal of the initial covariance.
MIN_COVAR = 1e-3
# Expected rows below which the M-step would divide by rounding error.
STARVED = 1e-5
# Expected rows below which a state stands for nothing: less than one checkpoint in all runs.
EMPTY = 1.0
# A fall of the objective by less than this share of its size (its absolute value, and one nat for
# every entry of the rows) is rounding. Hundreds of iterations past convergence never fell by more
# than 2e-14 of it, at floors from 1e-3 to 1e-8 and for all kinds of covariance.
ROUNDING = 1e-12


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


class Sequences(Protocol):
    """Rows as a model's E-step wants them."""

    @property
    def lengths(self) -> Ints:
        """Lengths of the sequences whose rows are concatenated."""


Rows = TypeVar("Rows", bound=Sequences)
Seen = TypeVar("Seen", bound=Counts)


class HiddenMarkovModel(ABC, Generic[Rows, Seen]):
    """A hidden Markov model with K states in d dimensions.

    Attributes:
        name: what the model is called in settings and files.
        n_components: number of states K.
        covariance_type: "full", "diag", "tied" or "spherical".
        covariance_floor: smallest eigenvalue that a fit leaves a covariance.
        minimum_stay: rows that a run stays in a state at least; 1 asks nothing.
        fit_report_: how the last `fit` went.
        startprob_: (K,) initial state probabilities.
        transmat_: (K, K) transition probabilities once the minimum stay is up, rows sum to 1.
        means_: (K, d) state means.
    """

    name: ClassVar[str]
    # What an M-step replaces; and what of it has the states as its first axis, covariances apart.
    _learned: ClassVar[tuple[str, ...]]
    _by_state: ClassVar[tuple[str, ...]]

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
        minimum_stay: int = FitSettings.minimum_stay,
        stay_prior: float = FitSettings.stay_prior,
        random_state: int | None = None,
        start: Start = "k-means",
        n_iter: int = FitSettings.max_iterations,
        tol: float = FitSettings.tolerance,
    ) -> None:
        """Set up a model without parameters; `fit` or `from_parameters` gives it some.

        Args:
            n_components: number of states K.
            covariance_type: "full", "diag", "tied" or "spherical".
            covariance_floor: smallest eigenvalue of a covariance, above 0, kept through all
                iterations.
            covars_prior: added to every entry of a covariance's scatter (see `gaussian_hmm`).
            minimum_stay: rows that a run stays in a state at least (see `hmm.stays`).
            stay_prior: imagined transitions of each state to itself, at least 0 (see `hmm.stays`).
            random_state: seed of the start.
            start: kind of start, see `training_maps.hmm.initialisation`.
            n_iter: most M-steps.
            tol: EM has converged when the objective gains less than this (nats, all rows
                together).
        """
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.covariance_floor = covariance_floor
        self.covars_prior = covars_prior
        self.minimum_stay = minimum_stay
        self.stay_prior = stay_prior
        self.random_state = random_state
        self.start = start
        self.n_iter = n_iter
        self.tol = tol

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
        """Number of free parameters: the chain's, and those of what the states emit."""
        states = self.n_components
        return states - 1 + states * (states - 1) + self._n_emission_parameters()

    def score(self, X: Any, lengths: Any = None) -> float:
        """Log-likelihood of sequences, summed over them.

        Args:
            X: (n, d) rows of all sequences, concatenated; NaN marks a missing entry.
            lengths: lengths of the sequences; one sequence if None.

        Raises:
            ValueError: if rows are infinite, or the lengths do not sum to their number.
        """
        with one_thread():
            data = self._rows(*checked_rows(X, lengths))
            density = self._log_density(data)
            return log_likelihood(data.lengths, *self.expanded(density))

    def score_each(self, X: Any, lengths: Any = None) -> Floats:
        """Log-likelihood (M,) of each of M sequences; arguments and errors as for `score`."""
        X, lengths = checked_rows(X, lengths)
        return log_likelihoods(lengths, *self.expanded(self.log_densities(X, lengths)))

    def decode(self, X: Any, lengths: Any = None) -> tuple[float, Ints]:
        """Most likely (Viterbi) path of each sequence; arguments and errors as for `score`.

        Returns:
            Sum over the sequences of the log joint density of path and rows, and the (n,) states.
        """
        with one_thread():
            data = self._rows(*checked_rows(X, lengths))
            density = self._log_density(data)
        likelihood, path = viterbi(data.lengths, *self.expanded(density))
        return likelihood, path // self.minimum_stay

    def predict(self, X: Any, lengths: Any = None) -> Ints:
        """The (n,) states of `decode`."""
        return self.decode(X, lengths)[1]

    def log_densities(self, X: Any, lengths: Any = None) -> Floats:
        """Log density (n, K) of each row under each state; of what is not missing of the row."""
        with one_thread():
            return self._log_density(self._rows(*checked_rows(X, lengths)))

    def posteriors(self, X: Any, lengths: Any = None) -> Floats:
        """Probability (n, K) of each state at each row, given the row's whole sequence.

        Arguments and errors as for `score`.
        """
        with one_thread():
            data = self._rows(*checked_rows(X, lengths))
            density = self._log_density(data)
        return self._expectation(data.lengths, density).posterior

    def expanded(self, log_density: Floats) -> tuple[Floats, Floats, Floats]:
        """The Markov chain that rows with these log densities (n, K) are an observation of.

        Returns:
            Start and transition probabilities of the m K sub-states (`hmm.stays`), and the log
            densities (n, m K); those of the states where stays have no minimum.
        """
        chain = expanded_chain(self.startprob_, self.transmat_, self.minimum_stay)
        return *chain, expanded_density(log_density, self.minimum_stay)

    def log_filtered(self, X: Any, lengths: Any = None) -> Floats:
        """Log probability (n, K) of each state at each row, given its sequence up to that row.

        Arguments and errors as for `score`.
        """
        X, lengths = checked_rows(X, lengths)
        found = log_filtered(lengths, *self.expanded(self.log_densities(X, lengths)))
        return folded_log(found, self.minimum_stay)

    def fit(self, X: Any, lengths: Any = None, *, draw_start: bool = True) -> Self:
        """Fit by EM. The result does not depend on the number of threads: it uses one.

        With 32 runs of 1000 rows, 14 features, 8 states and full covariance, a Gaussian fit
        needs 10 MiB at most beside the rows, and an autoregressive one 17 MiB; both grow in
        proportion to the rows.

        Args:
            X: (n, d) rows of all sequences, concatenated; NaN marks a missing entry.
            lengths: lengths of the sequences; one sequence if None.
            draw_start: whether to draw initial parameters; if not, EM starts from those set.

        Returns:
            self, with `fit_report_` set. The parameters are those whose log-likelihood is the
            report's last.

        Raises:
            ValueError: if rows are infinite, or the lengths do not sum to their number.
        """
        X, lengths = checked_rows(X, lengths)
        with one_thread():
            data = self._rows(X, lengths)
            if draw_start:
                self._draw_start(data, gaps_filled(X, lengths), lengths)
            self._covars_ = floored(self._covars_, self.covariance_floor, self.covariance_type)
            self.fit_report_ = self._expectation_maximisation(data, self.n_iter)
        return self

    def renumber(self, order: Ints) -> None:
        """Reorder the states: state `order[i]` becomes state i, in the report too."""
        order = np.asarray(order)
        self.startprob_ = self.startprob_[order]
        self.transmat_ = self.transmat_[np.ix_(order, order)]
        for attribute in self._by_state:
            setattr(self, attribute, getattr(self, attribute)[order])
        if self.covariance_type != "tied":
            self._covars_ = self._covars_[order]
        if hasattr(self, "fit_report_"):
            number = {int(state): new for new, state in enumerate(order)}
            empty = sorted(number[k] for k in self.fit_report_.empty_states)
            self.fit_report_ = replace(self.fit_report_, empty_states=tuple(empty))

    def arrays(self) -> dict[str, Floats]:
        """The parameters by name, from which `from_parameters` makes the model again."""
        return {
            "startprob": self.startprob_,
            "transmat": self.transmat_,
            "means": self.means_,
            "covars": self.covariance_parameters(),
        }

    @abstractmethod
    def _n_emission_parameters(self) -> int:
        """Number of free parameters of what the states emit."""

    @abstractmethod
    def _rows(self, X: Floats, lengths: Ints) -> Rows:
        """The rows as the E-step wants them."""

    @abstractmethod
    def _log_density(self, data: Rows) -> Floats:
        """Log density (n, K) of each row under each state."""

    @abstractmethod
    def _statistics(self, data: Rows, found: Expectation) -> Seen:
        """What the M-step needs of the posteriors."""

    @abstractmethod
    def _update_emissions(self, stats: Seen) -> None:
        """The M-step of what the states emit; starved states keep theirs. New arrays, always."""

    @abstractmethod
    def _log_prior(self) -> float:
        """The log prior, up to a constant."""

    def _emit_alike(self, X: Floats) -> None:
        """Let all states emit alike: the mean and covariance of all rows (n, d)."""
        d = X.shape[1]
        self.means_ = np.tile(X.mean(axis=0), (self.n_components, 1))
        covariance = np.cov(X.T, bias=True).reshape(d, d) + MIN_COVAR * np.eye(d)
        self._covars_ = of_kind(covariance, self.covariance_type, self.n_components)

    def _draw_start(self, data: Rows, X: Floats, lengths: Ints) -> None:
        """Draw a start; of several trials, keep the one that a few EM iterations bring furthest."""
        draw = np.random.RandomState(self.random_state)
        trials = TRIALS[self.start][: 1 if self.n_components == 1 else None]
        best, highest = None, -np.inf
        for kind in trials:
            self._draw_trial(kind, data, X, lengths, draw)
            if len(trials) == 1:
                return
            objective = self._expectation_maximisation(data, TRIAL_ITERATIONS).objective[-1]
            if best is None or objective > highest:
                best, highest = self._parameters(), objective
        vars(self).update(best or {})

    def _draw_trial(
        self,
        kind: Assignment,
        data: Rows,
        X: Floats,
        lengths: Ints,
        draw: np.random.RandomState,
    ) -> None:
        """Draw a state for each row (see `hmm.initialisation`), and take the M-step of that.

        Covariances get `MIN_COVAR` on the diagonal, as hmmlearn's first ones do. Probabilities are
        flat Dirichlet draws: those counted from assigned states would have zeros, which EM keeps.
        """
        states = self.n_components
        self.startprob_ = draw.dirichlet(np.ones(states))
        self.transmat_ = draw.dirichlet(np.ones(states), size=states)
        self._emit_alike(X)
        assigned = assigned_states(kind, X, lengths, states, draw)
        certain = Expectation(np.eye(states)[assigned], np.eye(states), 0.0)
        self._update_emissions(self._statistics(data, certain))
        wider = of_kind(MIN_COVAR * np.eye(self.n_features), self.covariance_type, states)
        self._covars_ = floored(self._covars_ + wider, self.covariance_floor, self.covariance_type)

    def _expectation_maximisation(self, data: Rows, n_iter: int) -> FitReport:
        """Alternate E- and M-steps until the fit ends; see `FitReport.reason`."""
        likelihoods: list[float] = []
        objectives: list[float] = []
        largest_fall = 0.0
        reason: Reason = "iteration limit"
        before = self._parameters()
        for iteration in range(n_iter + 1):
            new, likelihood = self._estep(data)
            objective = likelihood + self._log_prior()
            objective += log_prior_of_stays(self.transmat_, self.stay_prior)
            gain = objective - objectives[-1] if objectives else np.inf
            largest_fall = max(largest_fall, -gain)
            size = abs(objective) + int(data.lengths.sum()) * self.n_features
            if objectives and not gain >= -ROUNDING * size:  # a fall, or not a number
                vars(self).update(before)
                reason = "degenerate"
                break
            likelihoods.append(likelihood)
            objectives.append(objective)
            stats = new
            if gain < self.tol or not np.isfinite(objective):
                reason = "converged" if np.isfinite(objective) else "degenerate"
                break
            before = self._parameters()
            if iteration < n_iter:
                self._mstep(stats)
        self._settle(stats)
        empty = tuple(np.flatnonzero(stats.rows < EMPTY).tolist())
        return FitReport(
            iterations=len(objectives) - 1,
            log_likelihood=tuple(likelihoods),
            objective=tuple(objectives),
            reason="degenerate" if empty else reason,
            largest_fall=largest_fall,
            empty_states=empty,
        )

    def _settle(self, stats: Seen) -> None:
        """What else to learn from the last E-step of a fit; nothing, as a rule."""

    def _parameters(self) -> dict[str, Floats]:
        """What an M-step replaces. It makes new arrays, so these need no copying."""
        return {name: getattr(self, name) for name in self._learned}

    def _expectation(self, lengths: Ints, log_density: Floats) -> Expectation:
        """Posteriors (n, K) and expected transitions, by forward-backward."""
        found = expectation(lengths, *self.expanded(log_density))
        return folded_expectation(found, self.minimum_stay)

    def _estep(self, data: Rows) -> tuple[Seen, float]:
        """What the M-step needs, and the log-likelihood."""
        found = self._expectation(data.lengths, self._log_density(data))
        return self._statistics(data, found), found.log_likelihood

    def _mstep(self, stats: Seen) -> None:
        """The M-step of the chain, hmmlearn's but for the prior, and of what the states emit."""
        self.startprob_ = stats.start / stats.start.sum()
        self.transmat_ = updated_transitions(stats.transitions, self.transmat_, self.stay_prior)
        self._update_emissions(stats)

    def _set_chain(self, startprob: Floats, transmat: Floats) -> None:
        """Set the chain's probabilities, or raise ValueError."""
        self.startprob_ = np.array(startprob, dtype=np.float64)
        self.transmat_ = np.array(transmat, dtype=np.float64)
        states = self.n_components
        for name, shape in {"startprob_": (states,), "transmat_": (states, states)}.items():
            values = getattr(self, name)
            sums = values.sum(axis=-1) if values.shape == shape else np.array(np.nan)
            if not ((values >= 0).all() and np.allclose(sums, 1)):
                raise ValueError(f"{name} must have shape {shape} and rows that sum to 1")

    def _n_covariance_parameters(self) -> int:
        """Number of free parameters of the covariances."""
        return n_covariance_parameters(self.covariance_type, self.n_components, self.n_features)


#: Any of the models, whatever its states emit.
HMM = HiddenMarkovModel[Any, Any]
