"""Where EM starts: every row assigned to a state, by k-means or by cutting runs apart.

A start is a hard assignment of the rows to states; the model's emissions are then those of the rows
assigned (one M-step). Restarts take two kinds in turn, because each finds what the other misses:

- "k-means": clusters of alike rows, whenever they come, from greedy k-means++ seeds;
- "trials": the best of eight draws after five EM iterations each (emEM; Biernacki, Celeux and
  Govaert 2003). One draw is of k-means; for the other seven every run is cut at random places into
  K consecutive pieces, the first of all runs being the first state, and so on: states are stages of
  training until EM finds otherwise.

On the sparse parities of the default job (32 training runs, 101 checkpoints, 14 metrics, full
covariance) the pieces reach far better fits than k-means:

    states                                        3       4       5       6       8
    k-means++ seeds as means   median         25857   28453   29160   30330   32077
                               best           25857   28470   31622   32512   34621
    k-means                    median         25857   28039   29572   32141   34142
                               best           25857   29228   32029   33396   34345
    one draw of pieces         median         25876   28592   32015   34259   37645
                               best           25963   30056   32525   35249   38246
    trials                     median         25963   29478   32352   34655   38070
                               best           25963   29818   32783   35379   38632

(log-likelihood of the training runs and log prior together, nats; 10 restarts of the seeds and of
one draw, 6 of the others). On 9 simulated sets of 3 or 4 well-separated states that come and go,
5 restarts each, k-means finds the best fit 42 times of 45, trials 43 times, and trials of pieces
alone 27 times: which is why one draw is of k-means.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from training_maps.hmm.k_means import k_means
from training_maps.utils.numbers import Floats, Ints

Assignment = Literal["k-means", "pieces"]
Start = Literal["k-means", "trials"]
STARTS: tuple[Start, ...] = get_args(Start)

# What each kind of start draws, and how many EM iterations decide among several draws.
TRIALS: dict[Start, tuple[Assignment, ...]] = {
    "k-means": ("k-means",),
    "trials": ("k-means", *("pieces",) * 7),
}
TRIAL_ITERATIONS = 5
# Rounds of k-means at most: a start need not be a perfect clustering.
KMEANS_ROUNDS = 29


def start_of(restart: int) -> Start:
    """The kind of start of a restart (numbered from 0): k-means if even, trials if odd."""
    return STARTS[restart % len(STARTS)]


def assigned_states(
    kind: Assignment,
    X: Floats,
    lengths: Ints,
    states: int,
    draw: np.random.RandomState,
) -> Ints:
    """A state for every row.

    Args:
        kind: how states are assigned.
        X: (n, d) rows of all sequences, without missing entries.
        lengths: lengths of the sequences.
        states: number of states K.
        draw: source of randomness.

    Returns:
        (n,) states. Some state may have no row, if there are fewer distinct rows than states.
    """
    if kind == "pieces":
        return np.concatenate([_pieces(int(length), states, draw) for length in lengths])
    return _kmeans(X, states, draw)


def _pieces(length: int, states: int, draw: np.random.RandomState) -> Ints:
    """One run cut at random into a piece for every state; a run too short misses some states."""
    n_pieces = min(states, length)
    cuts = 1 + np.sort(draw.permutation(length - 1)[: n_pieces - 1])
    piece = np.searchsorted(cuts, np.arange(length), side="right")
    return np.sort(draw.choice(states, n_pieces, replace=False))[piece]


def _kmeans(X: Floats, states: int, draw: np.random.RandomState) -> Ints:
    """The cluster of each row, by Lloyd's algorithm from greedy k-means++ seeds."""
    return k_means(X, states, draw, KMEANS_ROUNDS)[0]
