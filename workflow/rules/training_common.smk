# What the rules of training.smk share: blocks of seeds, what each is given, and what it leaves.

from training_maps.training.recipe import Recipe
from training_maps.training.tasks import make_task


def task_of(settings):
    """The task that an experiment trains."""
    return make_task(
        settings["training"]["task"], settings["training"]["task_settings"]
    )


def training_device(settings):
    """The device that training is given; a GPU is not taken unasked where it would not help."""
    device = settings["training"]["device"]
    if device == "auto" and not task_of(settings).profits_from_gpu:
        return "cpu"
    return device


def gpu_resources(settings):
    """The GPU that a training job asks for, if it does, with the names that a cluster has for it."""
    if training_device(settings) == "cpu":
        return {"gpu": 0}
    named = workflow.resource_settings.default_resources or {}
    names = {"gpu_partition": "slurm_partition", "gpu_type": "gpu_model"}
    return {"gpu": 1} | {
        resource: named[name].raw for name, resource in names.items() if name in named
    }


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


def downloads(wildcards):
    """What is made of files on the internet: data sets, and metrics of checkpoints on the hub."""
    data_sets = [
        data_files(CONFIG.experiments[experiment])
        for experiment in experiments_from("training")
        if task_of(CONFIG.experiments[experiment]).dataset
    ]
    on_the_hub = [
        path
        for experiment in experiments_from("hub")
        for path in run_paths(
            experiment, CONFIG.experiments[experiment]["seeds"], "metrics.parquet"
        )
    ]
    return sorted(set(data_sets)) + on_the_hub


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
    columns = settings["metrics"]["columns"]
    return [
        *["--metrics", "--non-finite", settings["metrics"]["non_finite"]],
        *(["--columns", *columns] if columns else []),
        *Overrides.from_settings(settings["parameters"]).to_arguments(),
    ]


def training_code(settings):
    """A digest of the code behind an experiment's training."""
    digest = stage_digest("train", task=settings["training"]["task"])
    if settings["training"]["metrics_during_training"]:
        digest += stage_digest("metrics", rust=ROOT / "rust_metrics")
        digest += identity(settings["metrics"]["columns"])
    return digest


def recipe_of(settings):
    """How an experiment's networks are trained."""
    return {name: settings["training"][name] for name in vars(Recipe())}
