"""Handwritten digits of 8x8 pixels that come with scikit-learn, so that nothing is downloaded."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

N_TRAIN = 1437
_SPLIT_SEED = 0


@functools.cache
def small_digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """1797 digits (Alpaydin and Kaynak 1998) in a random order that never changes.

    The first `N_TRAIN`, four fifths, are to train on; the others are to evaluate on.

    Returns:
        Pixels from 0 to 16, (1797, 8, 8), and which digit each is, (1797,).
    """
    from sklearn.datasets import load_digits

    found = load_digits()
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(found.target))
    return found.images[order].astype(np.uint8), found.target[order].astype(np.int64)
