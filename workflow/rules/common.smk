# What all rules share: the checked config, and functions of the wildcards that ask an experiment's jobs
# (python/training_maps/config/jobs.py) what they read, write and are told.

import json
import re
import sys
from pathlib import Path

from training_maps.cli import main as run_stage
from training_maps.config.few_runs import told_of_runs
from training_maps.config.gpu_settings import told as told_of_gpus
from training_maps.config.jobs import (
    FIGURES,
    Jobs,
    alike_in_figures,
    figures_to_show,
)
from training_maps.config.resolve import check_file, prepare
from training_maps.config.schema import load_schema
from training_maps.config.terminal import quieten
from training_maps.config.timestamps import count_as_old, look_ahead
from training_maps.config.training_jobs import TrainingJobs, checkpoints_to_use
from training_maps.training.datasets import use_data_folder
from training_maps.training.gpus import visible_gpus
from training_maps.utils.code_digest import stage_digest
from training_maps.utils.errors import InputError
from training_maps.utils.files import explained
from training_maps.utils.locks import hold_results
from training_maps.utils.seeds import format_seeds

# Not `workflow.basedir`, which is another workflow's folder where this one is a module of it.
ROOT = Path(str(workflow.current_basedir)).parents[1]
RUST = ROOT / "rust_metrics"
SCHEMA = load_schema()
CONFIG_FILE = "config.yaml" if Path("config.yaml").exists() else ROOT / "config.yaml"


def refuse(error):
    """Stop before any job; a traceback through Snakemake would bury the message."""
    sys.exit(f"The config is not valid, so nothing was run.\n{error}")


# Before Snakemake reads it, which does not name the line at fault, and would run code that a file asks
# it to run (__use_yte__). A module whose `config` is given reads no file.
try:
    if not workflow.modifier.skip_configfile:
        check_file(CONFIG_FILE, SCHEMA)
except InputError as error:
    refuse(error)


configfile: str(CONFIG_FILE)


try:
    CONFIG = prepare(config, ROOT / "experiments", SCHEMA)
except InputError as error:
    refuse(error)

JOBS = Jobs.of(CONFIG)
EXPERIMENTS = list(JOBS)
WITH_MODEL = [experiment for experiment, jobs in JOBS.items() if jobs.has_model()]
WITH_STRUCTURE = [experiment for experiment, jobs in JOBS.items() if jobs.halves()]

# Only told here: reading a workflow changes nothing. Not in a cluster's jobs, which have own clocks.
if workflow.is_main_process:
    from_the_future = look_ahead(CONFIG.results)
    if from_the_future:
        print(from_the_future, file=sys.stderr)

    for experiment, jobs in JOBS.items():
        for told_now in (
            told_of_runs(experiment, jobs.settings),
            told_of_gpus(experiment, jobs.settings, visible_gpus),
        ):
            if told_now:
                print(told_now, file=sys.stderr)

# Through the environment, because where the data are changes no result.
use_data_folder(CONFIG.data_dir)


pathvars:
    results=CONFIG.results,


def any_of(names):
    """A regular expression that matches each of the names, and nothing if there is none."""
    return "|".join(map(re.escape, names)) or "(?!)"


wildcard_constraints:
    experiment=any_of(EXPERIMENTS),
    seed=r"\d+",
    n_states=r"\d+",
    half=r"\d+",
    kind=r"((vector_)?autoregressive_)?",
    variant=r"[A-Za-z0-9_.-]+",


def experiments_from(*sources):
    """The experiments whose runs come from one of the sources."""
    return [name for name, jobs in JOBS.items() if jobs.setting("source") in sources]


def tables_of_metrics(rule_name):
    """Two rules by their names: one whose outputs have the table of layers too, and one without."""
    table = "<results>/{experiment}/runs/seed-{seed}/layers.parquet"
    return {rule_name: {"layers": table}, f"{rule_name}_without_layers": {}}


def with_layers(experiments, kept):
    """Those of the experiments that keep the metrics of each matrix, or do not."""
    return [name for name in experiments if JOBS[name].has_layers() == kept]


def layers_option(wildcards, output):
    """The option that names the table of layers, where there is one."""
    return ["--layers", output.layers] if "layers" in output.keys() else []


def ask(question, *about):
    """A function of the wildcards: what the experiment's jobs answer."""

    def answer(wildcards):
        return question(JOBS[wildcards.experiment], *about)

    return answer


