"""Runs from memory through the stages of the workflow, in one process, to results in a folder.

The stages' commands are called as the rules call them, with the settings of a method, so that what
comes out is what a report would say. No training, figures or pages are made.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from tests.support.simulated_training import SimulatedRuns
from training_maps.config.arguments import STAGES, options_of
from training_maps.model_selection.criteria import FOUND_AGAIN, Candidate, all_candidates
from training_maps.model_selection.select import file_stem
from training_maps.reproducibility.halves import n_fits
from training_maps.results import ExperimentResults
from training_maps.settings.fields import defaults_of
from training_maps.settings.sections import METHODS
from training_maps.utils.seeds import format_seeds, parse_seeds

Settings = dict[str, dict[str, Any]]


def settings_of(method: str, **changed: Mapping[str, Any]) -> Settings:
    """All sections' settings under a method, with some changed."""
    settings: Settings = {}
    for sections in STAGES.values():
        for section, cls, _ in sections:
            settings.setdefault(section, {}).update(defaults_of(cls))
    for told in (METHODS[method], changed):
        for section, values in told.items():
            settings[section].update(values)
    return settings


def analyse(runs: SimulatedRuns, folder: Path, settings: Settings) -> ExperimentResults:
    """Fit and choose a model, draw the map and ask all questions of it.

    Args:
        runs: a set.
        folder: where results are written; exists and is empty.
        settings: as `settings_of` gives them.
    """
    write_runs(runs, folder)
    observed = folder / "observations.parquet"
    seeds = format_seeds(list(runs.tables))
    told = options_of("observations", settings)
    stage("observations", "--runs", folder / "runs", "--seeds", seeds, *told, "--output", observed)
    tried = all_candidates(
        settings["hmm"]["model"], parse_seeds(settings["hmm"]["n_states"], "n_states")
    )
    for candidate in tried:
        _fit(candidate, folder, settings)
    halves = _halves(len(runs.tables), folder, settings)
    chosen_by = []
    if halves:
        structure = folder / "structure.json"
        told = options_of("structure", settings)
        stage("structure", "--halves", *halves, "--observations", observed, *told,
              "--output", structure)  # fmt: skip
        if settings["hmm"]["criterion"] == FOUND_AGAIN:
            chosen_by = ["--structure", structure]
    stage(
        "map", "--observations", observed, "--models", folder / "hmm", *chosen_by,
        *options_of("map", settings), "--experiment", "simulated",
        "--selection", folder / "hmm" / "model_selection.csv",
        "--stability", folder / "hmm" / "stability.json",
        "--output", folder / "training_map.json", "--state-paths", folder / "state_paths.csv",
    )  # fmt: skip
    return _ask(folder, settings, halves)


def analyse_paths(
    runs: SimulatedRuns, paths: pd.DataFrame, folder: Path, settings: Settings
) -> ExperimentResults:
    """Ask all questions of given state paths: what a model would lead to that finds them."""
    write_runs(runs, folder)
    given = folder / "given.csv"
    paths.to_csv(given, index=False)
    stage("state_paths", "--table", given, "--experiment", "simulated",
          "--output", folder / "training_map.json",
          "--state-paths", folder / "state_paths.csv")  # fmt: skip
    return _ask(folder, settings, [])


def write_runs(runs: SimulatedRuns, folder: Path) -> None:
    """Write each run's metrics and log where the stages look for them."""
    for seed, table in runs.tables.items():
        of_run = folder / "runs" / f"seed-{seed}"
        of_run.mkdir(parents=True)
        table.to_parquet(of_run / "metrics.parquet")
        runs.logs[seed].to_parquet(of_run / "training_log.parquet")


def stage(name: str, *words: object) -> None:
    """Run a stage's command; its messages go to the package's logger, whatever that does."""
    command = importlib.import_module(f"training_maps.commands.{name}")
    parser = argparse.ArgumentParser(name)
    command.add_arguments(parser)
    command.run(parser.parse_args([str(word) for word in words]))


def _fit(candidate: Candidate, folder: Path, settings: Settings) -> None:
    stem = folder / "hmm" / file_stem(candidate)
    stem.parent.mkdir(exist_ok=True)
    stage(
        "hmm", "--observations", folder / "observations.parquet",
        "--n-states", candidate.n_states, "--model", candidate.model, *options_of("hmm", settings),
        "--output", stem.with_suffix(".npz"), "--scores", stem.with_suffix(".csv"),
    )  # fmt: skip


def _halves(n_runs: int, folder: Path, settings: Settings) -> list[Path]:
    """The fits to all halves."""
    (folder / "reproducibility").mkdir()
    number = n_fits(n_runs, settings["reproducibility"]["halves"])
    files = [folder / "reproducibility" / f"half-{half}.npz" for half in range(number)]
    for half, file in enumerate(files):
        stage("half", "--observations", folder / "observations.parquet", "--half", half,
              *options_of("half", settings), "--output", file)  # fmt: skip
    return files


def _ask(folder: Path, settings: Settings, halves: list[Path]) -> ExperimentResults:
    """All that is asked of state paths, and the summary."""
    paths = ["--state-paths", folder / "state_paths.csv"]
    logs = ["--runs", folder / "runs"]
    stage(
        "semantics", *paths, *logs, *options_of("semantics", settings),
        "--convergence", folder / "convergence.csv", "--outcomes", folder / "outcomes.csv",
        "--coefficients", folder / "coefficients.csv", "--delays", folder / "delays.csv",
        "--regression", folder / "regression.json",
    )  # fmt: skip
    stage("forks", *paths, "--convergence", folder / "convergence.csv", *logs,
          *options_of("forks", settings), "--output", folder / "forks.json",
          "--run-paths", folder / "run_paths.csv")  # fmt: skip
    stage("phase_transitions", *paths, *logs, *options_of("phase_transitions", settings),
          "--output", folder / "phase_transitions.csv",
          "--summary", folder / "phase_transitions.json")  # fmt: skip
    if halves:
        stage(
            "reproducibility", "--halves", *halves,
            "--observations", folder / "observations.parquet", *paths,
            "--structure", folder / "structure.json", "--regression", folder / "regression.json",
            "--outcomes", folder / "outcomes.csv", "--convergence", folder / "convergence.csv",
            *options_of("reproducibility", settings), "--output", folder / "reproducibility.json",
        )  # fmt: skip
    stage("summary", "--results", folder, "--output", folder / "summary.json")
    return ExperimentResults.read(folder)
