"""Whether transitions of a map go with what progress measures say of modular addition.

    python -m tools.progress_events results/reference_modular_addition results/recommended/...

Nanda et al. 2023 tell three phases of this training by progress measures: the network memorises
(its loss falls without the waves of the key frequencies: `excluded_loss`), forms a circuit of these
waves (excluded loss rises, `restricted_loss` falls), and cleans up what it had memorised. Their
marks in each run (`MARKS`) are held against the transitions of a map's paths, by the test that is
used for memorisation and generalisation (`analysis.phases.coincidence`).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tools.reference_data import REFERENCE

from training_maps.analysis.phases.coincidence import coincidences
from training_maps.settings.sections import PhaseTransitionsSettings
from training_maps.utils.files import read_json, read_table, write_json

FOLDER = REFERENCE / "modular_addition"
MARKS = {
    "excluded_loss_lowest": "memorisation ends and the circuit begins: excluded loss is lowest",
    "restricted_loss_halved": "the circuit is half there: restricted loss is half of the first",
    "key_share_half": "half of the waves' power is in the key frequencies",
    "loss_halved": "cleanup: the loss over all sums has fallen to half of its largest value",
}


def main() -> None:
    """Read the command line, and write `progress.json` beside the measures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path, nargs="+", help="results of maps of these runs")
    arguments = parser.parse_args()
    measures = pd.read_parquet(FOLDER / "progress.parquet")
    found = {method_of(results): events_on(results, measures) for results in arguments.results}
    write_json(found, FOLDER / "progress.json")


def method_of(results: Path) -> str:
    """By which method a map was made: `recommended` or `paper`."""
    return "recommended" if "recommended" in results.parts else "paper"


def events_on(results: Path, measures: pd.DataFrame) -> dict[str, Any]:
    """For each mark its median step, the runs that have it, and what it coincides with most.

    Args:
        results: folder of an experiment's results, with a path of each run.
        measures: as `tools.progress_measures` writes them.
    """
    paths = read_table(results / "state_paths.csv", ("seed", "step", "state"))
    steps_per_epoch = read_json(FOLDER / "settings.json")["recipe"]["steps_per_epoch"]
    states, positions = {}, {name: {} for name in MARKS}  # type: ignore[var-annotated]
    for seed, rows in measures.groupby("seed"):
        path = paths[paths["seed"] == seed].sort_values("step")
        states[int(seed)] = path["state"].to_numpy()
        for name, step in marks(rows).items():
            if step is not None:
                at = int(np.searchsorted(path["step"], step))
                positions[name][int(seed)] = min(at, len(path) - 1)
    found = {}
    for name, events in positions.items():
        steps = [marks(rows)[name] for _, rows in measures.groupby("seed")]
        together = [
            one
            for one in coincidences(states, events, PhaseTransitionsSettings.tolerance)
            if one.transition is not None
        ]
        found[name] = {
            "n_runs": len(events),
            "median_epoch": float(np.median([s for s in steps if s is not None])) / steps_per_epoch,
            "transitions": [one.to_dict() for one in together],
        }
    return found


def marks(run: pd.DataFrame) -> dict[str, int | None]:
    """The step of each of `MARKS` in one run; None where it does not come to that."""
    run = run.sort_values("step")
    steps = run["step"].to_numpy()

    def first(there: np.ndarray) -> int | None:
        return int(steps[int(there.argmax())]) if there.any() else None

    restricted, whole = run["restricted_loss"].to_numpy(), run["loss"].to_numpy()
    after = np.arange(len(whole)) >= int(whole.argmax())
    return {
        "excluded_loss_lowest": int(steps[int(run["excluded_loss"].argmin())]),
        "restricted_loss_halved": first(restricted <= restricted[0] / 2),
        "key_share_half": first(run["key_share"].to_numpy() >= 0.5),
        "loss_halved": first(after & (whole <= whole.max() / 2)),
    }


if __name__ == "__main__":
    main()
