"""How far two sequences of states agree, whatever numbers their states have."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training_maps.utils.numbers import Floats, Ints


def contingency(a: Ints, b: Ints, n_states: int) -> NDArray[np.int64]:
    """How often `a` is in state j while `b` is in state k.

    Args:
        a: (n,) states, from 0 to n_states - 1.
        b: (n,) states of the same checkpoints.
        n_states: number of states K.

    Returns:
        (K, K) counts, which sum to n.
    """
    cells = np.asarray(a, dtype=np.int64) * n_states + np.asarray(b, dtype=np.int64)
    return np.bincount(cells, minlength=n_states**2).reshape(n_states, n_states)


def adjusted_rand_index(a: Ints, b: Ints) -> float:
    """Adjusted Rand index of two sequences of states of the same checkpoints.

    Of all pairs of checkpoints, the index counts those that both sequences keep together, less what
    is expected of two sequences with as many checkpoints in each state that have nothing to do with
    each other (Hubert and Arabie 1985, "Comparing partitions", equation 5).

    Args:
        a: (n,) states, counted from 0.
        b: (n,) states of the same checkpoints, counted from 0.

    Returns:
        1 if the two differ in the states' numbers only, about 0 if they are unrelated. Two
        sequences that never leave their state agree: 1.
    """
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(a, b))


def matched_share(reference: Ints, other: Ints, n_states: int) -> Floats:
    """Share of each state's checkpoints that another sequence has in the matching state.

    States are matched one to one so that as many checkpoints as possible are in matching states
    (the Hungarian method, Kuhn 1955).

    Args:
        reference: (n,) states, from 0 to n_states - 1.
        other: (n,) states of the same checkpoints, under numbers of their own.
        n_states: number of states K.

    Returns:
        (K,) shares of the checkpoints of each state of `reference`; NaN where it has none.
    """
    from scipy.optimize import linear_sum_assignment

    counts = contingency(reference, other, n_states)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    total = counts.sum(axis=1)
    shares = np.full(n_states, np.nan)
    np.divide(counts[rows, columns], total, out=shares, where=total > 0)
    return shares
