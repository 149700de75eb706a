"""The config: the settings of a run of the workflow, checked before any job starts.

An experiment's settings are, from weakest to strongest: the schema's defaults, the file of the
experiment that it extends, its own file, and what config.yaml or the command line says for all
experiments of this run. A file that lists `experiments` names them all at once. Files are named by
what they are called in experiments/ (`mnist`), or by their path (`own/mnist.yaml`).
"""

from __future__ import annotations

import copy
import dataclasses
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from training_maps.analysis.sensitivity.variants import variants_of
from training_maps.config import sources
from training_maps.config.consistency import check_together
from training_maps.config.gpu_settings import for_device
from training_maps.config.schema import check, fill_defaults, merge, nearest, typed
from training_maps.config.strict_yaml import read_yaml
from training_maps.hub.plan import check_hub
from training_maps.metrics.definitions import metric_columns
from training_maps.settings.sections import METHODS
from training_maps.training.tasks import make_task, settings_schema, task_names
from training_maps.utils.errors import InputError, shown
from training_maps.utils.files import explained
from training_maps.utils.seeds import parse_seeds

# File systems allow names of 255, and jobs' files on a cluster add some.
_LONGEST_NAME = 200
_TOP_LEVEL = ("experiments", "results", "data_dir")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclasses.dataclass(frozen=True)
class Config:
    """A checked config: folders, and each experiment's whole settings by name.

    `data_dir` is where downloaded data sets are, or None for the user's cache; `called` is what the
    config calls each experiment, its name or its file's path; `table_files` are, by experiment, the
    files that its tables and training logs are read from (of `prepare` only).
    """

    results: str
    experiments: dict[str, dict[str, Any]]
    data_dir: str | None = None
    called: dict[str, str] = dataclasses.field(default_factory=dict)
    table_files: dict[str, list[str]] = dataclasses.field(default_factory=dict)


def check_file(path: str | os.PathLike[str], schema: Mapping[str, Any]) -> None:
    """Refuse a config's file by itself, so that Snakemake, which reads it too, meets a good one.

    Raises:
        InputError: naming the file, and the line or the key.
    """
    check(typed(read_yaml(path), schema), schema, str(path))


def prepare(
    config: Mapping[str, Any], folder: str | os.PathLike[str], schema: Mapping[str, Any]
) -> Config:
    """What `resolve` gives, with experiments' existing runs and files looked for.

    Returns:
        The config; every experiment's `seeds` are those of its runs, as a list.

    Raises:
        InputError: as `resolve`, and if a run or a file is missing or cannot be what it is to be.
    """
    where = "config"
    try:
        checked = resolve(config, folder, schema)
        sources.check_folders(checked.results, checked.data_dir)
        for name, settings in checked.experiments.items():
            where = f"experiment {name}"
            settings["seeds"] = sources.find_seeds(settings, where)
            checked.table_files[name] = sources.files_of_tables(settings, where)
            sources.check_files(settings, checked.table_files[name], where)
    except OSError as error:  # such as a name that is too long, or a folder that is not public
        file = shown(str(error.filename))
        raise InputError(f"{where}: {file} cannot be looked at ({error.strerror})") from error
    except RuntimeError as error:
        told = explained(error)
        if told is None:
            raise
        raise InputError(f"{where}: {told}") from error
    return checked


def resolve(
    config: Mapping[str, Any], folder: str | os.PathLike[str], schema: Mapping[str, Any]
) -> Config:
    """Check `config` and the experiment files it names; fill in every default.

    Args:
        config: config.yaml with what the command line adds.
        folder: where the experiment files are.
        schema: what `load_schema` gives.

    Returns:
        The settings of every experiment; `seeds` and `hmm.n_states` are lists of numbers.

    Raises:
        InputError: naming the file, the key's path, what was expected, and the nearest valid name
            of an unknown key.
    """
    config = typed(config, schema)
    check(config, schema, "config")
    overrides = {key: value for key, value in config.items() if key not in _TOP_LEVEL}
    named = config["experiments"]
    files = _Files(Path(folder), schema["$defs"])
    paths = files.expand([named] if isinstance(named, str) else named)
    experiments = {name: _experiment(path, overrides, files) for name, path in paths.items()}
    _check_overrides(overrides, experiments)
    top = fill_defaults({key: config[key] for key in config if key in _TOP_LEVEL}, schema)
    called = {name: files.called(path) for name, path in paths.items()}
    return Config(top["results"], experiments, top["data_dir"], called)


