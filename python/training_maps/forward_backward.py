"""Forward-backward and Viterbi over many sequences at once.

Sequences of unequal length are packed time by time: first the first row of every sequence, then
every second row, and so on, the longest sequence first. Rows of one time step are then one block,
the sequences still running at the next step are a prefix of it, and no padding is needed.

Symbols: n rows in all sequences together, K states, d features, T steps of the longest sequence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]

# How many steps of time probabilities may shrink before they are scaled up again.
STRIDE = 4
# Rows whose likelihood, relative to their best states' densities, fell below this since the last
# scaling mark a sequence whose probable path the rounding of tiny numbers to zero may have cut off.
UNDERFLOW = 1e-30


@dataclass(frozen=True)
class PackedSequences:
    """Rows of several sequences, in order of time.

    Attributes:
        rows: (n,) index of each packed row in the concatenated sequences.
        run: (n,) which sequence each packed row belongs to.
        counts: (T,) how many sequences have a row at each step; never rises.
        offsets: (T + 1,) where each step's block begins.
        previous: (n - number of sequences,) for every row after its sequence's first (these are
            the packed rows from `offsets[1]` on), the packed row before it.
    """

    rows: Ints
    run: Ints
    counts: Ints
    offsets: Ints
    previous: Ints

    @classmethod
    def from_lengths(cls, lengths: Ints) -> PackedSequences:
        """Pack sequences of these lengths (each at least 1), concatenated in this order."""
        lengths = np.asarray(lengths, dtype=np.int64)
        by_length = np.argsort(-lengths, kind="stable")
        starts = (np.cumsum(lengths) - lengths)[by_length]
        counts = np.array(
            [np.count_nonzero(lengths > t) for t in range(int(lengths.max()))], dtype=np.int64
        )
        rows = np.concatenate([starts[:m] + t for t, m in enumerate(counts)])
        return cls._of_counts(rows, np.concatenate([by_length[:m] for m in counts]), counts)

    def only(self, kept: NDArray[np.bool_]) -> PackedSequences:
        """Some of the sequences; `kept` (n,) marks all their rows, which stay in their order."""
        step = np.repeat(np.arange(len(self.counts)), self.counts)
        return self._of_counts(self.rows[kept], self.run[kept], np.bincount(step[kept]))

    @classmethod
    def _of_counts(cls, rows: Ints, run: Ints, counts: Ints) -> PackedSequences:
        offsets = np.concatenate([[0], np.cumsum(counts)])
        return cls(
            rows=rows,
            run=run,
            counts=counts,
            offsets=offsets,
            previous=np.concatenate(
                [np.arange(m) + offset for m, offset in zip(counts[1:], offsets, strict=False)]
                or [np.empty(0, dtype=np.int64)]
            ),
        )


@dataclass(frozen=True)
class Expectation:
    """What the E-step learns from the sequences.

    Attributes:
        posterior: (n, K) probability of each state at each packed row, given its whole sequence.
        transitions: (K, K) expected number of transitions from one state to another.
        log_likelihood: sum over the sequences.
        redone: indices of the sequences that underflowed and were redone in log space.
    """

    posterior: Floats
    transitions: Floats
    log_likelihood: float
    redone: Ints


def expectation(
    packed: PackedSequences, startprob: Floats, transmat: Floats, log_density: Floats
) -> Expectation:
    """Posteriors and expected transitions of all sequences, by scaled forward-backward.

    Each row's densities are divided by their maximum, so that densities of any size, as a narrow
    covariance in many dimensions gives, neither underflow nor overflow. Sequences whose path that
    does not save are done again in log space, which is slower.

    Args:
        packed: how the rows are packed.
        startprob: (K,) probability of each state at a sequence's first row.
        transmat: (K, K) row-stochastic transition probabilities.
        log_density: (n, K) log density of each packed row under each state, finite.
    """
    density, shift = _relative(log_density)
    later = int(packed.offsets[1])
    # What goes wrong here belongs to sequences that are found to have failed below.
    with np.errstate(all="ignore"):
        forward, scale = _forward(packed, startprob, transmat, density)
        backward, weight = _backward(packed, transmat, density, scale)
        posterior = np.multiply(forward, backward, out=backward)
        posterior /= _row_sums(posterior)[:, None]
        broken = ~((scale >= UNDERFLOW) & np.isfinite(_row_sums(posterior)))
        broken[later:] |= ~np.isfinite(_row_sums(weight))
    failed, lost = _sequences_of(packed, broken)
    if failed.size:
        posterior[lost] = forward[lost] = 0
        weight[lost[later:]] = 0
        scale[lost], shift[lost] = 1, 0
    likelihood = float((np.log(scale) + shift).sum())
    if packed.counts[0] == packed.counts[-1]:  # of equal lengths: no need to gather
        before = forward[: packed.offsets[-2]]
    else:
        before = forward.take(packed.previous, axis=0)
    transitions = transmat * (before.T @ weight)
    if failed.size:
        again = _log_expectation(packed.only(lost), startprob, transmat, log_density[lost])
        posterior[lost] = again.posterior
        transitions += again.transitions
        likelihood += again.log_likelihood
    return Expectation(posterior, transitions, likelihood, failed)


def log_likelihood(
    packed: PackedSequences, startprob: Floats, transmat: Floats, log_density: Floats
) -> float:
    """Log-likelihood of all sequences together; arguments as for `expectation`."""
    density, shift = _relative(log_density)
    with np.errstate(all="ignore"):
        _, scale = _forward(packed, startprob, transmat, density)
    failed, lost = _sequences_of(packed, ~(scale >= UNDERFLOW))
    if failed.size:
        scale[lost], shift[lost] = 1, 0
    likelihood = float((np.log(scale) + shift).sum())
    if failed.size:
        again = _log_expectation(packed.only(lost), startprob, transmat, log_density[lost])
        likelihood += again.log_likelihood
    return likelihood


def viterbi(
    packed: PackedSequences, startprob: Floats, transmat: Floats, log_density: Floats
) -> tuple[float, Ints]:
    """Most likely path of every sequence, in log space; arguments as for `expectation`.

    Returns:
        Sum over the sequences of the log joint density of path and rows, and the (n,) states of
        the packed rows. Of equally likely ways into a state, that from the lowest is taken.
    """
    log_start, log_transition = _log(startprob), _log(transmat)
    best = np.empty_like(log_density)
    came_from = np.zeros(log_density.shape, dtype=np.int64)
    for t, count in enumerate(packed.counts.tolist()):
        rows = slice(int(packed.offsets[t]), int(packed.offsets[t]) + count)
        if t == 0:
            best[rows] = log_start + log_density[rows]
            continue
        before = int(packed.offsets[t - 1])
        ways = best[before : before + count, :, None] + log_transition
        came_from[rows] = ways.argmax(axis=1)
        best[rows] = ways.max(axis=1) + log_density[rows]
    path = best.argmax(axis=1)  # right at the last row of each sequence, replaced before it
    for t in range(len(packed.counts) - 1, 0, -1):
        block = np.arange(packed.offsets[t], packed.offsets[t + 1])
        before = int(packed.offsets[t - 1])
        path[before : before + len(block)] = came_from[block, path[block]]
    last = np.ones(len(path), dtype=bool)
    last[packed.previous] = False
    return float(best[last].max(axis=1).sum()), path


def _log_expectation(
    packed: PackedSequences, startprob: Floats, transmat: Floats, log_density: Floats
) -> Expectation:
    """`expectation` in log space, which neither underflows nor overflows."""
    log_start, log_transition = _log(startprob), _log(transmat)
    forward = np.empty_like(log_density)
    for t, count in enumerate(packed.counts.tolist()):
        begin = int(packed.offsets[t])
        arriving: Floats = log_start
        if t:
            before = int(packed.offsets[t - 1])
            arriving = _log_sum(forward[before : before + count, :, None] + log_transition, 1)
        forward[begin : begin + count] = arriving + log_density[begin : begin + count]
    backward = np.zeros_like(log_density)
    for t in range(len(packed.counts) - 1, 0, -1):
        begin, end = int(packed.offsets[t]), int(packed.offsets[t + 1])
        before = int(packed.offsets[t - 1])
        ahead = (log_density[begin:end] + backward[begin:end])[:, None, :] + log_transition
        backward[before : before + end - begin] = _log_sum(ahead, 2)
    # Summed over the states at any row, this is the likelihood of that row's whole sequence.
    likelihood = _log_sum(forward + backward, 1)
    later = slice(int(packed.offsets[1]), None)
    log_joint = (
        (forward[packed.previous] - likelihood[packed.previous, None])[:, :, None]
        + log_transition
        + (log_density[later] + backward[later])[:, None, :]
    )
    return Expectation(
        posterior=np.exp(forward + backward - likelihood[:, None]),
        transitions=np.exp(log_joint).sum(axis=0),
        log_likelihood=float(likelihood[: packed.counts[0]].sum()),
        redone=np.unique(packed.run),
    )


def _relative(log_density: Floats) -> tuple[Floats, Floats]:
    """Each row's densities (n, K) as shares of their maximum, and the maximum's logarithm (n,)."""
    shift = log_density[:, 0].copy()
    for column in log_density.T[1:]:  # several times as fast as a maximum along the short axis
        np.maximum(shift, column, out=shift)
    with np.errstate(under="ignore"):
        density = log_density - shift[:, None]
        return np.exp(density, out=density), shift


def _row_sums(values: Floats) -> Floats:
    """Sums (n,) of the rows of (n, K): a matrix product is faster than a sum over a short axis."""
    return values @ np.ones(values.shape[1])


def _sequences_of(
    packed: PackedSequences, broken: NDArray[np.bool_]
) -> tuple[Ints, NDArray[np.bool_]]:
    """The sequences with a broken row, and (n,) which rows are theirs."""
    if not broken.any():
        return np.empty(0, dtype=np.int64), broken
    failed = np.unique(packed.run[broken])
    return failed, np.isin(packed.run, failed)


def _log(probability: Floats) -> Floats:
    """Logarithm; minus infinity of 0."""
    with np.errstate(divide="ignore"):
        return np.log(probability)


def _log_sum(values: Floats, axis: int) -> Floats:
    """log(sum(exp(values))) along an axis; minus infinity where all are."""
    peak = values.max(axis=axis, keepdims=True)
    peak = np.where(np.isfinite(peak), peak, 0.0)
    with np.errstate(under="ignore"):
        return _log(np.exp(values - peak).sum(axis=axis)) + np.squeeze(peak, axis)


def _forward(
    packed: PackedSequences, startprob: Floats, transmat: Floats, density: Floats
) -> tuple[Floats, Floats]:
    """Scaled forward probabilities (n, K), and by what each row was divided, (n,).

    Every `STRIDE` steps, and where sequences end, rows are divided by their sum: the probability of
    a sequence's rows since the last time, given those before. Other rows have scale 1. A row that
    no state allows has scale 0, and what follows it in its sequence is not a number. The loop is
    over time, so that a step costs what its calls cost: they are few, and write in place.
    """
    forward = np.empty_like(density)
    scale = np.ones((len(density), 1))
    ones = np.ones((len(startprob), 1))
    counts = [*packed.counts.tolist(), 0]
    begin = before = 0
    for t, count in enumerate(counts[:-1]):
        joint = forward[begin : begin + count]
        if t:
            forward[before : before + count].dot(transmat, joint)
        else:
            joint[:] = startprob
        joint *= density[begin : begin + count]
        if t % STRIDE == 0 or counts[t + 1] < count:
            total = scale[begin : begin + count]
            joint.dot(ones, total)
            joint /= total
        before, begin = begin, begin + count
    return forward, scale[:, 0]


def _backward(
    packed: PackedSequences, transmat: Floats, density: Floats, scale: Floats
) -> tuple[Floats, Floats]:
    """Scaled backward probabilities (n, K); and, per row after a first, density * backward / scale.

    The second array (n - number of sequences, K) is what expected transitions need. It takes the
    place of `density`.
    """
    backward = np.empty_like(density)
    weight = density
    weight /= scale[:, None]
    back_transition = np.ascontiguousarray(transmat.T)
    offsets = packed.offsets.tolist()
    backward[offsets[-2] :] = 1
    for t in range(len(offsets) - 2, 0, -1):
        before, begin, end = offsets[t - 1 : t + 2]
        backward[before + end - begin : begin] = 1  # where sequences end
        block = weight[begin:end]
        block *= backward[begin:end]
        block.dot(back_transition, backward[before : before + end - begin])
    return backward, weight[offsets[1] :]
