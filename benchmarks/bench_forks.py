"""How often the test of forks errs: false positives without an effect, and power with one.

Every set of runs has two forks, with each run's branches drawn at random, and convergence times
that are later by so many standard deviations on one branch of the first fork, or not at all. A
false positive is a set in which a fork that does not matter is said to predict convergence, at 5 %,
after Holm's correction, as `training_maps.analysis.forks` does it. `docs/concepts.md` states the
results.

    python -m benchmarks.bench_forks
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from benchmarks import print_table, versions
from training_maps.stats.permutation_test import holm, permutation_test

SETS = 1000
LEVEL = 0.05
Draw = Callable[[np.random.Generator, int], np.ndarray]
DRAWS: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "exponential": lambda rng, n: rng.exponential(size=n),
    # A third of the runs never converge, and count as their last step.
    "a third censored": lambda rng, n: np.minimum(rng.normal(size=n), 0.43),
}


def main() -> None:
    """Print a line for each number of runs, distribution and effect."""
    error = math.sqrt(LEVEL * (1 - LEVEL) / SETS)
    print(f"{versions('numpy')}; {SETS} sets each, standard error of 5 %: {error:.1%}\n")
    rows = []
    for n_runs in (10, 40):
        for name, draw in DRAWS.items():
            for effect in (0.0, 1.0, 2.0):
                wrong, right = shares(n_runs, draw, effect)
                rows.append(
                    [n_runs, name, effect, f"{wrong:.1%}", f"{right:.1%}" if effect else ""]
                )
    print_table(["runs", "convergence times", "effect (s.d.)", "false positives", "power"], rows)


def shares(n_runs: int, draw: Draw, effect: float) -> tuple[float, float]:
    """Shares of sets with a false positive, and with the true effect found."""
    rng = np.random.default_rng(0)
    wrong = right = 0
    for _ in range(SETS):
        forks = [deal(rng, n_runs), deal(rng, n_runs)]
        times = draw(rng, n_runs) + effect * forks[0]
        tests = [permutation_test(times, fork.tolist(), n_permutations=199) for fork in forks]
        first, second = (p < LEVEL for p in holm([test.p_value for test in tests]))
        right += first and effect > 0
        wrong += second or (first and effect == 0)
    return wrong / SETS, right / SETS


def deal(rng: np.random.Generator, n_runs: int) -> np.ndarray:
    """A branch, 0 or 1, of each run, drawn until both are taken."""
    while True:
        branch = rng.integers(0, 2, n_runs)
        if 0 < branch.sum() < n_runs:
            return branch


if __name__ == "__main__":
    main()
