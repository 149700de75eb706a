"""K-means: scikit-learn's clusters, from the same source of randomness."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.cluster import KMeans

from training_maps.hmm.k_means import k_means


def rows(seed, n, d, kind):
    draw = np.random.default_rng(seed)
    if kind == "clusters":
        return draw.normal(size=(n, d)) + 4 * draw.integers(0, 4, size=(n, 1))
    if kind == "few":  # fewer distinct rows than clusters, at times
        return draw.normal(size=(6, d))[draw.integers(0, 6, size=n)]
    if kind == "far":  # a mean far from zero
        return draw.normal(size=(n, d)) * np.logspace(-3, 3, d) + 1e4
    return np.cumsum(draw.normal(size=(n, d)), axis=0)


@pytest.mark.parametrize("kind", ["clusters", "walk", "far", "few"])
@pytest.mark.parametrize(("rounds", "tolerance"), [(29, 0.0), (20, 1e-4), (2, 0.0)])
def test_clusters_and_centres_are_those_of_scikit_learn(kind, rounds, tolerance):
    for seed in range(12):
        n, d, k = 40 + 60 * seed, 1 + seed % 5, 1 + seed % 9
        x = rows(seed, n, d, kind)
        theirs = KMeans(k, n_init=1, max_iter=rounds, tol=tolerance, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # fewer distinct rows than clusters
            theirs.fit(x)
        clusters, centres = k_means(x, k, np.random.RandomState(seed), rounds, tolerance)
        if kind == "few" and k > 6:  # which of two equal centres is moot
            np.testing.assert_allclose(centres[clusters], x, atol=1e-12)
            continue
        np.testing.assert_array_equal(clusters, theirs.labels_)
        scale = np.abs(x).max()
        np.testing.assert_allclose(centres, theirs.cluster_centers_, rtol=1e-10, atol=1e-12 * scale)


def test_as_much_is_drawn_as_by_scikit_learn():
    # What is drawn afterwards from the same source stays the same too.
    x = rows(0, 200, 3, "clusters")
    ours, theirs = np.random.RandomState(5), np.random.RandomState(5)
    k_means(x, 6, ours, 29)
    KMeans(6, n_init=1, max_iter=29, tol=0, random_state=theirs).fit(x)
    assert ours.uniform() == theirs.uniform()


def test_an_empty_cluster_moves_to_the_farthest_row():
    from training_maps.hmm.k_means import _centres

    x = np.array([[0.0], [1.0], [9.0]])
    centres = _centres(x, np.array([0, 0, 0]), np.array([[1.0], [50.0]]))
    np.testing.assert_allclose(centres, [[0.5], [9.0]])
