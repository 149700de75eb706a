"""Runs through known maps: where they fork, which state is a detour, and when each run converges.

Every run has 100 checkpoints. How long it stays in a state is drawn anew for each; it converges
when it enters or leaves a state, give or take a checkpoint or so.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

N_CHECKPOINTS = 100

Run = tuple[list[int], float]


def simulate(
    draw: Callable[[np.random.Generator], Run], n_runs: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """State paths of seeds 0, 1, ..., and their convergence times as in `convergence.csv`.

    Args:
        draw: a run's states, in order, and its convergence time as a fraction of its length.
        n_runs: how many runs.
        seed: of the random numbers.
    """
    rng = np.random.default_rng(seed)
    states, times = zip(*(draw(rng) for _ in range(n_runs)), strict=True)
    at = np.clip(np.round(np.array(times) * N_CHECKPOINTS), 0, N_CHECKPOINTS)
    paths = pd.DataFrame(
        {
            "seed": np.repeat(np.arange(n_runs), N_CHECKPOINTS),
            "step": np.tile(10 * np.arange(N_CHECKPOINTS), n_runs),
            "state": np.concatenate(states),
        }
    )
    convergence = pd.DataFrame(
        {
            "seed": np.arange(n_runs),
            "step": (10 * at).astype(int),
            "epoch": at,
            "fraction": at / N_CHECKPOINTS,
            "converged": True,
        }
    )
    return paths, convergence


def stay(rng: np.random.Generator, mean: float) -> int:
    """Checkpoints in a state: a third of the mean is their standard deviation."""
    return max(1, int(rng.gamma(9, mean / 9)))


def ended(*stretches: tuple[int, int]) -> list[int]:
    """States by their stretches (state, length), the last one to the end."""
    states = [state for state, length in stretches for _ in range(length)]
    return (states + [stretches[-1][0]] * N_CHECKPOINTS)[:N_CHECKPOINTS]


def late(rng: np.random.Generator, checkpoints: int) -> float:
    """A time with the noise that convergence has."""
    return (checkpoints + rng.normal(0, 1.5)) / N_CHECKPOINTS


def detour(rng: np.random.Generator) -> Run:
    """0-2 or 0-1-2; it converges on entering 2, so that state 1 costs what it takes."""
    start, middle = stay(rng, 15), stay(rng, 25)
    if rng.random() < 0.5:
        return ended((0, start), (2, 1)), late(rng, start)
    return ended((0, start), (1, middle), (2, 1)), late(rng, start + middle)


def harmless(rng: np.random.Generator) -> Run:
    """0-2 or 0-2-1: it has converged when it comes to state 1, which costs nothing."""
    start, middle = stay(rng, 20), stay(rng, 25)
    if rng.random() < 0.5:
        return ended((0, start), (2, 1)), late(rng, start)
    return ended((0, start), (2, middle), (1, 1)), late(rng, start)


def linear(rng: np.random.Generator) -> Run:
    """0-1-2 in every run; it converges on entering 2."""
    start, middle = stay(rng, 15), stay(rng, 25)
    return ended((0, start), (1, middle), (2, 1)), late(rng, start + middle)


def unrelated(rng: np.random.Generator) -> Run:
    """The paths of `detour`, converging at a time that has nothing to do with them."""
    return detour(rng)[0], rng.uniform(0.1, 0.9)


def equal_branches(rng: np.random.Generator) -> Run:
    """0-1-2 or 0-3-2, which take equally long; it converges on entering 2."""
    start, middle = stay(rng, 15), stay(rng, 25)
    branch = 1 if rng.random() < 0.5 else 3
    return ended((0, start), (branch, middle), (2, 1)), late(rng, start + middle)


MAPS = (detour, harmless, linear, unrelated, equal_branches)


def short_cut(rng: np.random.Generator) -> Run:
    """0-1-3 or 0-2-3: 6 checkpoints in state 1, or 30 in state 2; it converges on entering 3."""
    start, fast = stay(rng, 15), rng.random() < 0.5
    way = stay(rng, 6 if fast else 30)
    return ended((0, start), (1 if fast else 2, way), (3, 1)), late(rng, start + way)


def noisy_short_cut(rng: np.random.Generator) -> Run:
    """The short cut, converging up to some checkpoints before or after it enters state 3."""
    states, time = short_cut(rng)
    return states, max(0.05, time + rng.normal(0, 0.04))


def lingering(rng: np.random.Generator) -> Run:
    """0-1-2 or 0-2, where runs without state 1 stay in 0 as much longer: it costs nothing."""
    start, middle = stay(rng, 15), stay(rng, 25)
    first = (0, start) if rng.random() < 0.5 else (0, start + middle)
    return ended(first, *([(1, middle)] if first[1] == start else []), (2, 1)), late(
        rng, start + middle
    )


def three_branches(rng: np.random.Generator) -> Run:
    """0-1-4, 0-2-4 or 0-3-4 of 8, 8 and 35 checkpoints; it converges on entering 4."""
    start, branch = stay(rng, 15), int(rng.integers(1, 4))
    way = stay(rng, 35 if branch == 3 else 8)
    return ended((0, start), (branch, way), (4, 1)), late(rng, start + way)


def slowing(rng: np.random.Generator) -> Run:
    """0-1-2-3 or 0-1-3, without a fork before state 1: state 2 costs what it takes."""
    start, middle = stay(rng, 10), stay(rng, 10)
    more = stay(rng, 25) if rng.random() < 0.5 else 0
    return ended((0, start), (1, middle), *([(2, more)] if more else []), (3, 1)), late(
        rng, start + middle + more
    )


def after_a_detour(rng: np.random.Generator) -> Run:
    """0-1-2-3 or 0-2-4: it converges on entering 2, so that state 3 marks the slow, too late."""
    start, middle, after = stay(rng, 15), stay(rng, 25), stay(rng, 15)
    if rng.random() < 0.5:
        return ended((0, start), (2, after), (4, 1)), late(rng, start)
    return ended((0, start), (1, middle), (2, after), (3, 1)), late(rng, start + middle)


#: A map and its delays.
DELAYS = {
    detour: (1,), harmless: (), linear: (), unrelated: (), equal_branches: (), short_cut: (2,),
    noisy_short_cut: (2,), lingering: (), three_branches: (3,), slowing: (2,), after_a_detour: (1,),
}  # fmt: skip
