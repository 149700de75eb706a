# What all rules share: the checked config, and small named helpers that rules take params from.

import json
import re
import sys
from functools import cache
from pathlib import Path

from training_maps.runs.checkpoints import file_state
from training_maps.config.timestamps import count_as_old
from training_maps.runs.discovery import Pattern, find_runs, run_digest
from training_maps.config.resolve import check_file, prepare
from training_maps.config.schema import load_schema
from training_maps.training.datasets import use_data_folder
from training_maps.utils.errors import InputError
from training_maps.hub.plan import format_steps, hub_run
from training_maps.metrics.plugins import identity
from training_maps.config.sources import has_training_log
from training_maps.metrics.parameters import Overrides
from training_maps.utils.seeds import format_seeds
from training_maps.analysis.sensitivity.variants import variants_of
from training_maps.utils.code_digest import stage_digest

ROOT = Path(workflow.basedir)

SCHEMA = load_schema()
CONFIG_FILE = "config.yaml"


def refuse(error):
    """Stop before any job; a traceback through Snakemake would bury the message."""
    sys.exit(f"The config is not valid, so nothing was run.\n{error}")


# Before Snakemake reads it, which does not name the line at fault, and would run code that a file asks
# it to run (__use_yte__).
try:
    if Path(CONFIG_FILE).exists():
        check_file(CONFIG_FILE, SCHEMA)
except InputError as error:
    refuse(error)


configfile: CONFIG_FILE


try:
    CONFIG = prepare(config, ROOT / "experiments", SCHEMA)
except InputError as error:
    refuse(error)

EXPERIMENTS = list(CONFIG.experiments)


def experiments_from(*sources):
    """The experiments whose runs come from one of the sources."""
    return [
        experiment
        for experiment, settings in CONFIG.experiments.items()
        if settings["source"] in sources
    ]


# State paths that are brought along have been through a model already.
WITH_MODEL = experiments_from("training", "checkpoints", "hub", "metrics")

# Through the environment, because where the data are changes no result.
use_data_folder(CONFIG.data_dir)

# Not in a cluster's jobs, whose machines have clocks of their own.
if workflow.is_main_process:
    from_the_future = count_as_old(CONFIG.results)
    if from_the_future:
        print(from_the_future, file=sys.stderr)


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
    variant=r"[A-Za-z0-9_.-]+",


OF_MODEL = ["hmm/model_selection.csv", "hmm/stability.json"]
OF_STATE_PATHS = [
    "training_map.json",
    "state_paths.csv",
    "convergence.csv",
    "coefficients.csv",
    "outcomes.csv",
    "regression.json",
    "dissimilarity.csv",
    "forks.json",
    "run_paths.csv",
    "phase_transitions.csv",
    "phase_transitions.json",
    "dissimilarity_per_run.csv",
    "outliers.csv",
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


def called(wildcards):
    """What the config calls the experiment: its name, or its file's path."""
    return CONFIG.called[wildcards.experiment]


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


def analysis_of(experiment):
    """What the analysis of an experiment writes: the first is in the folder of its results."""
    names = OF_STATE_PATHS + (OF_MODEL if experiment in WITH_MODEL else [])
    names += asked_for(CONFIG.experiments[experiment])
    return expand("<results>/{experiment}/{name}", experiment=experiment, name=names)


def asked_for(settings):
    """What only those experiments write that ask for it."""
    names = []
    if variants_of(settings):
        names += ["sensitivity.csv", "sensitivity.json"]
    if settings.get("early_warning", {}).get("fractions"):
        names += ["early_warning.csv", "early_warning.json"]
    return names


def of_variants(wildcards):
    """What each variant of the sensitivity analysis finds."""
    return expand(
        "<results>/{experiment}/sensitivity/{variant}.json",
        experiment=wildcards.experiment,
        variant=variants_of(CONFIG.experiments[wildcards.experiment]),
    )


def variant_options(wildcards):
    """Which metrics a variant keeps."""
    variants = variants_of(CONFIG.experiments[wildcards.experiment])
    return variants[wildcards.variant].to_arguments()


def analysis(wildcards):
    """What the analysis of the experiment writes."""
    return analysis_of(wildcards.experiment)


def runs_folder(wildcards):
    """The folder of the experiment's runs."""
    return f"{CONFIG.results}/{wildcards.experiment}/runs"


def all_metrics(wildcards):
    """Every run's table of metrics."""
    return run_paths(
        wildcards.experiment, setting("seeds")(wildcards), "metrics.parquet"
    )


def logs_of(experiment):
    """The training log of every run of an experiment; none where runs are brought without."""
    settings = CONFIG.experiments[experiment]
    if not has_training_log(settings):
        return []
    return run_paths(experiment, settings["seeds"], "training_log.parquet")


def all_training_logs(wildcards):
    """Every run's training log; none where runs are brought along without."""
    return logs_of(wildcards.experiment)


def runs_with_logs(wildcards):
    """The option that names the folder of the training logs, where there are any."""
    if not all_training_logs(wildcards):
        return []
    return ["--runs", runs_folder(wildcards)]


def chance_option(wildcards):
    """The option that gives the accuracy at chance, if the config does."""
    chance = setting("phase_transitions", "chance")(wildcards)
    return [] if chance is None else ["--chance", chance]


def outcome_table(wildcards):
    """The table of one's own that the outcome of the regression is in, if it is."""
    semantics = setting("semantics")(wildcards)
    return semantics["table"]["path"] if semantics["outcome"] == "table" else []


def outcome_options(wildcards):
    """What the semantics stage is given only where it is there: logs, a direction, a table."""
    semantics = setting("semantics")(wildcards)
    options = []
    if all_training_logs(wildcards):
        options += ["--runs", runs_folder(wildcards)]
    if semantics["direction"] is not None:
        options += ["--direction", semantics["direction"]]
    if semantics["outcome"] == "table":
        options += ["--table", semantics["table"]["path"], semantics["table"]["column"]]
    return options


def own_metrics(wildcards):
    """The users' metrics that are computed, with their versions: an update computes them again."""
    return identity(setting("metrics", "columns")(wildcards))


def logs_to_join(wildcards):
    """The training logs, if columns of theirs join the observations."""
    if not setting("observations", "log_columns")(wildcards):
        return []
    return all_training_logs(wildcards)


def made_of_tables(experiment):
    """What the tables that an experiment brings along become: metrics, training logs, or both."""
    settings = CONFIG.experiments[experiment]
    names = ["metrics.parquet"] if settings["source"] == "metrics" else []
    names += ["training_log.parquet"] if has_training_log(settings) else []
    return [
        path
        for name in names
        for path in run_paths(experiment, settings["seeds"], name)
    ]


def table_options(settings):
    """Which tables an experiment brings along, and which of their columns are which."""
    tables, log = settings.get("tables"), settings["training_log"]
    options = options_of(tables, "--", "path", "seed", "step", "repeated_steps")
    if tables:
        options += options_of(tables, "--", "metrics", "incomplete_steps")
        options += options_of(settings["metrics"], "--", "non_finite")
    if has_training_log(settings):
        # The log may be in the tables of metrics: then their steps and seeds are its own.
        whole = log if log["path"] else tables
        options += options_of(whole, "--log-", "path", "seed", "step", "repeated_steps")
        options += options_of(log, "--log-", "epoch")
        options += ["--log-columns", *assignments(log["columns"])]
    return options


def verbatim(value):
    """A function that gives `value` as it is: Snakemake would take braces in it for wildcards."""

    def unchanged(wildcards):
        return value

    return unchanged


def options_of(section, prefix, *keys):
    """A section's settings as options of a command; those that are null or empty are left out."""
    options = []
    for key in keys:
        value = (section or {}).get(key) or []
        values = [value] if isinstance(value, str) else value
        options += [prefix + key.replace("_", "-"), *values] if values else []
    return options


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
        "<results>/{experiment}/{name}",
        experiment=EXPERIMENTS,
        name=["summary.json", "report.html"],
    )
    figures = [
        expand(figure_files(experiment), experiment=experiment)
        for experiment in EXPERIMENTS
    ]
    of_runs = [
        run_paths(
            experiment, CONFIG.experiments[experiment]["seeds"], "metrics.parquet"
        )
        for experiment in WITH_MODEL
    ]
    return sum([*figures, *map(analysis_of, EXPERIMENTS), *of_runs], of_experiments)


