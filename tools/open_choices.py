"""What is found in modular addition as the paper's open choices are made otherwise, one at a time.

    python -m tools.open_choices

makes `reference/modular_addition/open_choices.json` of the reference data (a few minutes): for each
choice the map with the number of states that BIC chooses then, and the one with six states, the
paper's number, each compared with that of the choices made here (`analysis.sensitivity`).
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from tools.reference_data import REFERENCE, ROOT

from training_maps.analysis.semantics.outcomes import convergence_times, time_outcome
from training_maps.analysis.semantics.regression import regress
from training_maps.analysis.sensitivity.reanalysis import Reference, reanalyse
from training_maps.analysis.sensitivity.variants import AUTHORS_SUBSETS, OPEN_CHOICES, Variant
from training_maps.config.resolve import resolve
from training_maps.config.schema import load_schema
from training_maps.hmm.observations import Observations, observations
from training_maps.model_selection.select import select_hmm
from training_maps.runs.tables import read_logs, read_metrics
from training_maps.training_map.extraction import viterbi_paths
from training_maps.training_map.paths import state_shares
from training_maps.utils.files import read_json, write_json

NAME = "modular_addition"
FILE = "open_choices.json"
# How many states maps have: what BIC chooses, and as many as the paper's map has.
NUMBERS = {"bic": None, "six": 6}
#: Choices of how a model is fitted; those of what it sees are in `seen`.
FITS: dict[str, dict[str, Any]] = {
    name: changes for name, changes in OPEN_CHOICES.items() if name != "mean_of_restarts"
}
SUBSETS = {name: kept for name, kept in AUTHORS_SUBSETS.items() if name != "authors_all"}
THINNED = (2, 5, 10)
COLUMNS = (
    "n_states", "linear", "n_forks", "on_commonest_path", "n_detours", "r_squared", "p_value",
    "adjusted_rand_index",
)  # fmt: skip


def main() -> None:
    """Make the file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.parse_args()
    folder = REFERENCE / NAME
    seeds = list(range(read_json(folder / "settings.json")["n_runs"]))
    metrics = dict(read_metrics(f"{folder}/metrics.parquet", seeds))
    logs = dict(read_logs(f"{folder}/training_log.parquet", seeds))
    config = resolve({"experiments": [f"reference_{NAME}"]}, ROOT / "experiments", load_schema())
    settings = config.experiments[f"reference_{NAME}"]
    times = convergence_times(logs, settings["semantics"]["threshold"])
    found = choices(metrics, times, settings["hmm"])
    write_json(found, folder / FILE)


def choices(
    metrics: Mapping[int, pd.DataFrame], times: pd.DataFrame, hmm: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """For each of `NUMBERS` and each choice what was found; the choices made here come first.

    Args:
        metrics: of each run, `step` and the metrics.
        times: as `convergence_times` gives them.
        hmm: settings of `select_hmm`.
    """
    found: dict[str, dict[str, Any]] = {}
    for number, n_states in NUMBERS.items():
        fits = {**hmm, **({} if n_states is None else {"n_states": [n_states]})}
        here = own_states(observations(metrics), times, fits)
        rows = {}
        for obs, variant in seen(metrics):
            same = dataclasses.replace(here, paths=at_the_same_steps(here.paths, obs))
            row = reanalyse(obs, variant, same, **fits)
            rows[variant.name] = {column: row[column] for column in COLUMNS}
        found[number] = rows
    return found


def seen(metrics: Mapping[int, pd.DataFrame]) -> Iterator[tuple[Observations, Variant]]:
    """What the model sees under each choice, and the variant of the fits."""
    obs = observations(metrics)
    yield obs, Variant("here")
    for name, changes in FITS.items():
        yield obs, Variant(name, changes=changes)
    for name, kept in SUBSETS.items():
        yield obs, Variant(name, kept)
    yield observations(metrics, scale="pooled"), Variant("pooled_scale")
    for every in THINNED:
        thinned = {seed: table.iloc[::every] for seed, table in metrics.items()}
        yield observations(thinned), Variant(f"every_{every}")


def own_states(obs: Observations, times: pd.DataFrame, fits: Mapping[str, Any]) -> Reference:
    """The states that are found as the choices are made here, to compare with."""
    model = select_hmm(obs, **fits)
    paths = viterbi_paths(model)
    outcome = time_outcome(times, "eval_accuracy", 0.0)  # of the threshold only words hang
    fit = regress(state_shares(paths), outcome, alternatives=False)
    regression = {"r_squared": fit.r_squared, "detour_states": fit.detour_states}
    return Reference(paths, model.n_states, model.kind, outcome, regression, {})


def at_the_same_steps(paths: pd.DataFrame, obs: Observations) -> pd.DataFrame:
    """The rows of `paths` at the checkpoints that the observations have."""
    return paths.merge(obs.table[["seed", "step"]], on=["seed", "step"])


def summary(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """In how many of the choices each claim of the paper holds, and ranges of the numbers."""
    every = list(rows.values())
    r_squared = [row["r_squared"] for row in every if row["r_squared"] is not None]
    return {
        "n": len(every),
        "least_states": min(row["n_states"] for row in every),
        "most_states": max(row["n_states"] for row in every),
        "linear": sum(row["linear"] for row in every),
        "forks": sum(row["n_forks"] > 0 for row in every),
        "detours": sum(row["n_detours"] > 0 for row in every),
        "least_r_squared": min(r_squared),
        "most_r_squared": max(r_squared),
        "least_agreement": min(row["adjusted_rand_index"] for row in every),
    }


if __name__ == "__main__":
    main()
