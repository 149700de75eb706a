# What the rules of report.smk share: which figures there are, and what the comparison is told.

from training_maps.report.paper import paper_setting

# What each figure shows, as Snakemake's own report calls it.
FIGURES = {
    "overview": "Training map and runs",
    "training_map": "Training map",
    "forks": "Forks",
    "model_selection": "Model selection",
    "loss_by_state": "Loss and accuracy by state",
    "metrics_by_state": "A metric and the loss by state",
    "phase_transitions": "Memorisation and generalisation",
    "state_timelines": "All runs in time",
    "convergence_times": "Convergence times",
    "regression": "Coefficients of the states",
    "dissimilarity": "Dissimilarity of runs",
}
FIGURE_FILES = [
    f"<results>/{{experiment}}/figures/{width}/{figure}.{suffix}"
    for width in ("column", "page")
    for figure in FIGURES
    for suffix in ("svg", "pdf", "png")
]


def in_report(path):
    """A figure's file; the page's PNG is shown in Snakemake's own report, with a caption."""
    folder, _, name = path.rpartition("/")
    figure, _, suffix = name.rpartition(".")
    if not folder.endswith("page") or suffix != "png":
        return path
    return report(
        path,
        caption=f"../report/{figure}.rst",
        category="{experiment}",
        labels={"shows": FIGURES[figure], "kind": "figure"},
    )


def metrics_if_any(wildcards):
    """Every run's table of metrics; none where state paths are brought along."""
    return all_metrics(wildcards) if wildcards.experiment in WITH_MODEL else []


def known_of_experiments():
    """What the comparison is told of each experiment: which setting of the paper it has, if one."""
    return {
        experiment: {
            "paper": paper_setting(settings),
            "compare_with": settings["compare_with"],
            "time": settings["training"]["unit"],
            "description": settings["description"],
        }
        for experiment, settings in CONFIG.experiments.items()
    }
