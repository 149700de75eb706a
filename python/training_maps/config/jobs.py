"""The jobs of an experiment: what each one reads, writes and is told, from its settings.

The workflow's rules ask here. Paths of results begin with `<results>`, which Snakemake fills in.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from training_maps.analysis.sensitivity.variants import Variant, variants_of
from training_maps.config.arguments import assignments, options_of
from training_maps.config.resolve import Config
from training_maps.config.sources import has_training_log, log_columns
from training_maps.hub.plan import format_steps, hub_run
from training_maps.metrics.parameters import Overrides
from training_maps.metrics.plugins import identity
from training_maps.model_selection.criteria import FOUND_AGAIN
from training_maps.placing.usual import LEAST_RUNS
from training_maps.report.paper import paper_setting
from training_maps.reproducibility.halves import n_fits
from training_maps.runs.checkpoints import file_state
from training_maps.runs.discovery import Pattern, find_runs, run_digest
from training_maps.utils.seeds import format_seeds

_OF_MODEL = ("hmm/model_selection.csv", "hmm/stability.json")
_OF_STATE_PATHS = (
    "training_map.json",
    "state_paths.csv",
    "convergence.csv",
    "coefficients.csv",
    "delays.csv",
    "outcomes.csv",
    "regression.json",
    "dissimilarity.csv",
    "forks.json",
    "run_paths.csv",
    "phase_transitions.csv",
    "phase_transitions.json",
    "dissimilarity_per_run.csv",
    "outliers.csv",
)
#: What each figure shows, as Snakemake's own report calls it.
FIGURES = {
    "overview": "Training map and runs",
    "training_map": "Training map",
    "forks": "Forks",
    "model_selection": "Model selection",
    "layers": "Layers over time",
    "loss_by_state": "Loss and accuracy by state",
    "metrics_by_state": "A metric and the loss by state",
    "phase_transitions": "Memorisation and generalisation",
    "state_timelines": "All runs in time",
    "convergence_times": "Convergence times",
    "regression": "Coefficients of the states",
    "dissimilarity": "Dissimilarity of runs",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Jobs:
    """The jobs of one experiment.

    Attributes:
        name: of the experiment.
        settings: all of them, checked.
        called: what the config calls the experiment: its name, or its file's path.
        results: the folder of all experiments' results.
        table_files: what its tables and training logs are read from, if they exist already.
    """

    name: str
    settings: Mapping[str, Any]
    called: str
    results: str
    table_files: Sequence[str] = ()

    @classmethod
    def of(cls, config: Config) -> dict[str, Jobs]:
        """The jobs of every experiment, by its name."""
        return {
            name: cls(name, settings, config.called[name], config.results, config.table_files[name])
            for name, settings in config.experiments.items()
        }

    # What jobs are told.

    def setting(self, *path: str) -> Any:
        """The setting at `path`."""
        found: Any = self.settings
        for key in path:
            found = found[key]
        return found

    def numbers(self, *path: str) -> str:
        """The numbers at `path` of the settings, written short (0-39)."""
        return format_seeds(self.setting(*path))

    def options(self, stage: str) -> list[str]:
        """What a stage is told of the settings, as options of its command."""
        return options_of(stage, self.settings)

    def name_in_config(self) -> str:
        """What the config calls the experiment."""
        return self.called

    def as_json(self) -> str:
        """The whole settings, for the report."""
        return json.dumps(self.settings)

    def about(self) -> dict[str, Any]:
        """What the comparison is told: which setting of the paper it has, if one, and more."""
        return {
            "paper": paper_setting(self.settings),
            "compare_with": self.settings["compare_with"],
            "time": self.settings["training"]["unit"],
            "description": self.settings["description"],
        }

    def runs_folder(self) -> str:
        """The folder of the experiment's runs."""
        return f"{self.results}/{self.name}/runs"

    def runs_option(self) -> list[str]:
        """The option that names the folder of the training logs, where there are any."""
        return ["--runs", self.runs_folder()] if self.training_logs() else []

    def own_metrics(self) -> str:
        """The users' metrics that are computed, with their versions: an update computes again."""
        return identity(self.settings["metrics"]["columns"])

    def kinds_of_model(self) -> list[str]:
        """The kinds of model to choose between."""
        kinds = self.settings["hmm"]["model"]
        return [kinds] if isinstance(kinds, str) else list(kinds)

    def variants(self) -> dict[str, Variant]:
        """The variants of the sensitivity analysis."""
        return variants_of(self.settings)

    def variant_options(self, variant: str) -> list[str]:
        """Which metrics and settings a variant has."""
        return self.variants()[variant].to_arguments()

    def reading_options(self) -> list[str]:
        """What of a checkpoint's file is the network, and which of its tensors count, if said."""
        said = _given(self.settings.get("checkpoints"), "--", "state_dict_key", "base")
        return said + Overrides.from_settings(self.settings["parameters"]).to_arguments()

    def table_options(self) -> list[str]:
        """Which existing tables there are, and which of their columns are which."""
        tables, log = self.settings.get("tables"), self.settings["training_log"]
        options = _given(tables, "--", "path", "seed", "step", "repeated_steps")
        if tables:
            options += _given(tables, "--", "metrics", "incomplete_steps")
            options += _given(self.settings["metrics"], "--", "non_finite")
        if has_training_log(self.settings):
            # The log may be in the tables of metrics: then their steps and seeds are its own.
            whole = log if log["path"] else tables
            options += _given(whole, "--log-", "path", "seed", "step", "repeated_steps")
            options += _given(log, "--log-", "epoch")
            options += ["--log-columns", *assignments(log_columns(self.settings))]
        return options

    def on_hub(self, seed: int, key: str) -> str:
        """Where a run's checkpoints on the hub are: its repository, revision or steps."""
        run = hub_run(self.settings["hub"], self.settings["seeds"], seed)
        return format_steps(run.steps) if key == "steps" else str(getattr(run, key))

    def hub_options(self) -> list[str]:
        """Files to look for and a mirror to use, if the settings say so."""
        return _given(self.settings["hub"], "--", "files", "endpoint")

    def checkpoints_digest(self, seed: int) -> str:
        """A digest of the checkpoints of an existing run: which, how large, last changed when.

        Their files are no inputs, because Snakemake takes seconds for thousands of them, and would
        not notice one that is removed, nor what changes in a folder.
        """
        return run_digest(self._found[seed])

    def memory_for_metrics(self, seed: int) -> int:
        """Memory for a run's metrics, in MB: a checkpoint from elsewhere may lie in it twice."""
        size = 0
        if self.settings["source"] == "checkpoints":
            run = self._found[seed]
            size, _ = file_state(run[max(run)])
        return int(2000 + 2 * size / 1e6)

    @functools.cached_property
    def _found(self) -> dict[int, dict[int, Any]]:
        """The checkpoints of each existing run, by seed and step: all are looked for at once."""
        return find_runs(Pattern.read(self.settings["checkpoints"]["path"]))

    # What jobs read and write.

    def has_model(self) -> bool:
        """Whether a model is fitted: state paths from elsewhere have been through one already."""
        return bool(self.settings["source"] != "state_paths")

    def can_place(self) -> bool:
        """Whether new runs can be placed on the map: there is a model, and runs to compare with.

        Not where the model sees groups of layers, which a run that is placed has not.
        """
        if not self.has_model() or self.settings["observations"]["layers"]:
            return False
        return len(self.settings["seeds"]) >= LEAST_RUNS

    def path(self, name: str) -> str:
        """A result of the experiment."""
        return f"<results>/{self.name}/{name}"

    def of_runs(self, name: str, seeds: Iterable[int] | None = None) -> list[str]:
        """The file or folder `name` of the runs of `seeds` (default: all)."""
        wanted = self.settings["seeds"] if seeds is None else seeds
        return [self.path(f"runs/seed-{seed}/{name}") for seed in wanted]

    def metrics(self) -> list[str]:
        """Every run's table of metrics; none where state paths are given."""
        return self.of_runs("metrics.parquet") if self.has_model() else []

    def has_layers(self) -> bool:
        """Whether the metrics of each weight matrix are kept: tables from elsewhere have none."""
        measured = self.settings["source"] in ("training", "checkpoints", "hub")
        return bool(measured and self.settings["metrics"]["layers"])

    def layers(self) -> list[str]:
        """Every run's table of layers, where they are kept."""
        return self.of_runs("layers.parquet") if self.has_layers() else []

    def training_logs(self) -> list[str]:
        """Every run's training log; none where existing runs have none."""
        return self.of_runs("training_log.parquet") if has_training_log(self.settings) else []

    def logs_to_join(self) -> list[str]:
        """The training logs, if columns of theirs join the observations."""
        return self.training_logs() if self.settings["observations"]["log_columns"] else []

    def layers_to_join(self) -> list[str]:
        """The tables of layers, if the model sees groups of layers."""
        return self.layers() if self.settings["observations"]["layers"] else []

    def outcome_table(self) -> list[str]:
        """The table of one's own that the outcome of the regression is in, if it is."""
        semantics = self.settings["semantics"]
        return [semantics["table"]["path"]] if semantics["outcome"] == "table" else []

    def made_of_tables(self) -> list[str]:
        """What existing tables become: metrics, training logs, or both."""
        metrics = self.metrics() if self.settings["source"] == "metrics" else []
        return metrics + self.training_logs()

    def models(self) -> list[str]:
        """The fitted model and its scores for every kind of model and number of states."""
        return [
            self.path(f"hmm/{'' if kind == 'gaussian' else f'{kind}_'}states-{n_states}.{suffix}")
            for kind in self.kinds_of_model()
            for n_states in self.settings["hmm"]["n_states"]
            for suffix in ("npz", "csv")
        ]

    def halves(self) -> list[str]:
        """The fits to each half of the runs, or to all runs but one where they are few."""
        if not self.has_model():
            return []
        number = n_fits(len(self.settings["seeds"]), self.settings["reproducibility"]["halves"])
        return [self.path(f"reproducibility/half-{i}.npz") for i in range(number)]

    def structure(self) -> list[str]:
        """What the halves say of the models, if it chooses the map's."""
        chooses = self.has_model() and self.settings["hmm"]["criterion"] == FOUND_AGAIN
        return [self.path("structure.json")] if chooses and self.halves() else []

    def structure_option(self) -> list[str]:
        """The option that names that file, where there is one."""
        files = self.structure()
        return ["--structure", f"{self.results}/{self.name}/structure.json"] if files else []

    def of_variants(self) -> list[str]:
        """What each variant of the sensitivity analysis finds."""
        return [self.path(f"sensitivity/{variant}.json") for variant in self.variants()]

    def analysis(self) -> list[str]:
        """What the analysis writes: the first is in the folder of the experiment's results."""
        names = [*_OF_STATE_PATHS, *(_OF_MODEL if self.has_model() else ())]
        if self.can_place():
            names += ["placing.npz"]
        if self.halves():
            names += ["structure.json", "reproducibility.json"]
        if self.has_layers():
            names += ["layer_changes.parquet"]
        if self.variants():
            names += ["sensitivity.csv", "sensitivity.json"]
        if self.settings.get("early_warning", {}).get("fractions"):
            names += ["early_warning.csv", "early_warning.json"]
        return [self.path(name) for name in names]

    def no_layers(self) -> list[str]:
        """The option that passes over tables of layers from before, where none are kept."""
        return [] if self.has_layers() else ["--no-layers"]

    def no_halves(self) -> list[str]:
        """The option that passes over files of halves from before, where none are asked for."""
        return [] if self.halves() else ["--no-halves"]

    def figures(self) -> list[str]:
        """The files of figures that are asked for, and of their captions."""
        asked = self.settings["figures"]
        figures = [
            self.path(f"figures/{width}/{figure}.{suffix}")
            for width in asked["widths"]
            for figure in FIGURES
            for suffix in asked["formats"]
        ]
        captions = [self.path(f"figures/captions.{suffix}") for suffix in ("txt", "tex")]
        return [*figures, *captions]

    def everything(self) -> list[str]:
        """Every result: whichever of them is deleted is made again."""
        pages = [self.path(name) for name in ("summary.json", "report.html")]
        return [*pages, *self.figures(), *self.analysis(), *self.metrics(), *self.layers()]


