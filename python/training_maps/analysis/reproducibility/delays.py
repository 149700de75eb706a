"""Delays of other state paths than the experiment's own, by the experiment's outcomes."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from training_maps.analysis.reproducibility.found_again import FindDelays
from training_maps.analysis.semantics.delays import delays
from training_maps.analysis.semantics.outcomes import Outcome
from training_maps.utils.files import read_json, read_table


def delays_by(results: str | os.PathLike[str]) -> FindDelays | None:
    """What names the delays of state paths of the same runs; None where the outcome is no time.

    Args:
        results: the folder with the experiment's outcomes.csv, convergence.csv and regression.json.
    """
    folder = Path(results)
    about = read_json(folder / "regression.json").get("outcome")
    if not about or not about["is_time"]:
        return None
    per_run = read_table(folder / "outcomes.csv", columns=("seed", "outcome", "censored"))
    convergence = read_table(folder / "convergence.csv", columns=("seed", "step"))
    steps = convergence.set_index("seed")["step"]
    outcome = Outcome(
        kind=about["kind"],
        name=about["name"],
        unit=about["unit"],
        larger_means=about["larger_means"],
        per_run=per_run[["seed", "outcome", "censored"]],
        column="",
        direction=None,
    )

    def find(paths: pd.DataFrame) -> Collection[int]:
        known = paths[paths["seed"].isin(per_run["seed"])]
        found = delays(known, outcome, steps)
        return [int(state) for state in found.loc[found["is_delay"].astype(bool), "state"]]

    return find
