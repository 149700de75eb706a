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
    # In whole numbers, so exact up to the last division. Importing scikit-learn's takes most of a
    # second, several times what a stage that asks for it computes.
    n = len(a)
    counts = contingency(a, b, int(max(a.max(), b.max())) + 1)
    both, in_a, in_b = (
        int((part**2).sum()) - n for part in (counts, counts.sum(axis=1), counts.sum(axis=0))
    )
    pairs = n * n - n
    if in_a == in_b == both:
        return 1.0
    return 2 * (both * pairs - in_a * in_b) / (in_a * (pairs - in_b) + in_b * (pairs - in_a))


def agreed_information(a: Ints, b: Ints) -> float:
    """What two sequences of states tell of each other, less what they do not, in nats.

    The mutual information I(a; b) less the variation of information H(a | b) + H(b | a) (Meila
    2007, "Comparing clusterings: an information based distance"): with the entropies H of the
    states' shares, 2 (H(a) + H(b)) - 3 H(a, b). It grows with the number of states that both have,
    and falls with what only one of them has.

    Args:
        a: (n,) states, counted from 0.
        b: (n,) states of the same checkpoints, counted from 0.

    Returns:
        The entropy of the states if the two differ in their numbers only; less both entropies if
        they are unrelated, which is the least.
    """
    counts = contingency(a, b, int(max(a.max(), b.max())) + 1)
    of_a, of_b, of_both = (
        _entropy(part) for part in (counts.sum(axis=1), counts.sum(axis=0), counts)
    )
    return 2 * (of_a + of_b) - 3 * of_both


def _entropy(counts: NDArray[np.int64]) -> float:
    """Entropy, in nats, of what was counted so often."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def match_states(a: Ints, b: Ints) -> dict[int, int]:
    """States of `b` matched one to one with those of `a`, so that most checkpoints match.

    Source: the Hungarian method, Kuhn 1955.

    Args:
        a: (n,) states, counted from 0.
        b: (n,) states of the same checkpoints, counted from 0.

    Returns:
        By state of `b`, the state of `a`; only pairs that share a checkpoint.
    """
    from scipy.optimize import linear_sum_assignment

    counts = contingency(a, b, int(max(a.max(), b.max())) + 1)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return {of_b: of_a for of_a, of_b in pairs if counts[of_a, of_b] > 0}


def matched_share(reference: Ints, other: Ints, n_states: int) -> Floats:
    """Share of each state's checkpoints that another sequence has in the matching state.

    Args:
        reference: (n,) states, from 0 to n_states - 1.
        other: (n,) states of the same checkpoints, under numbers of their own (`match_states`).
        n_states: number of states K.

    Returns:
        (K,) shares of the checkpoints of each state of `reference`; NaN where it has none.
    """
    counts = contingency(reference, other, n_states)
    shares = np.where(counts.any(axis=1), 0.0, np.nan)
    for of_other, state in match_states(reference, other).items():
        shares[state] = counts[state, of_other] / counts[state].sum()
    return shares
