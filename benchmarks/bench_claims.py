"""How often each claim of a report is right or wrong, where it is known what there is to find.

Sets of runs that drift without states, go through a chain of states or part ways are simulated
(tests/support/simulated_training) and taken through the whole path, from tables of metrics to the
summary (tests/support/whole_path); then each claim is held against the truth
(tests/support/claims). `docs/concepts.md` shows the first table.

Each set's claims are kept, a line of JSON each, in `--output`; what is there is not computed again
as long as the code behind it is the same. So it can be stopped, and asked for more sets: one of
each kind, which `make bench` prints, tells no rates.

    python -m benchmarks.bench_claims --sets 40 --processes 2
    python -m benchmarks.bench_claims --sets 100 --methods paper --halves 0
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pandas as pd

from benchmarks import print_table, versions
from training_maps.settings.sections import METHODS, ReproducibilitySettings
from training_maps.utils.code_digest import STAGE_MODULES, stage_digest
from training_maps.utils.progress import Progress

KEPT = Path(__file__).parent / "results" / "claims.jsonl"
N_RUNS = (10, 20, 40, 100)
# The stages whose code the claims are of.
STAGES = ("observations", "hmm", "half", "structure", "map", "semantics", "forks",
          "phase_transitions", "reproducibility", "summary")  # fmt: skip
GROUPS = ("drift", "chain", "fork")


class Set(NamedTuple):
    """Which set of runs: kind, number of runs, seed of its random numbers; and how it is analysed.

    `halves` is how many pairs of halves of the runs there are; without them nothing is said of a
    verdict and of what is found again, in a tenth of the time.
    """

    kind: str
    n_runs: int
    seed: int
    method: str
    halves: int


def main() -> None:
    """Compute the sets that are missing, and print the tables."""
    options = _options()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("training_maps").setLevel(logging.WARNING)
    wanted = [
        Set(kind, n_runs, seed, name, options.halves)
        for seed in range(options.sets)
        for n_runs in options.runs
        for kind in options.kinds
        for name in options.methods
    ]
    compute(wanted, options.output, options.processes)
    kept = read(options.output, wanted)
    print(f"{versions('numpy', 'scikit-learn')}; claims {digest()}.\n")
    for name in options.methods:
        rows = [line for line in kept if line["method"] == name]
        print(f"Method: {name}. Sets of runs that make a claim, with 95 % intervals (Wilson).\n")
        show(rows, options.runs, by_kind=False)
        print("Verdicts, and of how many sets.\n")
        show_facts(rows, options.runs, verdicts)
        print("How many states are found: the median, and the fewest and most.\n")
        show_facts(rows, options.runs, states_found)
        if options.by_kind:
            show(rows, options.runs, by_kind=True)


def _options() -> argparse.Namespace:
    from tests.support.simulated_training import KINDS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=1, help="sets of each kind and number of runs")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--processes", type=int, default=cores, help="how many at a time")
    parser.add_argument("--runs", type=int, nargs="+", default=N_RUNS, help="runs of a set")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--methods", nargs="+", default=["recommended"], choices=list(METHODS))
    parser.add_argument("--halves", type=int, default=ReproducibilitySettings.halves,
                        help="pairs of halves of the runs; 0 for no verdict")  # fmt: skip
    parser.add_argument("--by-kind", action="store_true", help="a table by kind of runs too")
    parser.add_argument("--output", type=Path, default=KEPT, help="where claims are kept")
    return parser.parse_args()


@cache
def digest() -> str:
    """A digest of the code that makes and judges the claims."""
    here = Path(__file__).parents[1] / "tests" / "support"
    files = [
        here / "claims.py",
        here / "whole_path.py",
        *sorted((here / "simulated_training").glob("*.py")),
    ]
    parts = [stage_digest(stage) for stage in STAGES if stage in STAGE_MODULES]
    parts += [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]


def compute(wanted: Iterable[Set], output: Path, processes: int) -> None:
    """Append the claims of those wanted sets that `output` does not have."""
    wanted = list(wanted)
    has = {_set_of(line) for line in read(output, wanted)}
    missing = [one for one in wanted if one not in has]
    if not missing:
        return
    logging.getLogger("training_maps").setLevel(logging.INFO)
    progress = Progress(len(wanted), "set", "claims", done=len(has), interval=30)
    output.parent.mkdir(parents=True, exist_ok=True)
    if output.exists() and not output.read_text().endswith("\n"):
        with output.open("a") as file:  # after a line that a crash cut off
            file.write("\n")
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, _quiet) as pool, output.open("a") as file:
        for done, line in enumerate(pool.imap_unordered(judged, missing), start=len(has) + 1):
            file.write(json.dumps(line) + "\n")
            file.flush()
            progress.update(done)


def judged(which: Set) -> dict[str, Any]:
    """Simulate a set and judge what is claimed of it."""
    from tests.support.claims import Answers, facts, judge
    from tests.support.simulated_training import KINDS
    from tests.support.whole_path import analyse, settings_of

    begin = time.perf_counter()
    runs = KINDS[which.kind](which.n_runs, which.seed)
    with TemporaryDirectory() as folder:
        settings = settings_of(which.method, reproducibility={"halves": which.halves})
        answers = Answers.of(analyse(runs, Path(folder), settings))
    return {
        **which._asdict(),
        "digest": digest(),
        "seconds": round(time.perf_counter() - begin, 1),
        "facts": facts(answers),
        "claims": judge(answers, runs.truth),
    }


def read(path: Path, wanted: Collection[Set]) -> list[dict[str, Any]]:
    """The lines of wanted sets that this code made; a line cut off by a crash is none."""
    lines = []
    for text in path.read_text().splitlines() if path.exists() else ():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if line.get("digest") == digest() and _set_of(line) in wanted:
            lines.append(line)
    return lines


def show(lines: Iterable[Mapping[str, Any]], n_runs: Iterable[int], by_kind: bool) -> None:
    """Print how many sets make each claim, a column a number of runs, for each group or kind."""
    from tests.support.claims import CLAIMS

    n_runs = list(n_runs)
    made = pd.DataFrame(
        [
            (claim, line["kind"] if by_kind else group_of(line["kind"]), line["n_runs"], value)
            for line in lines
            for claim, value in line["claims"].items()
        ],
        columns=["claim", "of", "n_runs", "made"],
    )
    rows = []
    for claim in CLAIMS:
        of_claim = made[made["claim"] == claim.name]
        for name in of_claim["of"].drop_duplicates().sort_values(key=_place):
            of_kind = of_claim[of_claim["of"] == name]
            cells = [of_kind.loc[of_kind["n_runs"] == n, "made"].tolist() for n in n_runs]
            sets = sorted({len(cell) for cell in cells})
            sizes = f"{sets[0]} to {sets[-1]}" if len(sets) > 1 else sets[0]
            rows.append([claim.name, claim.wanted, name, sizes, *map(rate, cells)])
    print_table(["claim", "is", "runs that", "sets", *(f"{n} runs" for n in n_runs)], rows)


def show_facts(
    lines: Iterable[Mapping[str, Any]], n_runs: Iterable[int], tell: Callable[[list[Any]], str]
) -> None:
    """Print what is found, a row a kind of runs and a column a number of runs.

    Args:
        lines: of the sets.
        n_runs: numbers of runs.
        tell: what a cell says of the facts of its sets.
    """
    n_runs = list(n_runs)
    facts: dict[str, dict[int, list[Any]]] = {}
    for line in lines:
        facts.setdefault(line["kind"], {}).setdefault(line["n_runs"], []).append(line["facts"])
    kinds = pd.Series(list(facts), dtype=object).sort_values(key=_place)
    rows = [
        [kind, *(tell(facts[kind][n]) if n in facts[kind] else "–" for n in n_runs)]
        for kind in kinds
    ]
    print_table(["runs", *(f"{n} runs" for n in n_runs)], rows)


def states_found(facts: list[Any]) -> str:
    """How many states are found: the median, and the fewest and most."""
    states = [of_set["n_states"] for of_set in facts]
    return f"{median(states):g} ({min(states)} to {max(states)})"


def verdicts(facts: list[Any]) -> str:
    """Of how many sets each verdict is."""
    return ", ".join(
        f"{verdict or 'none'} {count}"
        for verdict, count in Counter(of_set["verdict"] for of_set in facts).most_common()
    )


def rate(made: Collection[bool]) -> str:
    """A share in percent with its 95 % interval: "8 % (3 to 20)"."""
    if not made:
        return "–"
    from scipy.stats import binomtest

    interval = binomtest(sum(made), len(made)).proportion_ci(method="wilson")
    within = f"{100 * interval.low:.0f} to {100 * interval.high:.0f}"
    return f"{100 * sum(made) / len(made):.0f} % ({within})"


def group_of(kind: str) -> str:
    """What a kind of runs does: "drift", "chain" (of states) or "fork"."""
    from tests.support.simulated_training import CHAINS, DRIFTS

    for group, kinds in zip(GROUPS, (DRIFTS, CHAINS), strict=False):
        if kind in {simulate.__name__ for simulate in kinds}:
            return group
    return GROUPS[-1]


def _place(names: pd.Series[str]) -> pd.Series[int]:
    """Where groups and kinds stand in a table."""
    from tests.support.simulated_training import KINDS

    order = {name: at for at, name in enumerate((*GROUPS, *KINDS))}
    return names.map(order)


def _set_of(line: Mapping[str, Any]) -> Set:
    return Set(*(line.get(name) for name in Set._fields))


def _quiet() -> None:
    """Of the stages, a process of sets says nothing."""
    logging.getLogger("training_maps").setLevel(logging.ERROR)


if __name__ == "__main__":
    main()
