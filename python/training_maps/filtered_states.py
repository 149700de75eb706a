"""What is known of a run's states while it goes on: nothing after a checkpoint has a say in it.

Viterbi paths and posteriors look at whole runs. The filtered probability of a state at checkpoint t
is given the checkpoints up to t only: the forward pass of the forward-backward algorithm, with
emission densities b and transition probabilities a,

    p(s_1 = k | x_1)      proportional to  start_k b_k(x_1)
    p(s_t = k | x_1..x_t) proportional to  b_k(x_t) sum_j p(s_t-1 = j | x_1..x_t-1) a_jk

(Rabiner 1989, section III.A). All is done in log space, so that nothing underflows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training_maps.forward_backward import Floats

if TYPE_CHECKING:
    from training_maps.fitting import HMM


def filtered_probabilities(hmm: HMM, x: Floats) -> Floats:
    """Probability of each state at each row of one sequence, given the rows up to it.

    Args:
        hmm: a model with K states.
        x: (n, d) rows of one sequence; NaN marks a missing entry.

    Returns:
        (n, K); each row sums to 1.
    """
    densities = hmm.log_densities(x)
    filtered = np.empty_like(densities)
    with np.errstate(divide="ignore"):  # a state that cannot be: log 0 is minus infinity
        expected = np.log(hmm.startprob_)
        for t, density in enumerate(densities):
            weight = expected + density
            filtered[t] = np.exp(weight - weight.max())
            filtered[t] /= filtered[t].sum()
            expected = np.log(filtered[t] @ hmm.transmat_)
    return filtered


def state_features(filtered: Floats) -> Floats:
    """A run so far in 2K numbers: how long it has been in each state, and when it entered it.

    Args:
        filtered: (n, K) as `filtered_probabilities` gives them, of the run's first n checkpoints.

    Returns:
        (2K,): the mean probability of each state; then the time at which it was first the most
        likely, as a fraction of the n checkpoints, 1 for a state that never was.
    """
    leading = filtered.argmax(axis=1)
    entered = np.ones(filtered.shape[1])
    states, first = np.unique(leading, return_index=True)
    entered[states] = first / len(filtered)
    return np.concatenate([filtered.mean(axis=0), entered])
