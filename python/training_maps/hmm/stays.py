"""How long a run stays in a state: a prior on staying, and a minimum stay.

**The prior** (Fox, Sudderth, Jordan and Willsky 2011, at their limit of finitely many states). Each
row of the transition matrix has a Dirichlet prior of 1 + s for staying and 1 for each other state,
whose logarithm is s times the sum over k of log a_kk, up to a constant. The M-step that maximises
the expected objective counts s transitions from each state to itself that nobody saw.

**The minimum.** A state that lasts m rows at least is m sub-states in a line that all emit alike
(Langrock and Zucchini 2011). A run enters the first, goes on at every row, and may leave, or stay,
at the last only:

    (k, 1) -> (k, 2) -> ... -> (k, m) -> (k, m) with probability a_kk, -> (j, 1) with a_kj

The expanded chain is an ordinary Markov chain, so that likelihoods, posteriors and Viterbi paths
by forward-backward are exact. a_k are the probabilities *once the minimum is up*. Runs begin in a
first sub-state. The last stay of a run may be shorter than m, as the run ends first.

With s = 0 and m = 1, which are the defaults, nothing is computed differently.

Symbols: n rows, K states; sub-state i of state k, both from 0 on, is number k m + i.
"""

from __future__ import annotations

import numpy as np

from training_maps.hmm.inference import Expectation
from training_maps.utils.numbers import Floats, Ints


def updated_transitions(counts: Floats, transmat: Floats, stay_prior: float) -> Floats:
    """The M-step of the transition probabilities.

    Args:
        counts: (K, K) expected number of transitions.
        transmat: (K, K) probabilities so far; a state that nothing is counted of keeps its row.
        stay_prior: s, imagined transitions of each state to itself.

    Returns:
        (K, K) probabilities, rows sum to 1.
    """
    if stay_prior:
        counts = counts + stay_prior * np.eye(len(counts))
    leaving = counts.sum(axis=1, keepdims=True)
    used = leaving >= np.finfo(float).tiny
    return np.where(used, counts / np.where(used, leaving, 1), transmat)


def log_prior_of_stays(transmat: Floats, stay_prior: float) -> float:
    """The log prior of the transition probabilities, up to a constant."""
    if not stay_prior:
        return 0.0
    return stay_prior * float(np.log(np.diagonal(transmat)).sum())


def expanded_chain(startprob: Floats, transmat: Floats, minimum_stay: int) -> tuple[Floats, Floats]:
    """The chain of the sub-states.

    Args:
        startprob: (K,) probability of each state at a sequence's first row.
        transmat: (K, K) transition probabilities once the minimum stay is up.
        minimum_stay: m, how many rows a stay lasts at least.

    Returns:
        (K m,) and (K m, K m), likewise.
    """
    if minimum_stay == 1:
        return startprob, transmat
    first, last = _ends(len(startprob), minimum_stay)
    size = len(startprob) * minimum_stay
    start, chain = np.zeros(size), np.zeros((size, size))
    start[first] = startprob
    within = np.setdiff1d(np.arange(size), last)
    chain[within, within + 1] = 1.0
    chain[np.ix_(last, first)] = transmat
    chain[last, first] = 0.0
    chain[last, last] = np.diagonal(transmat)
    return start, chain


def expanded_density(log_density: Floats, minimum_stay: int) -> Floats:
    """Log densities (n, K) of rows under the states, as (n, K m) under the sub-states."""
    return log_density if minimum_stay == 1 else np.repeat(log_density, minimum_stay, axis=1)


def folded_expectation(found: Expectation, minimum_stay: int) -> Expectation:
    """What the E-step learned of the sub-states, as it concerns the states.

    The expected transitions are those from last sub-states, where a run might have gone elsewhere.
    """
    if minimum_stay == 1:
        return found
    n, size = found.posterior.shape
    states = size // minimum_stay
    first, last = _ends(states, minimum_stay)
    transitions = found.transitions[np.ix_(last, first)]
    transitions[np.diag_indices(states)] = found.transitions[last, last]
    posterior = found.posterior.reshape(n, states, minimum_stay).sum(axis=2)
    return Expectation(posterior, transitions, found.log_likelihood, found.redone)


def folded_log(log_probability: Floats, minimum_stay: int) -> Floats:
    """Log probabilities (n, K m) of the sub-states as those (n, K) of the states."""
    if minimum_stay == 1:
        return log_probability
    of_states = log_probability.reshape(len(log_probability), -1, minimum_stay)
    return np.asarray(np.logaddexp.reduce(of_states, axis=2))


def mean_transitions(transmat: Floats, minimum_stay: int) -> Floats:
    """Probabilities (K, K) from one row to the next, averaged over a stay.

    A stay of m rows at least lasts m - 1 + 1 / (1 - a_kk) rows on average, and ends once.
    """
    if minimum_stay == 1:
        return transmat
    leaving = 1 - np.diagonal(transmat)
    mean = transmat / (1 + (minimum_stay - 1) * leaving)[:, None]
    mean[np.diag_indices(len(mean))] = 0.0
    mean[np.diag_indices(len(mean))] = 1 - mean.sum(axis=1)
    return np.asarray(mean)


def _ends(states: int, minimum_stay: int) -> tuple[Ints, Ints]:
    """The numbers (K,) of the first and of the last sub-state of each state."""
    first = np.arange(states) * minimum_stay
    return first, first + minimum_stay - 1