def analysis_beside(wildcards):
    """What the report of an experiment needs of the one whose map it shows too, if both are run."""
    jobs = JOBS[wildcards.experiment]
    beside = JOBS.get(jobs.setting("beside"))
    return (
        [] if beside in (None, jobs) else [*beside.analysis(), *beside.training_logs()]
    )


def folder_beside(wildcards, input):
    """The option that names that one's folder."""
    return ["--beside", str(Path(input.beside[0]).parent)] if input.beside else []


def ask_of_run(question, *about):
    """A function of the wildcards: what the experiment's jobs answer of one run."""

    def answer(wildcards):
        return question(JOBS[wildcards.experiment], int(wildcards.seed), *about)

    return answer


def told(stage):
    """A function of the wildcards: what a stage is told of the settings, as options."""
    return ask(Jobs.options, stage)


def verbatim(value):
    """A function that gives `value` as it is: Snakemake would take braces in it for wildcards."""

    def unchanged(wildcards):
        return value

    return unchanged


def of_all(question):
    """What the jobs of all experiments answer, in one list."""
    return [path for jobs in JOBS.values() for path in question(jobs)]


def kind_of_model(wildcards):
    """The kind of model that a file in hmm/ is of: those of Gaussian models have no prefix."""
    return wildcards.kind.rstrip("_") or "gaussian"


def variant_options(wildcards):
    """Which metrics and settings a variant of the sensitivity analysis has."""
    return JOBS[wildcards.experiment].variant_options(wildcards.variant)


def memory_for_metrics(wildcards, attempt):
    """Memory for a run's metrics, in MB: more at every attempt."""
    return ask_of_run(Jobs.memory_for_metrics)(wildcards) * attempt


def gpu_resources(training):
    """The GPU that a training job asks for, if it does, with the names that a cluster has for it."""
    if not training.gpus():
        return {"gpu": 0}
    named = workflow.resource_settings.default_resources or {}
    names = {"gpu_partition": "slurm_partition", "gpu_type": "gpu_model"}
    return {"gpu": 1} | {
        resource: named[name].raw for name, resource in names.items() if name in named
    }


def training_threads(training):
    """The cores of a training job: all of them, or its share where jobs run side by side on GPUs."""
    limit = workflow.global_resources.get("gpu")
    gpus = (limit and limit.value) or 1
    return max(1, workflow.cores // gpus) if training.gpus() else workflow.cores


def downloads(wildcards):
    """What is made of files on the internet: data sets, and metrics of checkpoints on the hub."""
    trained = [TrainingJobs(JOBS[name]) for name in experiments_from("training")]
    data_sets = {file for jobs in trained for file in jobs.data_files()}
    on_the_hub = [JOBS[name].metrics() for name in experiments_from("hub")]
    return sum(on_the_hub, sorted(data_sets))


def in_report(files):
    """Figures' files; of each figure one is shown in Snakemake's own report."""
    chosen = figures_to_show(files)
    return [shown_in_report(path) if path in chosen else path for path in files]


def shown_in_report(path):
    """A figure's file with its caption for Snakemake's own report."""
    figure = Path(path).stem
    return report(
        path,
        caption=f"../report/{figure}.rst",
        category="{experiment}",
        labels={"shows": FIGURES[figure], "kind": "figure"},
    )


def take_results():
    """Keep workflows of other folders away from the results that this one is about to make."""
    made = [Path(file) for job in workflow.dag.needrun_jobs() for file in job.output]
    folders = {
        path.relative_to(CONFIG.results).parts[0]
        for path in made
        if path.is_relative_to(CONFIG.results)
    }
    try:
        hold_results(Path(CONFIG.results), folders & set(EXPERIMENTS), Path.cwd())
    except (InputError, OSError) as error:
        sys.exit(explained(error) or str(error))


def count_results_as_old():
    """Give results from the future old times, so that nothing stale passes for fresh."""
    told = count_as_old(CONFIG.results)
    if told:
        print(told, file=sys.stderr)


def show_summaries():
    """After a run, also one that had nothing to do, print what was found and where the reports are."""
    files = [f"{CONFIG.results}/{name}/summary.json" for name in EXPERIMENTS]
    if all(Path(file).is_file() for file in files):
        run_stage(["summary", "--show", *files])


quieten(when_nothing=show_summaries)
