"""Forward-backward and Viterbi over many sequences at once, in Rust (`rust_metrics/hmm`).

Rows of all sequences are concatenated. The Rust crate says how probabilities are kept from
underflowing. A call works on one thread and lets other Python threads run meanwhile.

Symbols: n rows in all sequences together, K states.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training_maps._rust_metrics import forward_backward as _forward_backward
from training_maps._rust_metrics import log_likelihood as _log_likelihood
from training_maps._rust_metrics import viterbi as _viterbi
from training_maps.utils.numbers import Floats, Ints


@dataclass(frozen=True)
class Expectation:
    """What the E-step learns from the sequences.

    Attributes:
        posterior: (n, K) probability of each state at each row, given its whole sequence.
        transitions: (K, K) expected number of transitions from one state to another.
        log_likelihood: sum over the sequences.
        redone: indices of the sequences that underflowed and were redone in log space.
    """

    posterior: Floats
    transitions: Floats
    log_likelihood: float
    redone: tuple[int, ...] = ()


def expectation(
    lengths: Ints, startprob: Floats, transmat: Floats, log_density: Floats
) -> Expectation:
    """Posteriors and expected transitions of all sequences, by scaled forward-backward.

    Args:
        lengths: lengths of the sequences, each at least 1.
        startprob: (K,) probability of each state at a sequence's first row.
        transmat: (K, K) row-stochastic transition probabilities.
        log_density: (n, K) log density of each row under each state. A state may have minus
            infinity at a row, but not all states.

    Raises:
        ValueError: if shapes disagree, a probability is negative or not finite, or the largest
            log density of a row is not finite.
    """
    posterior, transitions, likelihood, redone = _forward_backward(
        np.ascontiguousarray(log_density), lengths.tolist(), *_chain(startprob, transmat)
    )
    return Expectation(posterior, transitions, likelihood, tuple(redone))


def log_likelihood(
    lengths: Ints, startprob: Floats, transmat: Floats, log_density: Floats
) -> float:
    """Log-likelihood of all sequences together; arguments and errors as for `expectation`."""
    likelihood: float = _log_likelihood(
        np.ascontiguousarray(log_density), lengths.tolist(), *_chain(startprob, transmat)
    )
    return likelihood


def log_likelihoods(
    lengths: Ints, startprob: Floats, transmat: Floats, log_density: Floats
) -> Floats:
    """Log-likelihood (M,) of each of M sequences; arguments and errors as for `expectation`."""
    runs = np.split(log_density, np.cumsum(lengths)[:-1])
    return np.array(
        [log_likelihood(np.array([len(run)]), startprob, transmat, run) for run in runs]
    )


def viterbi(
    lengths: Ints, startprob: Floats, transmat: Floats, log_density: Floats
) -> tuple[float, Ints]:
    """Most likely path of every sequence, in log space; arguments as for `expectation`.

    Returns:
        Sum over the sequences of the log joint density of path and rows, and the (n,) states. Of
        equally likely ways into a state, that from the lowest is taken.

    Raises:
        ValueError: if shapes disagree, or a probability is negative or not finite.
    """
    likelihood, states = _viterbi(
        np.ascontiguousarray(log_density), lengths.tolist(), *_chain(startprob, transmat)
    )
    return likelihood, states


def log_filtered(lengths: Ints, startprob: Floats, transmat: Floats, log_density: Floats) -> Floats:
    """Log probability (n, K) of each state at each row, given its sequence up to that row.

    Nothing later than a row has a say in it: the forward pass of the forward-backward algorithm, in
    log space, so that nothing underflows. With emission densities b and transition probabilities a,
    p(s_t = k | x_1..x_t) is proportional to b_k(x_t) sum_j p(s_t-1 = j | x_1..x_t-1) a_jk (Rabiner
    1989, section III.A). This one is in Python. Arguments as for `expectation`.
    """
    joint = np.array(log_density)
    with np.errstate(divide="ignore"):  # the logarithm of 0 is minus infinity
        log_start, log_transition = np.log(startprob), np.log(transmat)
    first = np.cumsum(lengths) - lengths
    for t in range(lengths.max()):
        rows = first[lengths > t] + t
        arriving = log_start
        if t:
            arriving = np.logaddexp.reduce(joint[rows - 1][:, :, None] + log_transition, axis=1)
        joint[rows] += arriving
        joint[rows] -= np.logaddexp.reduce(joint[rows], axis=1)[:, None]
    return joint


def _chain(startprob: Floats, transmat: Floats) -> tuple[Floats, Floats]:
    """The probabilities as the extension takes them."""
    return np.ascontiguousarray(startprob), np.ascontiguousarray(transmat)
