"""Other models of an outcome, beside linear regression: is linearity the limit?

Ridge regression, which is linear too but shrinks coefficients, and a random forest, which need not
be linear. Each is judged as the linear model is, by its predictions of runs that it has not seen. x
is (n, k), the shares of n runs in k states, and y is (n,), the outcome.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from training_maps.stats.cross_validation import deal, fit_ridge, standardised
from training_maps.stats.cross_validation import ridge_predictions as predictions_by_fold
from training_maps.stats.least_squares import predictive_r_squared

#: Of more runs, ridge regression leaves out several at a time.
MOST_LEFT_OUT = 1000
N_TREES = 500
N_REPEATS = 10
# A difference is clear beyond so many standard errors, and worth a word beyond so much R².
_CLEAR_ERRORS = 2.0
_CLEAR_GAIN = 0.02


def compare_alternatives(
    x: np.ndarray, y: np.ndarray, linear: np.ndarray, states: list[int], random_state: int
) -> dict[str, Any]:
    """Ridge and random forest beside the linear model, ready for JSON.

    Args:
        x: shares, (n, k).
        y: outcomes, (n,), not all equal.
        linear: predictions of each run by the linear model of all others, (n,).
        states: numbers of the k states.
        random_state: seed of the forest and of the permutations.

    Returns:
        `linear`, `ridge` and `forest`, each with `leave_one_out_r_squared`; of ridge and
        forest `predictions`, how runs were left out; of ridge also the `penalty`, of the forest
        `n_trees` and `importance`, by state; and `sentence`, which says what to conclude.
    """
    ridge, penalty = ridge_predictions(x, y)
    forest, importance = forest_predictions(x, y, random_state)
    scores = {
        name: predictive_r_squared(y, predictions)
        for name, predictions in (("linear", linear), ("ridge", ridge), ("forest", forest))
    }
    return {
        "linear": {"leave_one_out_r_squared": scores["linear"]},
        "ridge": {
            "leave_one_out_r_squared": scores["ridge"],
            "predictions": "one left out" if len(y) <= MOST_LEFT_OUT else "a hundredth left out",
            "penalty": penalty,
        },
        "forest": {
            "leave_one_out_r_squared": scores["forest"],
            "predictions": "out of bag",
            "n_trees": N_TREES,
            "importance": [
                {"state": state, "r_squared_lost": float(lost)}
                for state, lost in zip(states, importance, strict=True)
            ],
        },
        "sentence": _conclusion(y, linear, forest, scores),
    }


def ridge_predictions(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """Each run predicted by ridge regression on the others, (n,), and the penalty for all runs.

    The penalty is a multiple of the number of runs, and shares are standardised; it is chosen by
    leave-one-out again, among the others only, so that no run has a say in its own prediction. Of
    more than `MOST_LEFT_OUT` runs, a hundredth is left out at a time: a fit for each of them would
    take time with their square.
    """
    n = len(y)
    folds = np.arange(n) if n <= MOST_LEFT_OUT else deal(range(n), 100, 0)
    every = np.broadcast_to(x, (n, *x.shape))
    predictions, _ = predictions_by_fold(every, y[:, None], folds)
    of_all = fit_ridge(standardised(x), y)
    return predictions[:, 0], float(of_all.alpha_) / n


def forest_predictions(
    x: np.ndarray, y: np.ndarray, random_state: int
) -> tuple[np.ndarray, np.ndarray]:
    """Each run predicted by the trees that were not grown on it, (n,), and each state's importance.

    A tree is grown on a resample of the runs; the others, about a third, are out of its bag. That
    stands in for growing a forest for each left-out run, and is slightly pessimistic, as a tree
    sees fewer runs.

    Importance, (k,), is the R² of these predictions that is lost when a state's shares are shuffled
    among the runs, averaged over `N_REPEATS` shuffles (Breiman 2001). Where shares hang together,
    states share their importance.
    """
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(N_TREES, random_state=random_state, n_jobs=1).fit(x, y)
    out_of_bag = np.ones((N_TREES, len(y)), dtype=bool)
    for tree, drawn in enumerate(forest.estimators_samples_):
        out_of_bag[tree, drawn] = False
    predictions = _out_of_bag_predictions(forest, out_of_bag, x, y)
    score = predictive_r_squared(y, predictions)
    rng = np.random.default_rng(random_state)
    importance = np.zeros(x.shape[1])
    for state in range(x.shape[1]):
        for _ in range(N_REPEATS):
            shuffled = x.copy()
            shuffled[:, state] = rng.permutation(x[:, state])
            without = _out_of_bag_predictions(forest, out_of_bag, shuffled, y)
            importance[state] += (score - predictive_r_squared(y, without)) / N_REPEATS
    return predictions, importance


def _out_of_bag_predictions(
    forest: Any, out_of_bag: np.ndarray, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """Mean over the trees whose bag lacks the run; the mean of the outcomes where there is none."""
    x = x.astype(np.float32)  # what trees compare with their thresholds
    values = np.array([tree.tree_.predict(x)[:, 0] for tree in forest.estimators_])
    n_trees = out_of_bag.sum(axis=0)
    sums = (values * out_of_bag).sum(axis=0)
    return np.where(n_trees > 0, sums / np.maximum(n_trees, 1), y.mean())


def _conclusion(
    y: np.ndarray, linear: np.ndarray, forest: np.ndarray, scores: dict[str, float]
) -> str:
    """Whether linearity is the limit, by the squared errors of the same left-out runs."""
    gains = (y - linear) ** 2 - (y - forest) ** 2
    error = gains.std(ddof=1) / np.sqrt(len(y))
    numbers = (
        f"leave-one-out R² {scores['forest']:.2f} for the random forest, "
        f"{scores['linear']:.2f} for the linear model"
    )
    if max(scores["forest"], scores["linear"], scores["ridge"]) <= 0:
        return f"No model predicts runs it has not seen better than their mean does ({numbers})."
    gain = scores["forest"] - scores["linear"]
    if gain > _CLEAR_GAIN and gains.mean() > _CLEAR_ERRORS * error:
        return (
            f"The random forest predicts runs it has not seen clearly better: {numbers}. "
            "Linearity is the limit, so read the coefficients with care."
        )
    if gain < -_CLEAR_GAIN and gains.mean() < -_CLEAR_ERRORS * error:
        return (
            f"The linear model predicts runs it has not seen clearly better: {numbers}. "
            "Linearity is not the limit."
        )
    return (
        f"The random forest does not predict runs it has not seen clearly better: {numbers}. "
        "There is no sign that linearity is the limit."
    )
