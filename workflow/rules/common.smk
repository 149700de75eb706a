# What all rules share: the checked config, and small named helpers that rules take params from.

import json
import re
import sys
from pathlib import Path

from training_maps.config import load_schema, resolve
from training_maps.errors import InputError
from training_maps.seeds import format_seeds
from training_maps.sources import stage_digest

ROOT = Path(workflow.basedir)

try:
    CONFIG = resolve(
        config,
        ROOT / "experiments",
        load_schema(ROOT / "workflow/schemas/config.schema.yaml"),
    )
except InputError as error:
    # A traceback through Snakemake would bury the message.
    sys.exit(f"The config is not valid, so nothing was run.\n{error}")

EXPERIMENTS = list(CONFIG.experiments)


pathvars:
    results=CONFIG.results,


wildcard_constraints:
    experiment="|".join(map(re.escape, EXPERIMENTS)),
    seed=r"\d+",
    n_states=r"\d+",


ANALYSIS = [
    f"<results>/{{experiment}}/{name}"
    for name in (
        "training_map.json",
        "state_paths.csv",
        "hmm/model_selection.csv",
        "convergence.csv",
        "coefficients.csv",
        "regression.json",
        "dissimilarity.csv",
    )
]
FIGURES = [
    f"<results>/{{experiment}}/figures/{figure}.{suffix}"
    for figure in (
        "training_map",
        "model_selection",
        "loss_by_state",
        "state_timelines",
        "convergence_times",
        "dissimilarity",
    )
    for suffix in ("svg", "pdf")
]


def setting(*path):
    """A function of the wildcards: the experiment's setting at `path`."""

    def value(wildcards):
        found = CONFIG.experiments[wildcards.experiment]
        for key in path:
            found = found[key]
        return found

    return value


def numbers(*path):
    """A function of the wildcards: the numbers at `path` of the settings, written short (0-39)."""

    def text(wildcards):
        return format_seeds(setting(*path)(wildcards))

    return text


def experiment_settings(wildcards):
    """The experiment's whole settings as JSON, for its report."""
    return json.dumps(CONFIG.experiments[wildcards.experiment])


def run_paths(experiment, seeds, name):
    """The file or folder `name` of the runs of `seeds`."""
    return expand(
        "<results>/{experiment}/runs/seed-{seed}/{name}",
        experiment=experiment,
        seed=seeds,
        name=name,
    )


def all_metrics(wildcards):
    """Every run's table of metrics."""
    return run_paths(
        wildcards.experiment, setting("seeds")(wildcards), "metrics.parquet"
    )


def all_training_logs(wildcards):
    """Every run's training log."""
    return run_paths(
        wildcards.experiment, setting("seeds")(wildcards), "training_log.parquet"
    )


def fitted_models(wildcards):
    """The fitted model and its scores for every number of states."""
    return expand(
        "<results>/{experiment}/hmm/states-{n_states}.{suffix}",
        experiment=wildcards.experiment,
        n_states=setting("hmm", "n_states")(wildcards),
        suffix=["npz", "csv"],
    )


def all_results(wildcards):
    """Every result of every experiment: whichever of them is deleted is made again."""
    of_experiments = expand(
        [*ANALYSIS, *FIGURES, "<results>/{experiment}/{name}"],
        experiment=EXPERIMENTS,
        name=["summary.json", "report.html"],
    )
    of_runs = [
        run_paths(experiment, settings["seeds"], "metrics.parquet")
        for experiment, settings in CONFIG.experiments.items()
    ]
    return of_experiments + sum(of_runs, [])


def training_blocks(settings):
    """The blocks of an experiment: seed s belongs to block s // seeds_per_job, whatever the others."""
    blocks = {}
    for seed in settings["seeds"]:
        blocks.setdefault(seed // settings["training"]["seeds_per_job"], []).append(
            seed
        )
    return blocks


def checkpoints_to_remove(experiment, seeds):
    """With keep_checkpoints: false, the checkpoint folders, which Snakemake removes after use."""
    if CONFIG.experiments[experiment]["training"]["keep_checkpoints"]:
        return []
    return [
        temp(directory(folder))
        for folder in run_paths(experiment, seeds, "checkpoints")
    ]


def checkpoints_to_use(wildcards):
    """With keep_checkpoints: false, a run's checkpoint folder, so that it is kept until used."""
    if setting("training", "keep_checkpoints")(wildcards):
        return []
    return run_paths(wildcards.experiment, wildcards.seed, "checkpoints")


def show_summaries():
    """After a run, print each experiment's summary and where its report is."""
    files = [
        f"{CONFIG.results}/{experiment}/summary.json" for experiment in EXPERIMENTS
    ]
    if all(Path(file).is_file() for file in files):
        shell("training-maps summary --show {files:q}")
