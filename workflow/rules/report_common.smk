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


def figure_files(experiment):
    """The files of figures that an experiment asks for, with a place for its name."""
    asked = CONFIG.experiments[experiment]["figures"]
    return tuple(
        f"<results>/{{experiment}}/figures/{width}/{figure}.{suffix}"
        for width in asked["widths"]
        for figure in FIGURES
        for suffix in asked["formats"]
    )


def alike_in_figures():
    """Experiments by the files that they ask for: a rule has the same outputs for all of its own."""
    groups = {}
    for experiment in EXPERIMENTS:
        groups.setdefault(figure_files(experiment), []).append(experiment)
    return groups


def in_report(files):
    """Figures' files; of each figure one is shown in Snakemake's own report.

    A page's figure goes before a column's, PNG before SVG, and SVG before PDF.
    """
    first = {}
    for path in sorted(files, key=report_order):
        first.setdefault(Path(path).stem, path)
    return [shown_in_report(path) if path in first.values() else path for path in files]


def shown_in_report(path):
    """A figure's file with its caption for Snakemake's own report."""
    figure = Path(path).stem
    return report(
        path,
        caption=f"../report/{figure}.rst",
        category="{experiment}",
        labels={"shows": FIGURES[figure], "kind": "figure"},
    )


def report_order(path):
    """How well a figure's file suits Snakemake's own report: the least is the best."""
    return (
        Path(path).parent.name != "page",
        [".png", ".svg", ".pdf"].index(Path(path).suffix),
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
