"""scikit-learn's digits: all of them, once, in an order that never changes."""

import numpy as np
from sklearn.datasets import load_digits

from training_maps.training.datasets.small_digits import N_TRAIN, small_digits


def test_all_digits_are_there_once_with_their_labels():
    images, labels = small_digits()
    assert (images.shape, images.dtype) == ((1797, 8, 8), np.uint8)
    assert (labels.shape, labels.dtype) == ((1797,), np.int64)
    found = load_digits()
    pairs = sorted((x.astype(np.uint8).tobytes(), y) for x, y in zip(images, labels, strict=True))
    theirs = zip(found.images, found.target, strict=True)
    assert pairs == sorted((x.astype(np.uint8).tobytes(), y) for x, y in theirs)
    assert not np.array_equal(labels, found.target)  # theirs go 0, 1, 2, ... by who wrote them


def test_both_parts_have_every_digit_and_the_order_is_always_the_same():
    _, labels = small_digits()
    for part in (labels[:N_TRAIN], labels[N_TRAIN:]):
        assert np.bincount(part, minlength=10).min() > 0.07 * len(part)
    small_digits.cache_clear()
    np.testing.assert_array_equal(small_digits()[1], labels)