def assignments(settings):
    """Settings as NAME=VALUE for a command, values as YAML writes them."""
    return [
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in settings.items()
    ]


def checkpoints_to_use(wildcards):
    """With keep_checkpoints: false, a run's checkpoint folder, so that it is kept until used."""
    settings = CONFIG.experiments[wildcards.experiment]
    if settings["source"] != "training" or settings["training"]["keep_checkpoints"]:
        return []
    return run_paths(wildcards.experiment, wildcards.seed, "checkpoints")


@cache
def found_checkpoints(experiment):
    """The checkpoints of each brought run, by seed and step: all are looked for at once."""
    settings = CONFIG.experiments[experiment]
    return find_runs(Pattern.read(settings["checkpoints"]["path"]))


def memory_for_metrics(wildcards, attempt):
    """Memory for a run's metrics, in MB: a checkpoint that is brought along may lie in it twice."""
    size = 0
    if CONFIG.experiments[wildcards.experiment]["source"] == "checkpoints":
        run = found_checkpoints(wildcards.experiment)[int(wildcards.seed)]
        size, _ = file_state(run[max(run)])
    return int(2000 + 2 * size / 1e6) * attempt


def checkpoints_there(wildcards):
    """A digest of the checkpoints that one brought run has: which, how large, last changed when.

    Their files are no inputs, because Snakemake takes seconds for thousands of them, and would not
    notice one that is removed, nor what changes in a folder.
    """
    return run_digest(found_checkpoints(wildcards.experiment)[int(wildcards.seed)])


def on_hub(key):
    """A function of the wildcards: where a run's checkpoints on the hub are, by the field's name."""

    def value(wildcards):
        settings = CONFIG.experiments[wildcards.experiment]
        run = hub_run(settings["hub"], settings["seeds"], int(wildcards.seed))
        return format_steps(run.steps) if key == "steps" else getattr(run, key)

    return value


def hub_options(wildcards):
    """Files to look for and a mirror to use, if the settings say so."""
    hub = setting("hub")(wildcards)
    files = ["--files", *hub["files"]] if hub["files"] else []
    return files + (["--endpoint", hub["endpoint"]] if hub["endpoint"] else [])


def parameter_options(wildcards):
    """The patterns that say which tensors count, if the settings have any."""
    return Overrides.from_settings(setting("parameters")(wildcards)).to_arguments()


def reading_options(wildcards):
    """What of a checkpoint's file is the network, and which of its tensors count, if said."""
    settings = CONFIG.experiments[wildcards.experiment]
    key = settings.get("checkpoints", {}).get("state_dict_key")
    return (["--state-dict-key", key] if key else []) + parameter_options(wildcards)


def show_summaries():
    """After a run, print each experiment's summary and where its report is."""
    files = [
        f"{CONFIG.results}/{experiment}/summary.json" for experiment in EXPERIMENTS
    ]
    if all(Path(file).is_file() for file in files):
        shell("training-maps summary --show {files:q}")
