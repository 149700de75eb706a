"""Test how well the first part of a run predicts its outcome and its way at the largest fork.

Models and predictors are made of other runs only, and nothing after the first part has a say.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training_maps.config.arguments import add_inputs, add_options, read_options
from training_maps.utils.errors import InputError
from training_maps.utils.files import made_by, read_json, read_table, write_json, write_table
from training_maps.utils.notes import Note

if TYPE_CHECKING:
    import pandas as pd

    from training_maps.analysis.early_warning.prediction import Target
    from training_maps.hmm.observations import Observations

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_inputs(parser, "observations")
    parser.add_argument(
        "--runs", type=Path, required=True, metavar="FOLDER", help="has seed-{seed}/metrics.parquet"
    )
    add_inputs(parser, "state-paths", "training-map", "regression", "outcomes")
    parser.add_argument(
        "--convergence", type=Path, required=True, metavar="CSV",
        help="seed, step, epoch, converged",
    )  # fmt: skip
    add_options(parser, "early_warning")
    parser.add_argument("--table", type=Path, required=True, metavar="CSV", help="output: how well")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="JSON", help="output: the same in words"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the table and the sentences."""
    from training_maps.analysis.early_warning.prediction import early_features, judge, raw_metrics
    from training_maps.analysis.early_warning.sentences import sentences_of
    from training_maps.hmm.observations import Observations
    from training_maps.stats.cross_validation import deal

    told = read_options(arguments, "early_warning")
    if not told["fractions"]:
        raise InputError("--fractions: which first parts of the runs? Such as 0.05 0.1 0.2 0.4")
    fractions = sorted(set(told["fractions"]))
    obs = Observations.load(arguments.observations)
    model = read_json(arguments.training_map).get("selected_model")
    if model is None:
        raise InputError(f"{arguments.training_map}: was made of state paths; there is no model")
    targets, notes = _targets(arguments, obs.seeds)
    folds = deal(obs.seeds, told["folds"], told["random_state"])
    beginnings = []
    if targets:
        beginnings = early_features(
            raw_metrics(obs, _tables(arguments.runs, obs)),
            fractions,
            folds,
            model["n_states"],
            model=model["model"],
            restarts=told["restarts"],
            covariance=model["covariance"],
            covariance_floor=told["covariance_floor"],
            minimum_stay=told["minimum_stay"],
            stay_prior=told["stay_prior"],
            max_iterations=told["max_iterations"],
            tolerance=told["tolerance"],
            random_state=told["random_state"],
        )
    table = judge(
        beginnings,
        targets,
        folds,
        n_permutations=told["permutations"],
        random_state=told["random_state"],
    )
    sentences = sentences_of(table)
    write_table(table, arguments.table)
    write_json(_about(told, model, targets, sentences, notes), arguments.output)
    for sentence in [*sentences, *notes]:
        logger.info("%s", sentence)


def _tables(runs: Path, obs: Observations) -> dict[int, pd.DataFrame]:
    """The runs' metrics, with what joined them of the training logs."""
    from training_maps.hmm.log_columns import with_log_columns

    def read(name: str) -> dict[int, pd.DataFrame]:
        return {
            seed: read_table(runs / f"seed-{seed}" / f"{name}.parquet", ("step",))
            for seed in obs.seeds
        }

    tables = read("metrics")
    logged = [m for m in obs.metrics if any(m not in table for table in tables.values())]
    return with_log_columns(tables, read("training_log"), logged) if logged else tables


def _targets(arguments: argparse.Namespace, seeds: list[int]) -> tuple[list[Target], list[Note]]:
    """What to predict, and why not the rest."""
    from training_maps.analysis.early_warning.prediction import (
        fork_target,
        largest_fork,
        time_target,
    )
    from training_maps.analysis.semantics.outcomes import read_outcome
    from training_maps.training_map.paths import read_state_paths

    targets, notes = [], []
    outcome = read_outcome(arguments.regression, arguments.outcomes)
    if outcome is None:
        reason = read_json(arguments.regression).get("reason") or "There are no training logs."
        notes.append(Note("no_outcome", f"There is no outcome to predict. {reason}"))
    else:
        convergence = read_table(arguments.convergence, ("seed", "step"))
        targets.append(time_target(outcome, seeds, convergence))
    paths = read_state_paths(arguments.state_paths)
    fork = largest_fork(paths)
    way = None if fork is None else fork_target(fork, seeds, paths)
    if fork is None:
        notes.append(
            Note(
                "no_fork",
                "There is no fork to predict: as far as they go, all runs go the same way.",
            )
        )
    elif way is None:
        notes.append(
            Note(
                "small_fork",
                f"At the fork from state {fork.state}, too few runs leave the usual way.",
            )
        )
    else:
        targets.append(way)
    return targets, notes


def _about(
    told: dict[str, Any],
    model: dict[str, Any],
    targets: list[Target],
    sentences: list[Note],
    notes: list[Note],
) -> dict[str, Any]:
    names = ("folds", "permutations", "random_state", "restarts")
    return {
        "sentences": [sentence.to_dict() for sentence in sentences],
        "notes": [
            note.to_dict()
            for note in (
                *notes,
                Note(
                    "what_is_learned",
                    f"The number of states, {model['n_states']}, is that selected on all runs; all "
                    "else is learned of other runs than those predicted.",
                ),
            )
        ],
        "targets": [{"name": target.name, "classes": list(target.classes)} for target in targets],
        "fractions": sorted(set(told["fractions"])),
        "made_by": made_by(**{name: told[name] for name in names}),
    }
