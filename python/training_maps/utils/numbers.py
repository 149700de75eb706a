"""What stages agree on about numbers: types of arrays, and limits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]

#: A metric missing at more of a run's checkpoints than this share is refused.
MISSING_SHARE = 0.1
#: What of a map fewer than this share of the halves of the runs have is told, and drawn faint.
FOUND_AGAIN = 0.5
#: The largest step: float64, in which tables hold numbers, holds every whole number up to here.
LARGEST_STEP = 2**53
