"""A smooth field: training as drift without states, the alternative that states must beat.

The next checkpoint is this one plus a smooth function of where the run is, with noise whose size
and shape vary smoothly too (the continuous alternative of Hu et al. 2023, open question 1):

    x_{t+1} = x_t + b(p_t) + B(p_t) x_t + noise,    noise ~ t_v(0, s_t Sigma(p_t))

**Where the run is.** The place p_t is the run's position along the first principal components of
the training rows, in units of the first one's standard deviation. It may be averaged over the last
checkpoints, as a noisy row says little of where a run is; and time, as a share of the run, may be
one more coordinate.

**Smooth.** Local linear regression (Cleveland and Devlin 1988): at each of a few dozen anchors,
spread over the places by k-means, a weighted regression and the weighted covariance of its
residuals; between anchors, both are blended with the same Gaussian weights. A wide kernel is one
autoregression for all of training; a narrow one bends within a few checkpoints. Where the rows at
an anchor are few, it leans on the regression and the covariance of all rows.

**Noise.** Student's t, whose size may swell or switch over training
(`training_maps.structure.field_noise`). Training whose noise alone changes is then no reason to
see a state.

Which noise is chosen by cross-validation over the training runs in two folds. Which of `SHAPES`,
the ladder chooses by runs that no field saw, as it chooses the number of states
(`training_maps.structure.ladder`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from training_maps.hmm.covariances import floored
from training_maps.hmm.k_means import k_means
from training_maps.hmm.missing_values import gaps_filled
from training_maps.hmm.observations import Observations
from training_maps.structure.field_noise import NOISES, Noise, Residuals, log_densities
from training_maps.structure.following import (
    lagged,
    products_of,
    running_averages,
    shares_of,
    squares_of,
)
from training_maps.utils.numbers import Floats
from training_maps.utils.threads import one_thread

# Anchors at most, and rows for each at least.
_ANCHORS, _ROWS = 40, 20
# How many rows the regression and the covariance of all rows count for at an anchor.
_PRIOR_OF_FLOW, _PRIOR_OF_NOISE = 0.3, 10.0
# So few rows say nothing of the noise at an anchor: its size is then the usual one.
_NO_ROWS = 1e-9
# Imagined rows without drift, as strong as the prior of autoregressive states. The anchors share
# them, as they share the rows: at each in full, they would outweigh the rows of places where noise
# is small, and states would be found in a pace that follows a power law.
_RIDGE = 1e-2
# So many numbers at once: each row makes a matrix, and those of many rows would leave the caches.
_AT_ONCE = 2**19
# So many runs at once are foretold: their rows' weights alone are as many as the anchors.
_RUNS_AT_ONCE = 500
# Where an anchor's matrix has more entries, the rows' outer products take longer than their sums.
_LARGE = 2**12


class Shape(NamedTuple):
    """What kind of field.

    Attributes:
        components: principal components that say where a run is.
        bandwidth: of the Gaussian kernel, in standard deviations of the first component.
        coupled: whether a metric's drift depends on all metrics, or on its own value only.
        memory: share of the averaged position that is kept from one checkpoint to the next.
        timed: whether time, as a share of the run, is a coordinate too.
    """

    components: int
    bandwidth: float
    coupled: bool
    memory: float = 0.0
    timed: bool = False


#: Fields that are tried, by name.
SHAPES = {
    "field_narrow": Shape(1, 0.2, True),
    "field_wide": Shape(2, 0.4, True),
    "field_wide_3": Shape(3, 0.4, True),
    "field_averaged": Shape(2, 0.4, True, memory=0.7),
    "field_timed": Shape(1, 0.2, True, timed=True),
    "field_own_narrow": Shape(2, 0.2, False),
    "field_own_wide": Shape(3, 0.4, False),
    "field_broad": Shape(1, 0.8, True),
}


@dataclass(frozen=True)
class Steps:
    """The steps of all runs from one checkpoint to the next; n of them.

    Attributes:
        before: (n, d) rows, gaps interpolated.
        change: (n, d) what the next row adds; 0 where its entry is missing.
        missing: (n, d) whether the next row's entry is missing.
        place: (n, d) rows averaged over the last checkpoints.
        time: (n,) from 0 to 1 over each run.
        lengths: (M,) steps of each run.
    """

    before: Floats
    change: Floats
    missing: NDArray[np.bool_]
    place: Floats
    time: Floats
    lengths: list[int]

    @cached_property
    def rows(self) -> Floats:
        """(n, 1 + d) a one and the row before each step: what is regressed on."""
        return np.hstack([np.ones((len(self.before), 1)), self.before])

    @classmethod
    def of(cls, runs: Sequence[Floats], memory: float) -> Steps:
        """The steps of runs (T, d) with NaN where an entry is missing; T is at least 2."""
        filled = [gaps_filled(run, np.array([len(run)])) for run in runs]
        lengths = [len(run) - 1 for run in runs]
        before = np.vstack([run[:-1] for run in filled])
        first = np.array([run[0] for run in filled])
        missing = np.vstack([np.isnan(run[1:]) for run in runs])
        change = np.vstack([np.diff(run, axis=0) for run in filled])
        return cls(
            before=before,
            change=np.where(missing, 0.0, change),
            missing=missing,
            place=running_averages(before, lengths, memory, first),
            time=np.concatenate([np.arange(n) / max(n - 1, 1) for n in lengths]),
            lengths=lengths,
        )


@dataclass
class SmoothField:
    """A fitted field.

    Attributes:
        shape: what kind of field.
        covariance_floor: smallest eigenvalue of a covariance.
        noise: how residuals scatter.
        shares: (2,) how far residuals are followed, where noise switches
            (`training_maps.structure.following`).
        centre: (d,) mean of the training rows.
        axes: (d, q) what a row is projected on to say where it is.
        anchors: (A, q) places, with time as one more column if the shape is timed.
        flows: (A, 1 + d, d) b and B at each anchor.
        covariances: (A, d, d) of the residuals at each anchor.
    """

    shape: Shape
    covariance_floor: float
    noise: Noise = field(default=NOISES[0])
    shares: Floats = field(init=False, repr=False)
    centre: Floats = field(init=False, repr=False)
    axes: Floats = field(init=False, repr=False)
    anchors: Floats = field(init=False, repr=False)
    flows: Floats = field(init=False, repr=False)
    covariances: Floats = field(init=False, repr=False)

    def fit(self, runs: Sequence[Floats]) -> Self:
        """Fit to runs (T, d), and choose the noise by cross-validation over them in two folds."""
        folds = [(runs[0::2], runs[1::2]), (runs[1::2], runs[0::2])]
        if len(runs) < 2:  # nothing to hold out
            folds = [(runs, runs)]
        self._place(runs)
        found: dict[Noise, float] = dict.fromkeys(NOISES, 0.0)
        for learnt, judging in folds:
            self._learn(learnt)
            residuals = self._residuals(judging)
            for noise in NOISES:
                found[noise] += float(log_densities(noise, residuals).sum())
        self.noise = max(found, key=lambda noise: found[noise])
        self._learn(runs)
        return self

    def foretold(self, runs: Sequence[Floats]) -> Floats:
        """One-step-ahead predictive log density (M,) of each run (T, d), in nats."""
        found = []
        for i in range(0, len(runs), _RUNS_AT_ONCE):
            residuals = self._residuals(runs[i : i + _RUNS_AT_ONCE])
            found.append(log_densities(self.noise, residuals))
        return np.concatenate(found)

    def _place(self, runs: Sequence[Floats]) -> None:
        """Principal components and anchors."""
        steps = Steps.of(runs, self.shape.memory)
        self.centre = steps.before.mean(axis=0)
        _, sizes, axes = np.linalg.svd(steps.before - self.centre, full_matrices=False)
        unit = max(sizes[0] / np.sqrt(len(steps.before)), 1e-12)
        self.axes = axes[: self.shape.components].T / unit
        places = self._places(steps)
        n_anchors = max(1, min(_ANCHORS, len(places) // _ROWS, len(np.unique(places, axis=0))))
        self.anchors = k_means(places, n_anchors, np.random.RandomState(0), 20, 1e-4)[1]

    def _places(self, steps: Steps) -> Floats:
        place = (steps.place - self.centre) @ self.axes
        return np.column_stack([place, steps.time]) if self.shape.timed else place

    def _weights(self, steps: Steps) -> Floats:
        """How much (n, A) each anchor has to say of a step; they sum to 1."""
        places = self._places(steps)
        weights = np.empty((len(places), len(self.anchors)))
        for some in _parts(*weights.shape):
            distances = np.zeros_like(weights[some])
            for place, anchors in zip(places[some].T, self.anchors.T, strict=True):
                distances += np.square(place[:, None] - anchors)
            distances -= distances.min(axis=1, keepdims=True)
            found = np.exp(distances / (-2 * self.shape.bandwidth**2))
            weights[some] = found / found.sum(axis=1, keepdims=True)
        return weights

    def _learn(self, runs: Sequence[Floats]) -> None:
        """Regressions and covariances at the anchors, twice: then each row counts by its noise.

        Where steps are a hundred times larger in one place than in another, a few of the large ones
        would else decide the regression and the covariance at all anchors in reach.
        """
        steps = Steps.of(runs, self.shape.memory)
        weights, rows = self._weights(steps), steps.rows
        sizes: Floats = np.ones(len(self.anchors))
        for _ in range(2):
            at_rows = np.exp(weights @ np.log(sizes))
            counting = weights / at_rows[:, None]
            counting *= weights.sum() / counting.sum()  # so that priors weigh as much as before
            self._regress(counting, rows, steps.change)
            residuals = (steps.change - self._flow(weights, rows)) / np.sqrt(at_rows)[:, None]
            scatters = _moments(weights, residuals, residuals)
            usual = residuals.T @ residuals / len(rows)
            shapes = self._shrunk(scatters, weights.sum(axis=0), usual)
            self.covariances = floored(shapes * sizes[:, None, None], self.covariance_floor, "full")
            sizes = _sizes(self.covariances)
        products, _, seen = self._products(steps, weights)
        self.shares = shares_of(products, seen)

    def _regress(self, weights: Floats, rows: Floats, change: Floats) -> None:
        """The regressions at the anchors, by weights (n, A)."""
        squares, products = _moments(weights, rows, rows), _moments(weights, rows, change)
        of_all = squares.sum(axis=0), products.sum(axis=0)
        solve = _coupled if self.shape.coupled else _own
        flow = solve(of_all[0][None], of_all[1][None], _RIDGE)[0]
        prior = _PRIOR_OF_FLOW * of_all[0] / len(rows)
        share = _RIDGE / len(squares)
        self.flows = solve(squares + prior, products + prior @ flow, share)

    def _flow(self, weights: Floats, rows: Floats) -> Floats:
        """The expected change (n, d) of rows (n, 1 + d)."""
        n_anchors, p, d = self.flows.shape
        flow = np.empty((len(rows), d))
        for some in _parts(len(rows), p * d):
            here = (weights[some] @ self.flows.reshape(n_anchors, p * d)).reshape(-1, p, d)
            flow[some] = (rows[some, None, :] @ here)[:, 0]
        return flow

    def _shrunk(self, scatters: Floats, counts: Floats, usual: Floats) -> Floats:
        """Covariances (A, d, d) with the shape of the usual one where rows are few."""
        d = len(usual)
        found = []
        inverse = np.linalg.pinv(usual)
        for scatter, count in zip(scatters, counts, strict=True):
            size = (np.sum(inverse * scatter) / d + _NO_ROWS) / (count + _NO_ROWS)
            found.append((scatter + _PRIOR_OF_NOISE * size * usual) / (count + _PRIOR_OF_NOISE))
        return np.array(found)

    def _covariances(self, weights: Floats) -> Floats:
        """The covariance (n, d, d) of each step: shapes are blended, and logarithms of sizes.

        So a place of little noise has little, with much noise not far away. No eigenvalue falls
        below the floor, as the mean of the sizes' inverses is at least the inverse of their
        geometric mean.
        """
        sizes = _sizes(self.covariances)
        blended = np.tensordot(weights, self.covariances / sizes[:, None, None], axes=1)
        blended *= np.exp(weights @ np.log(sizes))[:, None, None]
        return np.asarray(blended)

    def _residuals(self, runs: Sequence[Floats]) -> Residuals:
        """What is left of each step of runs."""
        steps = Steps.of(runs, self.shape.memory)
        products, log_determinant, seen = self._products(steps, self._weights(steps))
        followed = squares_of(products, self.shares)
        return Residuals(products[:, 0, 0], followed, log_determinant, seen, steps.lengths)

    def _products(self, steps: Steps, weights: Floats) -> tuple[Floats, Floats, Floats]:
        """Of each step: `products_of` its residual, log determinant, entries seen."""
        residuals = np.where(steps.missing, 0.0, steps.change - self._flow(weights, steps.rows))
        lags = lagged(residuals, steps.lengths)
        lags[steps.missing] = 0.0
        n = len(residuals)
        products, log_determinant = np.empty((n, 3, 3)), np.empty(n)
        for some in _parts(n, residuals.shape[1] ** 2):
            factors = self._factors(weights[some], steps.missing[some])
            products[some] = products_of(np.linalg.inv(factors), residuals[some], lags[some])
            log_determinant[some] = 2 * np.log(np.diagonal(factors, 0, 1, 2)).sum(axis=1)
        return products, log_determinant, (~steps.missing).sum(axis=1).astype(np.float64)

    def _factors(self, weights: Floats, missing: NDArray[np.bool_]) -> Floats:
        """The Cholesky factors (n, d, d) of the steps' covariances.

        What is missing becomes independent, of variance 1 and without residual: it adds nothing.
        """
        covariances = self._covariances(weights)
        at, entry = np.nonzero(missing)
        covariances[at, entry, :] = covariances[at, :, entry] = 0.0
        covariances[at, entry, entry] = 1.0
        return np.linalg.cholesky(covariances)


def foretold_by_fields(
    seen: Observations, obs: Observations, covariance_floor: float
) -> dict[str, Floats]:
    """How well fields of every shape foretell runs.

    Args:
        seen: the fields are fitted to its training runs.
        obs: the runs to foretell.
        covariance_floor: smallest eigenvalue of a covariance, that of the models with states.

    Returns:
        By shape's name, the one-step-ahead predictive log density (M,) of each run of `obs` in
        nats; 0 for a run of one checkpoint, as there is nothing to foretell.
    """
    x, lengths, _ = seen.sequences("train")
    runs = [run for run in np.split(x, np.cumsum(lengths)[:-1]) if len(run) > 1]
    x, lengths, _ = obs.sequences()
    long = np.flatnonzero(lengths > 1)
    judged = np.split(x, np.cumsum(lengths)[:-1])
    found: dict[str, Floats] = {}
    with one_thread():
        for name, shape in SHAPES.items():
            fitted = SmoothField(shape, covariance_floor).fit(runs)
            found[name] = np.zeros(len(lengths))
            found[name][long] = fitted.foretold([judged[i] for i in long])
    return found


def _sizes(covariances: Floats) -> Floats:
    """The size (A,) of each covariance: the geometric mean of its eigenvalues."""
    return np.asarray(np.exp(np.linalg.slogdet(covariances)[1] / covariances.shape[-1]))


def _moments(weights: Floats, a: Floats, b: Floats) -> Floats:
    """Weighted sums (A, p, q) of the outer products of rows (n, p) and (n, q)."""
    size = a.shape[1] * b.shape[1]
    if size > _LARGE:
        return np.array([(a * of_anchor[:, None]).T @ b for of_anchor in weights.T])
    found = np.zeros((weights.shape[1], size))
    for some in _parts(len(a), size):
        products = (a[some, :, None] * b[some, None, :]).reshape(-1, size)
        found += weights[some].T @ products
    return found.reshape(-1, a.shape[1], b.shape[1])


def _parts(n: int, size: int) -> list[slice]:
    """All of n rows, `_AT_ONCE` numbers at most at once of what takes `size` of them a row."""
    rows = max(1, _AT_ONCE // size)
    return [slice(i, i + rows) for i in range(0, n, rows)]


def _coupled(squares: Floats, products: Floats, ridge: float) -> Floats:
    """Regressions (A, 1 + d, d) of every metric on all."""
    ridges = ridge * np.eye(squares.shape[1])
    ridges[0, 0] = 1e-9
    return np.asarray(np.linalg.solve(squares + ridges, products))


def _own(squares: Floats, products: Floats, ridge: float) -> Floats:
    """Regressions (A, 1 + d, d) of every metric on itself: two coefficients each."""
    n_anchors, p, d = products.shape
    own = np.arange(1, p)
    pair = np.empty((n_anchors, d, 2, 2))
    pair[:, :, 0, 0] = squares[:, 0, 0, None] + 1e-9
    pair[:, :, 0, 1] = pair[:, :, 1, 0] = squares[:, 0, own]
    pair[:, :, 1, 1] = squares[:, own, own] + ridge
    right = np.stack([products[:, 0, :], products[:, own, own - 1]], axis=2)
    solved = np.linalg.solve(pair, right[..., None])[..., 0]
    flows = np.zeros((n_anchors, p, d))
    flows[:, 0, :] = solved[:, :, 0]
    flows[:, own, own - 1] = solved[:, :, 1]
    return flows
