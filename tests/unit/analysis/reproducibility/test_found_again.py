"""What of a map halves have too: matching against all ways to match, forks and delays by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from tests.support.known_chains import paths_of, run_of
from training_maps.analysis.forks import find_forks
from training_maps.analysis.reproducibility.found_again import (
    ALIKE,
    found_again,
    matched_states,
    parts_alike,
    runs_of_transitions,
)


def matched_by_trying(a: np.ndarray, b: np.ndarray) -> dict[int, int]:
    """Of all one-to-one matches the one whose Jaccard indices have the largest sum."""
    states = range(max(a.max(), b.max()) + 1)

    def index(i: int, j: int) -> float:
        in_a, in_b = set(np.flatnonzero(a == i)), set(np.flatnonzero(b == j))
        return len(in_a & in_b) / max(len(in_a | in_b), 1)

    best = max(
        itertools.permutations(states), key=lambda p: sum(index(i, j) for i, j in enumerate(p))
    )
    return {i: j for i, j in enumerate(best) if index(i, j) >= ALIKE}


@pytest.mark.parametrize("seed", range(20))
def test_states_are_matched_as_by_trying_all(seed: int) -> None:
    draw = np.random.default_rng(seed)
    a = draw.integers(0, 4, size=60)
    kept = draw.random(60) < draw.uniform(0.5, 1)
    b = np.where(kept, np.array([2, 0, 3, 1])[a], draw.integers(0, 5, size=60))
    assert matched_states(a, b) == matched_by_trying(a, b)


def test_a_state_that_a_half_splits_evenly_is_not_found() -> None:
    a = np.array([0] * 10 + [1] * 10)
    b = np.array([2] * 10 + [0] * 5 + [1] * 5)
    assert matched_states(a, b) in ({0: 2, 1: 0}, {0: 2, 1: 1})  # one half: just enough
    b[14] = 1
    assert matched_states(a, b) == {0: 2, 1: 1}
    b = np.array([2] * 10 + [0] * 4 + [1] * 4 + [2] * 2)
    assert matched_states(a, b) == {0: 2}


def test_transitions_are_taken_by_runs_and_not_across_them() -> None:
    paths = paths_of([0, 0, 1], [2, 1, 2], [0, 1, 0, 1])
    assert runs_of_transitions(paths) == {(0, 1): {0, 2}, (2, 1): {1}, (1, 2): {1}, (1, 0): {2}}


def flattened(runs: list[list[int]], names: dict[int, int] | None = None) -> np.ndarray:
    names = names or {}
    return np.array([names.get(state, state) for run in runs for state in run])


FORK = [run_of(0, 1, 3)] * 6 + [run_of(0, 2, 3)] * 6


def shares(rows: list[dict[str, float]]) -> dict[object, float]:
    return {row.get("state", (row.get("from"), row.get("to"))): row["share"] for row in rows}


def test_what_a_half_calls_otherwise_is_found_again() -> None:
    other = flattened(FORK, {0: 3, 1: 0, 2: 1, 3: 2})
    found = found_again(paths_of(*FORK), [other])
    assert shares(found["states"]) == dict.fromkeys(range(4), 1.0)
    assert shares(found["transitions"]) == dict.fromkeys([(0, 1), (0, 2), (1, 3), (2, 3)], 1.0)
    assert shares(found["forks"]) == {0: 1.0}
    assert found["delays"] == []


def test_shares_count_the_halves_that_have_it() -> None:
    one_way = flattened(FORK, {1: 2})
    found = found_again(paths_of(*FORK), [flattened(FORK), one_way, one_way, flattened(FORK)])
    assert shares(found["states"])[0] == shares(found["states"])[3] == 1.0
    assert shares(found["forks"]) == {0: 0.5}
    # A state for both branches can be one of the two at most.
    assert sorted(shares(found["states"])[state] for state in (1, 2)) == [0.5, 1.0]
    assert found_again(paths_of(*FORK), [one_way])["forks"] == [{"state": 0, "share": 0.0}]


def test_a_fork_that_parts_other_runs_is_not_found() -> None:
    """The same states and numbers of runs, but each branch has half of the other's runs."""
    shuffled = [FORK[i] for i in (0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11)]
    found = found_again(paths_of(*FORK), [flattened(shuffled)])
    assert shares(found["states"])[0] == 1.0
    assert shares(found["forks"]) == {0: 0.0}
    assert shares(found["transitions"])[0, 1] == 0.0


def test_runs_that_end_before_a_half_s_fork_are_a_branch_of_their_own() -> None:
    (fork,) = find_forks(paths_of(*FORK))
    (same,) = find_forks(paths_of(*FORK))
    assert parts_alike(fork, same)
    ended = [run_of(0)] * 6 + [run_of(0, 1)] * 3 + [run_of(0, 2)] * 3
    (other,) = find_forks(paths_of(*ended))
    assert parts_alike(fork, other)  # those of one branch, and two parts of the other: index 0.72
    ended = ([run_of(0)] * 3 + [run_of(0, 1)] * 3) + ([run_of(0)] * 3 + [run_of(0, 2)] * 3)
    (other,) = find_forks(paths_of(*ended))
    assert not parts_alike(fork, other)  # those that end are of both branches: index 0.15


def test_a_delay_is_found_where_the_match_is_one() -> None:
    paths = paths_of(*FORK)
    names = {0: 3, 1: 0, 2: 1, 3: 2}

    def longest_branch(table: pd.DataFrame) -> list[int]:
        """State 1 on the map, whatever it is called, if seed 0 is in it at step 6."""
        row = table[(table["seed"] == 0) & (table["step"] == 6)]
        return row["state"].tolist()

    found = found_again(paths, [flattened(FORK, names), flattened(FORK, {1: 0})], longest_branch)
    assert found["delays"] == [{"state": 1, "share": 0.5}]