@dataclasses.dataclass(frozen=True)
class _Files:
    """The files of experiments: those of the project's folder, and others by their paths."""

    folder: Path
    schemas: Mapping[str, Any]
    said: dict[Path, dict[str, Any]] = dataclasses.field(default_factory=dict)  # once read

    def locate(self, name: str, beside: Path | None = None) -> Path:
        """The file that `name` stands for.

        Args:
            name: what a file of the folder is called, or a path that ends in .yaml or .yml.
            beside: the file that names it, which a relative path starts from; None for the config,
                whose paths start from the working directory.
        """
        if not name.endswith((".yaml", ".yml")):
            if not _NAME.fullmatch(name):
                raise InputError(
                    f"config: experiments: {shown(name)} is neither the name of a file in "
                    f"{self.folder} nor a path that ends in .yaml"
                )
            return self.folder / f"{name}.yaml"
        path = Path(name).expanduser()
        return path if beside is None else beside.parent / path

    def called(self, path: Path) -> str:
        """What the config calls the experiment of a file."""
        return path.stem if path.parent == self.folder else str(path)

    def read(self, path: Path) -> dict[str, Any]:
        """What the file of an experiment, or of a group of them, says."""
        if path not in self.said:
            self.said[path] = self._read(path)
        return copy.deepcopy(self.said[path])

    def _read(self, path: Path) -> dict[str, Any]:
        if not path.is_file():
            raise InputError(f"config: experiments: there is no {path}{self._advice(path)}")
        if not _NAME.fullmatch(path.stem):
            raise InputError(
                f"config: experiments: {path}: an experiment is called what its file is; expected "
                "letters, digits, '_', '-' and '.' only"
            )
        if len(path.stem) > _LONGEST_NAME:
            raise InputError(
                f"config: experiments: {shown(path.stem)} has {len(path.stem)} characters, and "
                f"files are named after it; expected at most {_LONGEST_NAME}"
            )
        own = read_yaml(path)
        is_group = isinstance(own, Mapping) and "experiments" in own
        schema = self.schemas["group" if is_group else "experiment"]
        own = typed(own, schema)
        check(own, schema, str(path))
        return own

    def expand(self, names: Iterable[str]) -> dict[str, Path]:
        """The file of each experiment; a group's name stands for all of its experiments."""
        expanded: dict[str, Path] = {}
        for name in names:
            path = self.locate(name)
            members = self.read(path).get("experiments")
            found = [path] if members is None else [self.locate(m, path) for m in members]
            for file in found:
                same = expanded.setdefault(file.stem, file)
                if same.resolve() != file.resolve():
                    raise InputError(
                        f"config: experiments: {same} and {file} are both called {file.stem}; "
                        "rename one"
                    )
        return expanded

    def extended(self, path: Path, extending: tuple[Path, ...] = ()) -> dict[str, Any]:
        """What an experiment's file says, on top of what the experiment that it extends says."""
        if path in extending:
            chain = " -> ".join(file.stem for file in (*extending, path))
            raise InputError(f"{path}: extends itself ({chain})")
        own = self.read(path)
        if "experiments" in own:
            raise InputError(
                f"{path}: names several experiments, and cannot be extended or be one of several"
            )
        base = own.pop("extends", None)
        if base is None:
            return own
        return merge(self.extended(self.locate(base, path), (*extending, path)), own)

    def _advice(self, path: Path) -> str:
        if path.parent != self.folder:
            return "; a relative path starts from the folder that the workflow runs in"
        known = sorted(file.stem for file in self.folder.glob("*.yaml"))
        return (
            f"{nearest(path.stem, known)}; the experiments are {', '.join(known)}, and a file of "
            "your own is named by its path, such as own/mine.yaml"
        )


def _experiment(path: Path, overrides: Mapping[str, Any], files: _Files) -> dict[str, Any]:
    """The whole settings of one experiment."""
    schema = files.schemas["experiment"]
    given = for_device(files.extended(path), overrides)
    settings = fill_defaults(_with_method(given), schema)
    settings.pop("extends")
    where = f"experiment {path.stem}"
    check(settings, schema, where)
    foreign = sources.foreign_keys(files.read(path), settings["source"])
    if foreign:
        raise InputError(f"{path}: {sources.contradiction(foreign[0], settings['source'])}")
    sources.check_source(settings, where)
    if "seeds" not in given and sources.takes_all_seeds(settings):
        settings["seeds"] = sources.ALL_SEEDS
    settings["seeds"] = sources.read_seeds(settings, where)
    if settings["source"] == "hub":
        check_hub(settings["hub"], settings["seeds"], where)
    settings["hmm"]["n_states"] = parse_seeds(settings["hmm"]["n_states"], f"{where}: hmm.n_states")
    _check_columns(settings, where)
    if settings["source"] == "training":
        settings["training"]["task_settings"] = _task_settings(settings["training"], where)
    check_together(path.stem, settings)
    used = sources.used_settings(settings)
    variants_of(used, where)
    return used


def _with_method(given: Mapping[str, Any]) -> dict[str, Any]:
    """What an experiment says, on top of what its method does."""
    trained = given.get("source", "training") == "training"
    method = given.get("method") or ("paper" if trained else "recommended")
    return merge(METHODS.get(method, {}), given)


def _check_overrides(overrides: Mapping[str, Any], experiments: Mapping[str, Any]) -> None:
    """Refuse what config.yaml says for all experiments if it has no meaning for any of them."""
    used = {settings["source"] for settings in experiments.values()}
    foreign = [set(sources.foreign_keys(overrides, source)) for source in used]
    for key in sorted(set.intersection(*foreign)):
        raise InputError(f"config: {sources.contradiction(key, min(used))}")


def _check_columns(settings: Mapping[str, Any], where: str) -> None:
    """Refuse metrics that do not exist, before hours are spent on what they are metrics of."""
    try:
        data = settings["source"] not in ("checkpoints", "hub")
        metric_columns(settings["metrics"]["columns"], data=data)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _task_settings(training: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The task's own settings, checked and with its defaults."""
    task = training["task"]
    if task not in task_names():
        raise InputError(
            f"{where}: training.task: there is no task {task!r}{nearest(task, task_names())}; "
            f"the tasks are {', '.join(task_names())}"
        )
    schema = settings_schema(task)
    given = typed(training["task_settings"], schema)
    check(given, schema, f"{where}: training.task_settings")
    settings = fill_defaults(given, schema)
    try:
        make_task(task, settings)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    return settings
