"""Which runs do not behave like the rest, by the states that they are in and in which order.

What a run does is described by its *order shares*: choose two moments of the run at random, and ask
in which state it is at the earlier and at the later one. The shares of all answers contain how long
the run is in each state (share_j squared is the share of "j, then j") and what comes before what
("j, then k" against "k, then j"). They do not depend on the run's length, on the numbers of states,
or on a brief flicker. Two runs are apart by the total variation between their order shares, in
[0, 1].
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from training_maps.result_tables import OUTLIER_COLUMNS, typed
from training_maps.stats.optimal_transport import mean_apart
from training_maps.training_map.paths import check_state_paths, state_shares

# Fewer runs have no rest that one of them could differ from.
FEWEST_RUNS = 4
# Runs that keep each other company in a larger share than this are a group, not outliers.
LARGEST_GROUP = 0.2
# How much further from company than usual an outlier is: in units of the usual excess, ...
EXCESSES = 10
# ... and in order shares, where runs are so alike that any difference would stand out.
LEAST_DIFFERENCE = 0.1
# Of the fewest runs one is an outlier if it is this many times as far from each of the others as
# these are from each other: four runs have no usual excess, for two of the four would be "usual".
TIMES_AS_FAR = 6
_RUNS_AT_ONCE = 1000


def outlier_runs(state_paths: pd.DataFrame) -> pd.DataFrame:
    """Find the runs that do not behave like the rest.

    A run's isolation is its distance (see the module) from the k-th nearest other run, where k is a
    fifth of the runs, rounded down, and at least 1. A run is an outlier if its isolation exceeds
    the median isolation m by more than 10 times the usual excess (the median of isolation - m over
    the runs that have at least m), and by more than 0.1.

    So a run is an outlier if few others do what it does, whatever the rest does: of two groups of
    runs neither is one, unless it holds at most a fifth of the runs. Where most runs are identical
    the usual excess is 0, and a difference of 0.1 decides.

    Of 4 runs, one is an outlier if it is more than 6 times as far from each of the other three as
    any two of these are from each other, and more than 0.1. Of fewer than 4 runs none is one.

    Args:
        state_paths: table of `seed`, `step`, `state`, one row a checkpoint, in any order. Only the
            order of a run's steps counts, and only whether two states are the same.

    Returns:
        Table of `seed` (ascending), `mean_dissimilarity` (mean over the other runs of the
        Wasserstein-1 distance between shares of time in the states, states being 0 or 1 apart; NaN
        of a lone run) and `is_outlier`.

    Raises:
        InputError: if the table is empty, lacks a column, holds anything but whole numbers, or
            has a seed's step twice.
    """
    state_paths = check_state_paths(state_paths)
    shares = state_shares(state_paths)
    table = pd.DataFrame(
        {
            "seed": shares.index.to_numpy(),
            "mean_dissimilarity": mean_apart(shares.to_numpy()) / 2,
            "is_outlier": _far_from_company(order_shares(state_paths)),
        }
    )
    return typed(table, OUTLIER_COLUMNS)


def order_shares(state_paths: pd.DataFrame) -> np.ndarray:
    """Of two random moments of a run, the share of "earlier in j, later in k", for all j and k.

    Each checkpoint stands for a stretch of time of equal length, in which two moments may fall too;
    so a run whose checkpoints are all doubled has the same shares.

    Args:
        state_paths: table of `seed`, `step`, `state`.

    Returns:
        Shape (n_runs, n_states²), runs by ascending seed; each row sums to 1.
    """
    ordered = state_paths.sort_values(["seed", "step"])
    states = np.unique(ordered["state"], return_inverse=True)[1]
    runs = np.unique(ordered["seed"], return_index=True)[1]
    rows = []
    for path in np.split(states, runs[1:]):
        visits = np.eye(states.max() + 1)[path]
        before = visits.cumsum(axis=0) - visits
        pairs = 2 * before.T @ visits + np.diag(visits.sum(axis=0))
        rows.append(pairs.ravel() / len(path) ** 2)
    return np.array(rows)


def _far_from_company(shares: np.ndarray) -> np.ndarray:
    """Which of n runs are outliers, (n,), by their order shares (n, k)."""
    n_runs = len(shares)
    if n_runs < FEWEST_RUNS:
        return np.zeros(n_runs, dtype=bool)
    if n_runs == FEWEST_RUNS:
        return _unlike_three_others(_total_variation(shares, shares))
    company = max(1, int(LARGEST_GROUP * n_runs))
    # Distances of so many runs at a time, so that memory does not grow with the square of the runs.
    isolation = np.concatenate(
        [
            # Sorted, each row begins with the run's distance from itself.
            np.partition(_total_variation(some, shares), company, axis=1)[:, company]
            for some in np.array_split(shares, -(-n_runs // _RUNS_AT_ONCE))
        ]
    )
    middle = np.median(isolation)
    usual = np.median((isolation - middle)[isolation >= middle])
    return isolation - middle > max(EXCESSES * usual, LEAST_DIFFERENCE)


def _total_variation(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Between all rows of (m, k) and of (n, k), as (m, n)."""
    from scipy.spatial.distance import cdist

    return cdist(some, others, "cityblock") / 2


def _unlike_three_others(distances: np.ndarray) -> np.ndarray:
    """Which of 4 runs, (4,), is starkly apart from three that are alike."""
    found = np.zeros(FEWEST_RUNS, dtype=bool)
    for run in range(FEWEST_RUNS):
        others = np.delete(np.arange(FEWEST_RUNS), run)
        among = distances[np.ix_(others, others)].max()
        found[run] = distances[run, others].min() > max(TIMES_AS_FAR * among, LEAST_DIFFERENCE)
    return found
