"""Runs with an event and a chain of states, planted to belong together or not."""

from __future__ import annotations

import numpy as np

LENGTH = 120


def chain_and_events(
    seed: int, n_runs: int, spread: float, *, together: bool
) -> tuple[dict[int, np.ndarray], dict[int, int]]:
    """Paths 0-1-2 and an event of each run about when it goes from 0 to 1.

    Args:
        seed: of the draw.
        n_runs: how many.
        spread: standard deviation over runs, in checkpoints, of when the transitions happen.
        together: whether the event is within a checkpoint of the transition; if not, it is drawn
            about the same time, and as widely, but independently of it.
    """
    draw = np.random.default_rng(seed)

    def about(centre: float) -> np.ndarray:
        times = np.rint(draw.normal(centre, spread, n_runs)).astype(int)
        return np.clip(times, 2, LENGTH - 3)

    first, second, apart = about(45), about(85), about(45)
    second = np.maximum(second, first + 1)
    at = first + draw.integers(-1, 2, n_runs) if together else apart
    paths = {
        run: np.repeat([0, 1, 2], [first[run], second[run] - first[run], LENGTH - second[run]])
        for run in range(n_runs)
    }
    return paths, dict(enumerate(at.tolist()))
