# What all rules share: the checked config, and small named helpers that rules take params from.

import json
import re
import sys
from pathlib import Path

from training_maps.config import load_schema, resolve
from training_maps.datasets import use_data_folder
from training_maps.errors import InputError
from training_maps.recipe import Recipe
from training_maps.seeds import format_seeds
from training_maps.sources import stage_digest
from training_maps.tasks import make_task

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

# Through the environment, because where the data are changes no result.
use_data_folder(CONFIG.data_dir)


def any_of(names):
    """A regular expression that matches each of the names, and nothing if there is none."""
    return "|".join(map(re.escape, names)) or "(?!)"


pathvars:
    results=CONFIG.results,


wildcard_constraints:
    experiment=any_of(EXPERIMENTS),
    seed=r"\d+",
    n_states=r"\d+",
    kind=r"(autoregressive_)?",


ANALYSIS = [
    f"<results>/{{experiment}}/{name}"
    for name in (
        "training_map.json",
        "state_paths.csv",
        "hmm/model_selection.csv",
        "hmm/stability.json",
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
    """The fitted model and its scores for every kind of model and number of states."""
    return expand(
        "<results>/{experiment}/hmm/{kind}states-{n_states}.{suffix}",
        experiment=wildcards.experiment,
        kind=[
            "" if kind == "gaussian" else f"{kind}_"
            for kind in kinds_of_model(wildcards)
        ],
        n_states=setting("hmm", "n_states")(wildcards),
        suffix=["npz", "csv"],
    )


def kinds_of_model(wildcards):
    """The kinds of model to choose between."""
    kinds = setting("hmm", "model")(wildcards)
    return [kinds] if isinstance(kinds, str) else kinds


def kind_of_model(wildcards):
    """The kind of model that a file in hmm/ is of: those of Gaussian models have no prefix."""
    return wildcards.kind.rstrip("_") or "gaussian"


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


def task_of(settings):
    """The task that an experiment trains."""
    return make_task(
        settings["training"]["task"], settings["training"]["task_settings"]
    )


def training_blocks(settings):
    """The blocks of an experiment: seed s belongs to block s // seeds_per_job, whatever the others.

    Networks that are not trained side by side have a job each.
    """
    side_by_side = task_of(settings).side_by_side
    seeds_per_job = settings["training"]["seeds_per_job"] if side_by_side else 1
    blocks = {}
    for seed in settings["seeds"]:
        blocks.setdefault(seed // seeds_per_job, []).append(seed)
    return blocks


def data_files(settings):
    """What a training job needs on disk: a data set that is fetched once, or a file of one's own."""
    dataset = task_of(settings).dataset
    if dataset is None or dataset.endswith(".npz"):
        return dataset or []
    return f"<results>/datasets/{dataset}.json"


def recorded_files(experiment, seeds):
    """What training writes of its networks: checkpoints, or their metrics and no checkpoints."""
    training = CONFIG.experiments[experiment]["training"]
    if training["metrics_during_training"]:
        return run_paths(experiment, seeds, "metrics.parquet")
    manifests = run_paths(experiment, seeds, "checkpoints.json")
    folders = run_paths(experiment, seeds, "checkpoints")
    if training["keep_checkpoints"]:
        return manifests
    return manifests + [temp(directory(folder)) for folder in folders]


def recording_options(settings):
    """With metrics_during_training: true, the options that ask for it."""
    if not settings["training"]["metrics_during_training"]:
        return []
    return ["--metrics", "--non-finite", settings["metrics"]["non_finite"]]


def training_code(settings):
    """A digest of the code behind an experiment's training."""
    digest = stage_digest("train", task=settings["training"]["task"])
    if settings["training"]["metrics_during_training"]:
        digest += stage_digest("metrics", rust=ROOT / "rust_metrics")
    return digest


def assignments(settings):
    """Settings as NAME=VALUE for a command, values as YAML writes them."""
    return [
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in settings.items()
    ]


def recipe_of(settings):
    """How an experiment's networks are trained."""
    return {name: settings["training"][name] for name in vars(Recipe())}


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
