"""Hidden Markov models against hmmlearn: an EM iteration, a whole selection, and memory.

    python -m benchmarks.bench_hmm

Both fit the same rows in the same process with the same number of threads (hmmlearn's code is
single-threaded but for what NumPy's BLAS does), from the same parameters; rounds go through both in
turn, so that a busy machine slows both alike. Tables give the fastest round, and the median of the
rounds' ratios.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks import print_table, versions
from training_maps.hmm.autoregressive import AutoregressiveHMM
from training_maps.hmm.covariances import COVARIANCES
from training_maps.hmm.gaussian import GaussianHMM
from training_maps.hmm.observations import Observations
from training_maps.model_selection.fit import fit_hmm

LENGTH, FEATURES = 1000, 14


def rows_of_runs(runs: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows (runs * 1000, 14) and lengths: five phases that blend into each other, and noise.

    As in training, runs pass from one phase to the next at times of their own, over tens of rows,
    and all metrics are mixtures of a few.
    """
    draw = np.random.default_rng(0)
    levels = np.cumsum(draw.normal(size=(5, FEATURES)), axis=0)
    mixing = draw.normal(size=(5, FEATURES))
    time_of_row = np.arange(LENGTH)[:, None]
    rows = []
    for _ in range(runs):
        middles = np.sort(draw.uniform(50, LENGTH - 50, size=4))
        widths = draw.uniform(10, 60, size=4)
        share = 1 / (1 + np.exp((middles - time_of_row) / widths))  # of each step up
        run = levels[0] + share @ np.diff(levels, axis=0)
        noise = np.cumsum(draw.normal(size=(LENGTH, 5)), axis=0) / np.sqrt(LENGTH)
        run += 0.3 * noise @ mixing + 0.05 * draw.normal(size=run.shape)
        rows.append((run - run.mean(axis=0)) / run.std(axis=0))
    return np.concatenate(rows), np.full(runs, LENGTH)


