"""What the restarts of one number of states say of each run.

A restart's row of the scores is a sum over runs. To tell how much a choice depends on which runs
were there to choose by, and whether restarts find the same states, their parts are kept: the
log-likelihood of every run, and the state of every checkpoint. They are stored beside the best
model's parameters (`training_maps.model_selection.fitted`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training_maps.hmm.observations import Observations
from training_maps.utils.numbers import Ints

if TYPE_CHECKING:
    from training_maps.hmm.base import HMM


# The split seed of the observations' own split.
OWN_SPLIT = -1
_ARRAYS = ("seeds", "lengths", "judging", "log_likelihood", "paths", "n_parameters", "split_seed")


@dataclass(frozen=True)
class Restarts:
    """Log-likelihoods and paths of all runs, under each restart of one number of states.

    Attributes:
        seeds: (M,) seeds of all runs, ascending.
        lengths: (M,) checkpoints of each run; they sum to n.
        judging: (M,) whether a run is one of those that the criteria are of: the validation runs,
            or all runs where none is held out.
        log_likelihood: (R, M) log-likelihood of each run under each restart, in nats.
        paths: (R, n) most likely (Viterbi) states, runs concatenated by ascending seed; of each
            restart, states are numbered in visiting order.
        n_parameters: free parameters of one model.
        split_seed: seed that drew the validation runs, or `OWN_SPLIT`.
    """

    seeds: NDArray[np.int64]
    lengths: NDArray[np.int64]
    judging: NDArray[np.bool_]
    log_likelihood: NDArray[np.float64]
    paths: NDArray[np.int64]
    n_parameters: int
    split_seed: int = OWN_SPLIT

    @property
    def best(self) -> int:
        """The restart with the best likelihood of the judging runs; of equals, the first."""
        return int(self.log_likelihood[:, self.judging].sum(axis=1).argmax())

    @classmethod
    def of(cls, hmms: Sequence[HMM], obs: Observations, split_seed: int = OWN_SPLIT) -> Restarts:
        """Score and decode every run under each of `hmms`, all of the same number of states."""
        x, lengths, seeds = obs.sequences()
        held_out = obs.sequences("validation")[2] if obs.has_validation else seeds
        return cls(
            seeds=np.array(seeds, dtype=np.int64),
            lengths=lengths,
            judging=np.isin(seeds, held_out),
            log_likelihood=np.array([hmm.score_each(x, lengths) for hmm in hmms]),
            paths=np.array([numbered_path(hmm, x, lengths) for hmm in hmms]),
            n_parameters=hmms[0].n_parameters(),
            split_seed=split_seed,
        )


def to_arrays(splits: Sequence[Restarts]) -> dict[str, Any]:
    """Restarts of several splits (S) as arrays with the split first, for a file."""
    arrays = {
        f"restarts_{name}": np.array([getattr(restarts, name) for restarts in splits])
        for name in _ARRAYS
    }
    arrays["restarts_paths"] = arrays["restarts_paths"].astype(np.uint16)
    return arrays


def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> tuple[Restarts, ...]:
    """What `to_arrays` was given.

    Raises:
        KeyError: if an array is missing.
        ValueError: if shapes disagree.
    """
    found = {name: arrays[f"restarts_{name}"] for name in _ARRAYS}
    if found["log_likelihood"].size == 0:  # a model of which nothing was kept
        return ()
    splits, restarts, runs = found["log_likelihood"].shape
    n = int(found["lengths"][0].sum())
    shapes = {
        "seeds": (splits, runs),
        "lengths": (splits, runs),
        "judging": (splits, runs),
        "paths": (splits, restarts, n),
        "n_parameters": (splits,),
        "split_seed": (splits,),
    }
    for name, shape in shapes.items():
        if found[name].shape != shape:
            raise ValueError(f"restarts_{name} has shape {found[name].shape}, expected {shape}")
    found["paths"] = found["paths"].astype(np.int64)
    return tuple(
        Restarts(
            **{name: found[name][split] for name in _ARRAYS[:5]},
            n_parameters=int(found["n_parameters"][split]),
            split_seed=int(found["split_seed"][split]),
        )
        for split in range(splits)
    )


def visiting_order(paths: Sequence[Ints], n_states: int) -> NDArray[np.int64]:
    """States in the order in which runs visit them.

    A state's place is the mean, over the runs that visit it, of its first visit; of equals, the
    one occupied earlier on average (over all its checkpoints) comes first. States that no run
    visits come last. Time is the position of a checkpoint in its run.

    Args:
        paths: each run's states, in order of time.
        n_states: number of states K.

    Returns:
        (K,) state numbers: the first becomes state 0.
    """
    visits: list[list[int]] = [[] for _ in range(n_states)]
    times: list[list[Ints]] = [[] for _ in range(n_states)]
    for path in paths:
        for state in np.unique(path):
            when = np.flatnonzero(np.asarray(path) == state)
            visits[state].append(int(when[0]))
            times[state].append(when)
    keys = [
        (np.mean(visits[k]), np.concatenate(times[k]).mean(), k) if visits[k] else (np.inf, 0.0, k)
        for k in range(n_states)
    ]
    return np.array([key[2] for key in sorted(keys)], dtype=np.int64)


def other_splits(obs: Observations, n: int) -> list[tuple[int, Observations]]:
    """The same runs, split again into training and validation.

    A split of seed s holds out the runs that `observations(..., split_seed=s)` holds out, as many
    as the observations' own split. Seeds are tried from 0 on; one that draws the same runs as the
    observations' own split or as an earlier seed is skipped.

    Args:
        obs: observations.
        n: how many splits.

    Returns:
        Split seed and observations of each; fewer than `n` if no others are found, none where no
        run is held out.
    """
    held_out = obs.sequences("validation")[2]
    if not held_out:
        return []
    seen = {frozenset(held_out)}
    splits: list[tuple[int, Observations]] = []
    for seed in range(100 * n):
        if len(splits) == n:
            break
        again = with_split(obs, seed)
        drawn = frozenset(again.sequences("validation")[2])
        if drawn not in seen:
            seen.add(drawn)
            splits.append((seed, again))
    return splits


def with_split(obs: Observations, split_seed: int) -> Observations:
    """The same runs, as many of them held out as before, drawn with another seed."""
    n_held_out = len(obs.sequences("validation")[2])
    drawn = np.random.default_rng(split_seed).permutation(obs.seeds)[:n_held_out]
    split = np.where(obs.table["seed"].isin(drawn), "validation", "train")
    return Observations(obs.table.assign(split=split), obs.metrics)


def numbered_path(
    hmm: HMM, x: NDArray[np.float64], lengths: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The states (n,) of all rows (n, d), numbered in the order in which runs visit them."""
    path = hmm.predict(x, lengths)
    order = visiting_order(np.split(path, np.cumsum(lengths)[:-1]), hmm.n_components)
    return np.argsort(order)[path]
