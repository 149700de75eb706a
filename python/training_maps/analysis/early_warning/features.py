"""What is known of a run's states while it goes on, in a few numbers.

Viterbi paths and posteriors look at whole runs. These features come from the filtered probabilities
(`HiddenMarkovModel.log_filtered`), in which nothing after a checkpoint has a say.
"""

from __future__ import annotations

import numpy as np

from training_maps.utils.numbers import Floats


def state_features(filtered: Floats) -> Floats:
    """A run so far in 2K numbers: how long it has been in each state, and when it entered it.

    Args:
        filtered: (n, K) filtered probabilities of the states, of the run's first n checkpoints.

    Returns:
        (2K,): the mean probability of each state; then the time at which it was first the most
        likely, as a fraction of the n checkpoints, 1 for a state that never was.
    """
    leading = filtered.argmax(axis=1)
    entered = np.ones(filtered.shape[1])
    states, first = np.unique(leading, return_index=True)
    entered[states] = first / len(filtered)
    return np.concatenate([filtered.mean(axis=0), entered])
