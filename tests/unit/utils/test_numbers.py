"""What stages agree on about numbers."""

import numpy as np

from training_maps.utils.numbers import LARGEST_STEP, MISSING_SHARE


def test_every_step_up_to_the_largest_is_a_float():
    assert float(LARGEST_STEP) == LARGEST_STEP
    assert float(LARGEST_STEP - 1) == LARGEST_STEP - 1
    assert float(LARGEST_STEP + 1) != LARGEST_STEP + 1
    assert np.int64(LARGEST_STEP) == LARGEST_STEP


def test_a_share_is_a_share():
    assert 0 < MISSING_SHARE < 1
