"""Predictions of runs that are left out, and how good they are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from training_maps.stats.cross_validation import (
    PENALTIES,
    balanced_accuracy,
    deal,
    nearest_centroids,
    r_squared,
    rank_correlation,
    ridge_predictions,
    with_shuffled,
)


class TestLeftOutFolds:
    def test_the_deal_depends_on_the_seeds_alone(self):
        seeds = [5, 1, 9, 30, 2, 8, 7]
        folds = dict(zip(seeds, deal(seeds, 3, 0), strict=True))
        assert dict(zip(sorted(seeds), deal(sorted(seeds), 3, 0), strict=True)) == folds
        assert sorted(np.bincount(list(folds.values()))) == [2, 2, 3]
        assert sorted(deal(seeds, 50, 0)) == list(range(7))
        assert deal(range(40), 10, 0).tolist() != deal(range(40), 10, 1).tolist()

    def test_ridge_against_scikit_learn(self):
        from sklearn.linear_model import RidgeCV
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        rng = np.random.default_rng(0)
        folds = deal(range(23), 4, 0)
        x = rng.normal(size=(4, 23, 5)) * [1, 100, 0.1, 1, 1] + 7
        x[:, :, 4] = 3.0  # constant
        y = np.column_stack([x[0, :, 0] + 0.3 * rng.normal(size=23), rng.normal(size=23)])
        predicted, baseline = ridge_predictions(x, y, folds)
        for fold, column in itertools.product(range(4), range(2)):
            test = folds == fold
            ridge = RidgeCV(PENALTIES * (~test).sum())
            model = make_pipeline(StandardScaler(), ridge).fit(x[fold][~test], y[~test, column])
            expected = model.predict(x[fold][test])
            np.testing.assert_allclose(predicted[test, column], expected, rtol=1e-8)
            np.testing.assert_allclose(baseline[test, column], y[~test, column].mean())

    def test_a_feature_that_hardly_varies_is_not_blown_up(self):
        """A share of 1e-9 in all runs but one must not send that one's prediction anywhere."""
        rng = np.random.default_rng(0)
        x = np.column_stack([rng.normal(size=20), 1e-9 * rng.normal(size=20)])
        x[7, 1] = 0.5
        y = x[:, :1] + 0.1 * rng.normal(size=(20, 1))
        predicted, _ = ridge_predictions(np.tile(x, (20, 1, 1)), y, np.arange(20))
        assert abs(predicted[7, 0] - y[7, 0]) < 1

    def test_centroids_against_scikit_learn(self):
        from sklearn.neighbors import NearestCentroid
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        rng = np.random.default_rng(0)
        folds = deal(range(30), 5, 0)
        x = rng.normal(size=(5, 30, 4)) * [1, 50, 1, 1]
        labels = rng.integers(0, 3, (30, 2))
        predicted = nearest_centroids(x, labels, folds, 3)
        for fold, column in itertools.product(range(5), range(2)):
            test = folds == fold
            model = make_pipeline(StandardScaler(), NearestCentroid())
            model.fit(x[fold][~test], labels[~test, column])
            assert (predicted[test, column] == model.predict(x[fold][test])).all()

    def test_a_class_of_which_no_other_run_is_left_is_never_predicted(self):
        x = np.array([[[0.0], [0.1], [5.0], [0.2]]] * 4)
        labels = np.array([0, 0, 1, 0])[:, None]
        assert nearest_centroids(x, labels, np.arange(4), 2)[2, 0] == 0

    def test_scores_against_scikit_learn_and_scipy(self):
        from sklearn.metrics import balanced_accuracy_score, r2_score

        rng = np.random.default_rng(0)
        y, predicted = rng.integers(0, 5, (20, 3)).astype(float), rng.normal(size=(20, 3))
        baseline = np.tile(y.mean(axis=0), (20, 1))
        for column in range(3):
            a, b = y[:, column], predicted[:, column]
            assert r_squared(y, predicted, baseline)[column] == pytest.approx(r2_score(a, b))
            order = stats.spearmanr(a, b).statistic
            assert rank_correlation(y, predicted)[column] == pytest.approx(order)
        labels, guesses = rng.integers(0, 3, (20, 2)), rng.integers(0, 3, (20, 2))
        for column in range(2):
            expected = balanced_accuracy_score(labels[:, column], guesses[:, column])
            assert balanced_accuracy(labels, guesses, 3)[column] == pytest.approx(expected)

    def test_predictions_equal_but_for_rounding_have_no_order(self):
        y = np.arange(6.0)[:, None]
        assert rank_correlation(y, 1e-15 * y) == [0]

    def test_shuffled_columns(self):
        columns = with_shuffled(np.arange(8.0), 5, 0)
        assert columns.shape == (8, 6)
        assert columns[:, 0].tolist() == list(range(8))
        assert (np.sort(columns, axis=0) == np.arange(8)[:, None]).all()
