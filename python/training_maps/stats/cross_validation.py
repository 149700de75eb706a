"""Predictions of runs that had no say in them, and what chance predicts as well.

Runs are dealt to folds. Each fold's runs are predicted from features that were made without them
(by a model fitted on the other folds), by a predictor trained on the other folds. Where outcomes
have nothing to do with features, any way to deal the outcomes to the runs is as likely as the real
one, so that the share of such ways that are predicted as well is an exact p-value. Features do not
depend on outcomes, so that only the predictors, which have closed forms, are made again for each.

Symbols: n runs, F folds, p features, B columns of outcomes (the real one, and shuffled ones).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training_maps.stats.permutation_test import shuffled
from training_maps.utils.numbers import Floats, Ints

#: Ridge penalties to choose from, as multiples of the number of runs; features are standardised.
PENALTIES = np.logspace(-4, 3, 15)
#: Features with a smaller standard deviation are not blown up to unit variance: a run in which one
#: is not as small would be out of all bounds. Shares, times and z-scores all vary by about 1.
LEAST_DEVIATION = 0.01
# Predictions that differ by less, in units of the largest outcome, are equal but for rounding.
_DECIMALS = 9


def deal(seeds: Sequence[int], n_folds: int, random_state: int) -> Ints:
    """The fold of each run, (n,), of equal sizes but for one; depends on the seeds alone.

    Args:
        seeds: of the runs.
        n_folds: how many folds; at most one a run.
        random_state: seed of the deal.
    """
    order = np.argsort(np.asarray(seeds), kind="stable")
    drawn = np.random.default_rng(random_state).permutation(len(seeds))
    folds = np.empty(len(seeds), dtype=np.int64)
    folds[order[drawn]] = np.arange(len(seeds)) % min(n_folds, len(seeds))
    return folds


def with_shuffled(values: NDArray[Any], n_permutations: int, random_state: int) -> NDArray[Any]:
    """Outcomes (n,) as the first of 1 + n_permutations columns, the others shuffled; (n, B)."""
    return np.column_stack([values, shuffled(values, n_permutations, random_state).T])


def ridge_predictions(x: Floats, y: Floats, folds: Ints) -> tuple[Floats, Floats]:
    """Each run predicted by ridge regression on the other folds' runs.

    Features are standardised by the runs that the predictor is trained on, and its penalty is
    chosen among these too, by leaving out one at a time.

    Args:
        x: (F, n, p) features of all runs, by the model of each fold.
        y: (n, B) outcomes.
        folds: (n,) the fold of each run.

    Returns:
        Predictions (n, B), and what is predicted without features: the mean of the other folds'
        outcomes, (n, B).
    """
    predicted, baseline = np.empty(y.shape), np.empty(y.shape)
    for train, test, of_train, of_test in _folds(x, folds):
        mean = y[train].mean(axis=0)
        baseline[test] = mean
        predicted[test] = fit_ridge(of_train, y[train]).predict(of_test).reshape(-1, y.shape[1])
    return predicted, baseline


def fit_ridge(x: Floats, y: Floats) -> Any:
    """Ridge regression of each column of y (n, B) on standardised x (n, p), with an intercept.

    Each column has the penalty of `PENALTIES` that predicts best what is left out, one run at a
    time; nothing is fitted again for that (Allen 1974).

    Returns:
        A fitted `sklearn.linear_model.RidgeCV`; its penalties are `alpha_` / n.
    """
    from sklearn.linear_model import RidgeCV

    return RidgeCV(PENALTIES * len(x), alpha_per_target=y.ndim == 2).fit(x, y)


def nearest_centroids(x: Floats, labels: Ints, folds: Ints, n_classes: int) -> Ints:
    """Each run's class by the nearest mean of the other folds' runs of each class.

    Distances are Euclidean, between features standardised by the runs that the means are of.

    Args:
        x: (F, n, p) features of all runs, by the model of each fold.
        labels: (n, B) classes, counted from 0.
        folds: (n,) the fold of each run.
        n_classes: number of classes C.

    Returns:
        Predicted classes (n, B); a class of which no other run is left is never predicted.
    """
    predicted = np.empty(labels.shape, dtype=np.int64)
    for train, test, of_train, of_test in _folds(x, folds):
        member = labels[train][:, :, None] == np.arange(n_classes)
        size = member.sum(axis=0)  # (B, C)
        sums = np.einsum("np,nbc->bcp", of_train, member)
        means = sums / np.maximum(size, 1)[:, :, None]
        distance = (means**2).sum(axis=2)[None] - 2 * np.einsum("tp,bcp->tbc", of_test, means)
        predicted[test] = np.where(size > 0, distance, np.inf).argmin(axis=2)
    return predicted


def r_squared(y: Floats, predicted: Floats, baseline: Floats) -> Floats:
    """1 - squared errors / squared errors of the baseline, of each column; (B,).

    Both are predictions of runs not seen: 0 is no better than the mean, and there is no lower
    limit.
    """
    return 1 - ((y - predicted) ** 2).sum(axis=0) / ((y - baseline) ** 2).sum(axis=0)


def rank_correlation(y: Floats, predicted: Floats) -> Floats:
    """Spearman's rank correlation of outcomes and predictions, of each column; (B,).

    Give predictions less the baseline: the mean of the other folds alone is lower for a fold of
    late runs, which would count as skill below 0. Predictions that are equal but for rounding have
    the same rank; where all are, the correlation is 0.

    Args:
        y: (n, B) outcomes, not all equal.
        predicted: (n, B) predictions.
    """
    from scipy.stats import rankdata

    scale = np.abs(y).max(axis=0)
    ranks = [rankdata(v, axis=0) for v in (y, np.round(predicted / scale, _DECIMALS))]
    a, b = (r - r.mean(axis=0) for r in ranks)
    size = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return np.asarray(np.where(size > 0, (a * b).sum(axis=0) / np.where(size > 0, size, 1), 0.0))


def balanced_accuracy(labels: Ints, predicted: Ints, n_classes: int) -> Floats:
    """Share of each class's runs that are predicted right, averaged over classes; (B,).

    1 / n_classes is chance, however unequal classes are.
    """
    shares = [
        np.where(labels == c, predicted == c, False).sum(axis=0) / (labels == c).sum(axis=0)
        for c in range(n_classes)
    ]
    return np.asarray(np.mean(shares, axis=0))


def _folds(x: Floats, folds: Ints) -> Iterator[tuple[Any, Any, Floats, Floats]]:
    """Of each fold the runs to train on and to test, and their features, standardised."""
    for fold in np.unique(folds):
        test = folds == fold
        scaled = standardised(x[fold], ~test)
        yield ~test, test, scaled[~test], scaled[test]


def standardised(x: Floats, by: Any = slice(None)) -> Floats:
    """Features (n, p) less their means, over their standard deviations, of the runs `by`."""
    return (x - x[by].mean(axis=0)) / np.maximum(x[by].std(axis=0), LEAST_DEVIATION)