def alike_in_figures(jobs: Mapping[str, Jobs]) -> dict[tuple[str, ...], list[str]]:
    """Experiments by the files of figures that they ask for, which have a place for their name.

    A rule has the same outputs for all of its experiments, so that each group takes a rule.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, of in jobs.items():
        files = (path.replace(of.path(""), "<results>/{experiment}/", 1) for path in of.figures())
        groups.setdefault(tuple(files), []).append(name)
    return groups


def figures_to_show(files: Iterable[str]) -> set[str]:
    """Of each figure's files the one that suits Snakemake's own report best.

    A page's figure goes before a column's, PNG before SVG, and SVG before PDF. Captions are none.
    """
    formats = [".png", ".svg", ".pdf"]

    def order(path: str) -> tuple[bool, int]:
        return "/page/" not in path, formats.index(PurePath(path).suffix)

    first: dict[str, str] = {}
    for path in sorted((file for file in files if PurePath(file).suffix in formats), key=order):
        first.setdefault(PurePath(path).stem, path)
    return set(first.values())


def _given(section: Mapping[str, Any] | None, prefix: str, *keys: str) -> list[str]:
    """A section's settings as options of a command; those that are null or empty are left out."""
    options = []
    for key in keys:
        value = (section or {}).get(key) or []
        values = [value] if isinstance(value, str) else value
        options += [prefix + key.replace("_", "-"), *values] if values else []
    return options
