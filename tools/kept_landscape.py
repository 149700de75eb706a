"""The loss landscape along the kept checkpoints of an experiment's runs, thinned.

    python -m tools.kept_landscape results/modular_addition --every 5

writes `reference/modular_addition/landscape.parquet`: of each run that has checkpoints and of every
n-th of them `seed`, `step` and the metrics of the loss (`training.kept_landscape`). A run takes
its place in the file as it is done, and is not measured again: a call that was cut off goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from tools.reference_data import REFERENCE

from training_maps.runs.checkpoints import find_run
from training_maps.training.kept_landscape import kept_landscape
from training_maps.utils.files import replace_when_whole

FILE = "landscape.parquet"


def main() -> None:
    """Read the command line, and measure the runs that are not measured yet."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path, help="folder of an experiment's results")
    parser.add_argument("--output", type=Path, default=None, help="folder of its reference data")
    parser.add_argument("--every", type=int, default=1, help="take every n-th checkpoint")
    arguments = parser.parse_args()
    target = arguments.output or REFERENCE / arguments.results.resolve().name
    measure(arguments.results, target / FILE, arguments.every)


def measure(results: Path, file: Path, every: int) -> None:
    """Add to the table `file` what it does not have yet of the runs in `results`."""
    table = pd.read_parquet(file) if file.exists() else None
    known = set() if table is None else set(table["seed"])
    for folder in sorted(results.glob("runs/seed-*")):
        if not any((folder / "checkpoints").glob("step-*")):
            continue
        run = find_run(folder)
        if run.seed in known:
            continue
        steps = [checkpoint.step for checkpoint in run.checkpoints[::every]]
        rows = pd.DataFrame({"seed": run.seed, "step": steps, **kept_landscape(run, steps)})
        table = rows if table is None else pd.concat([table, rows], ignore_index=True)
        with replace_when_whole(file) as aside:
            table.to_parquet(aside, compression="zstd", index=False)


if __name__ == "__main__":
    main()