def seconds(function: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


GOAL = 20  # times hmmlearn an iteration


def iterations(states: int, runs: int, rounds: int) -> list[Sequence[object]]:
    """One EM iteration (E-step, M-step and check of convergence) of every covariance type."""
    x, lengths = rows_of_runs(runs)
    table: list[Sequence[object]] = []
    for kind in COVARIANCES:
        ours = GaussianHMM(states, kind, random_state=0, n_iter=3, tol=-np.inf).fit(x, lengths)
        data = ours._rows(x, lengths)
        theirs = ours.to_hmmlearn()
        theirs.init_params, theirs.tol = "", -np.inf

        def iterate(ours: GaussianHMM = ours, data: object = data) -> None:
            stats, _ = ours._estep(data)
            ours._mstep(stats)
            ours._log_prior()

        def fit(n_iter: int, theirs: object = theirs) -> None:
            theirs.n_iter = n_iter
            theirs.fit(x, lengths)

        iterate()
        times = [
            (seconds(iterate), seconds(lambda: fit(3)) - seconds(lambda: fit(1)))
            for _ in range(rounds)
        ]
        mine, hmmlearn = min(a for a, _ in times), min(b / 2 for _, b in times)
        ratio = statistics.median(b / 2 / a for a, b in times)
        goal = GOAL if kind == "full" else ""
        table.append([kind, f"{1e3 * mine:.1f}", f"{1e3 * hmmlearn:.1f}", f"{ratio:.1f}", goal])
    return table


def autoregressive(states: int, runs: int, rounds: int) -> list[Sequence[object]]:
    """One EM iteration of autoregressive states, which hmmlearn has not."""
    x, lengths = rows_of_runs(runs)
    table: list[Sequence[object]] = []
    for kind in ("full", "diag"):
        model = AutoregressiveHMM(states, kind, random_state=0, n_iter=3, tol=-np.inf)
        data = model.fit(x, lengths)._rows(x, lengths)

        def iterate(model: AutoregressiveHMM = model, data: object = data) -> None:
            stats, _ = model._estep(data)
            model._mstep(stats)
            model._log_prior()

        table.append([kind, f"{1e3 * min(seconds(iterate) for _ in range(rounds)):.1f}"])
    return table


def observed(runs: int) -> Observations:
    """The rows as observations, a fifth of the runs held out."""
    x, lengths = rows_of_runs(runs)
    metrics = [f"metric_{i}" for i in range(FEATURES)]
    table = pd.DataFrame(x, columns=metrics)
    table.insert(0, "seed", np.repeat(np.arange(runs), lengths))
    table.insert(1, "step", np.tile(np.arange(LENGTH), runs))
    held_out = table["seed"] >= runs - runs // 5
    table.insert(2, "split", np.where(held_out, "validation", "train"))
    return Observations(table, tuple(metrics))


def job(runs: int, states: int, restarts: int) -> pd.DataFrame:
    """The workflow's job of one number of states: all restarts, and their scores."""
    return fit_hmm(observed(runs), states, restarts=restarts).scores


def selection(runs: int, most: int, restarts: int, jobs: int) -> tuple[float, pd.DataFrame]:
    """Seconds and scores of a whole selection, with `jobs` processes of one thread each."""
    start = time.perf_counter()
    with ProcessPoolExecutor(jobs) as pool:
        # The largest first: it takes longest.
        tables = list(
            pool.map(job, [runs] * most, range(most, 0, -1), [restarts] * most, chunksize=1)
        )
    return time.perf_counter() - start, pd.concat(tables)


def hmmlearn_iteration(states: int, runs: int) -> float:
    """Seconds of one of hmmlearn's EM iterations at full covariance."""
    from hmmlearn.hmm import GaussianHMM as Hmmlearn

    x, lengths = rows_of_runs(runs)
    ours = GaussianHMM(states, "full", random_state=0, n_iter=3, tol=-np.inf).fit(x, lengths)
    model: Hmmlearn = ours.to_hmmlearn()
    model.init_params, model.tol = "", -np.inf

    def fit(n_iter: int) -> None:
        model.n_iter = n_iter
        model.fit(x, lengths)

    return (seconds(lambda: fit(5)) - seconds(lambda: fit(1))) / 4


def resident(name: str) -> float:
    """MiB of this process's memory: VmRSS now, VmHWM at most so far (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0]) / 1024


def fit_memory(model: type[GaussianHMM | AutoregressiveHMM], states: int, runs: int) -> float:
    """MiB that a fit needs at most beside its rows, what the extension allocates included."""
    x, lengths = rows_of_runs(runs)
    model(2, random_state=0, n_iter=1).fit(x[:100], [100])  # what is loaded once
    fit = model(states, "full", random_state=0, n_iter=2, tol=-np.inf)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the most so far is what is used now
    fit.fit(x, lengths)
    return resident("VmHWM") - before


def peak_memory(model: type[GaussianHMM | AutoregressiveHMM], states: int, runs: int) -> float:
    """`fit_memory` in a fresh process, in which nothing freed before can be used again."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(fit_memory, model, states, runs).result()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--jobs", type=int, default=2, help="processes of the whole selection")
    parser.add_argument("--skip-selection", action="store_true")
    options = parser.parse_args()
    print(versions("numpy", "hmmlearn") + "; one thread\n")
    with threadpool_limits(limits=1):
        print("One EM iteration, 32 runs of 1000 rows, 14 features, 6 states:\n")
        print_table(
            ["covariance", "ours, ms", "hmmlearn, ms", "times faster", "goal"],
            iterations(6, 32, options.rounds),
        )
        print("The same of autoregressive states:\n")
        print_table(["covariance", "ms"], autoregressive(6, 32, options.rounds))
        memory = [
            [model.name, states, f"{peak_memory(model, states, 32):.0f}"]
            for model in (GaussianHMM, AutoregressiveHMM)
            for states in (1, 8)
        ]
        print("Peak memory of a fit, full covariance, beside its rows (3.4 MiB):\n")
        print_table(["model", "states", "MiB"], memory)
    if options.skip_selection:
        return
    taken, scores = selection(40, 8, 5, options.jobs)
    counts = scores.groupby("n_states")["n_iterations"].agg(["sum", "mean"])
    steps = ", ".join(f"{mean:.0f}" for mean in counts["mean"])
    print(
        "Selection among 1 to 8 states, 5 restarts each, full covariance, 40 runs of 1000 rows (32 "
        f"to train): {taken:.0f} s with {options.jobs} processes of one thread. Mean iterations of "
        f"a fit, by number of states: {steps}; those of trial starts are not counted.\n"
    )
    with threadpool_limits(limits=1):
        one, eight = hmmlearn_iteration(1, 32), hmmlearn_iteration(8, 32)
    each = one + (eight - one) * (counts.index.to_numpy() - 1) / 7
    total = float((counts["sum"].to_numpy() * each).sum()) / options.jobs
    print(
        "The same over hmmlearn is not run but extrapolated: one of its iterations, measured, "
        f"takes {one:.2f} s with 1 state and {eight:.2f} s with 8. With as many iterations as "
        "above, numbers of states in between on a straight line, starts and scores left out, that "
        f"makes {total:.0f} s with {options.jobs} processes."
    )


if __name__ == "__main__":
    main()
