"""The config: what a run of the workflow is told, checked before any job starts.

An experiment's settings are, from weakest to strongest: the schema's defaults, the file of the
experiment that it extends, its own file, and what config.yaml or the command line says for all
experiments of this run. A file that lists `experiments` names them all at once. Files are named by
what they are called in experiments/ (`mnist`), or by their path (`own/mnist.yaml`).
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import jsonschema
import yaml

from training_maps import own_runs
from training_maps.errors import InputError
from training_maps.hub_plan import check_hub
from training_maps.metrics import metric_columns
from training_maps.recipe import Recipe
from training_maps.seeds import parse_seeds
from training_maps.sensitivity_variants import variants_of
from training_maps.tasks import fields_schema, make_task, settings_schema, task_names

_TOP_LEVEL = ("experiments", "results", "data_dir")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclasses.dataclass(frozen=True)
class Config:
    """A checked config: folders, and each experiment's whole settings by name.

    `data_dir` is where downloaded data sets are, or None for the user's cache; `called` is what the
    config calls each experiment, its name or its file's path.
    """

    results: str
    experiments: dict[str, dict[str, Any]]
    data_dir: str | None = None
    called: dict[str, str] = dataclasses.field(default_factory=dict)


def load_schema(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the schema, with its references replaced by what they refer to.

    The keys of `training` that say how a network is trained are the fields of `Recipe`.
    """
    schema = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    definitions = schema.pop("$defs")
    definitions["training"]["properties"] |= fields_schema(Recipe)["properties"]

    def resolved(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return resolved(definitions[node["$ref"].rpartition("/")[2]])
            return {key: resolved(value) for key, value in node.items()}
        return node

    return {**resolved(schema), "$defs": resolved(definitions)}


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


def check(settings: Any, schema: Mapping[str, Any], where: str) -> None:
    """Validate `settings` against `schema`; the first fault is an `InputError` naming `where`."""
    validator = jsonschema.Draft202012Validator(schema)
    errors = sorted(validator.iter_errors(settings), key=lambda error: list(map(str, error.path)))
    if errors:
        raise InputError("\n".join(_message(error, where) for error in errors))


def fill_defaults(settings: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` with the schema's default wherever a key is missing, at every level."""
    filled = copy.deepcopy(dict(settings))
    for key, part in schema.get("properties", {}).items():
        if key not in filled and "default" in part:
            filled[key] = copy.deepcopy(part["default"])
        if key in filled and part.get("type") == "object":
            filled[key] = fill_defaults(filled[key], part)
    return filled


def merge(weaker: Mapping[str, Any], stronger: Mapping[str, Any]) -> dict[str, Any]:
    """Both, level by level; where they differ, `stronger` counts."""
    merged = copy.deepcopy(dict(weaker))
    for key, value in stronger.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else copy.deepcopy(value)
    return merged


_READERS: dict[str, Callable[[str], Any]] = {
    "integer": int,
    "number": float,
    "boolean": {"true": True, "false": False}.__getitem__,
    "null": {"null": None, "none": None, "~": None, "": None}.__getitem__,
}


def typed(value: Any, schema: Mapping[str, Any]) -> Any:
    """`value` with text made into the number or truth value that `schema` asks for, if it can be.

    Snakemake hands over what `--config hmm='{restarts: 3}'` says as text, below the top level, and
    YAML reads 1e-05 as text.
    """
    if isinstance(value, Mapping):
        parts = schema.get("properties", {})
        others = schema.get("additionalProperties") or {}  # where any key may be
        return {key: typed(part, parts.get(key, others)) for key, part in value.items()}
    if isinstance(value, list):
        return [typed(part, schema.get("items", {})) for part in value]
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if isinstance(value, str) and "string" not in types:
        for kind in types:
            with contextlib.suppress(ValueError, KeyError):
                return _READERS[kind](value.lower())
    return value  # the check says what was expected


@dataclasses.dataclass(frozen=True)
class _Files:
    """The files of experiments: those of the project's folder, and others by their paths."""

    folder: Path
    schemas: Mapping[str, Any]

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
                    f"config: experiments: {name!r} is neither the name of a file in {self.folder} "
                    "nor a path that ends in .yaml"
                )
            return self.folder / f"{name}.yaml"
        path = Path(name).expanduser()
        return path if beside is None else beside.parent / path

    def called(self, path: Path) -> str:
        """What the config calls the experiment of a file."""
        return path.stem if path.parent == self.folder else str(path)

    def read(self, path: Path) -> dict[str, Any]:
        """What the file of an experiment, or of a group of them, says."""
        if not path.is_file():
            raise InputError(f"config: experiments: there is no {path}{self._advice(path)}")
        if not _NAME.fullmatch(path.stem):
            raise InputError(
                f"config: experiments: {path}: an experiment is called what its file is; expected "
                "letters, digits, '_', '-' and '.' only"
            )
        try:
            own = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except yaml.YAMLError as error:
            raise InputError(f"{path}: is not valid YAML ({error})") from error
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
        base = own.pop("extends", None)
        if base is None:
            return own
        return merge(self.extended(self.locate(base, path), (*extending, path)), own)

    def _advice(self, path: Path) -> str:
        if path.parent != self.folder:
            return "; a relative path starts from the folder that the workflow runs in"
        known = sorted(file.stem for file in self.folder.glob("*.yaml"))
        return (
            f"{_nearest(path.stem, known)}; the experiments are {', '.join(known)}, and a file of "
            "your own is named by its path, such as own/mine.yaml"
        )


def _experiment(path: Path, overrides: Mapping[str, Any], files: _Files) -> dict[str, Any]:
    """The whole settings of one experiment."""
    schema = files.schemas["experiment"]
    given = merge(files.extended(path), overrides)
    settings = fill_defaults(given, schema)
    settings.pop("extends")
    where = f"experiment {path.stem}"
    check(settings, schema, where)
    foreign = own_runs.foreign_keys(files.read(path), settings["source"])
    if foreign:
        raise InputError(f"{path}: {own_runs.contradiction(foreign[0], settings['source'])}")
    own_runs.check_source(settings, where)
    if "seeds" not in given and own_runs.takes_all_seeds(settings):
        settings["seeds"] = own_runs.ALL_SEEDS
    settings["seeds"] = own_runs.read_seeds(settings, where)
    if settings["source"] == "hub":
        check_hub(settings["hub"], settings["seeds"], where)
    settings["hmm"]["n_states"] = parse_seeds(settings["hmm"]["n_states"], f"{where}: hmm.n_states")
    if min(settings["hmm"]["n_states"]) < 1:
        raise InputError(f"{where}: hmm.n_states: expected numbers of at least 1, got 0")
    _check_columns(settings, where)
    if settings["source"] == "training":
        settings["training"]["task_settings"] = _task_settings(settings["training"], where)
    used = own_runs.used_settings(settings)
    variants_of(used, where)
    return used


def _check_overrides(overrides: Mapping[str, Any], experiments: Mapping[str, Any]) -> None:
    """Refuse what config.yaml says for all experiments if it has no meaning for any of them."""
    sources = {settings["source"] for settings in experiments.values()}
    foreign = [set(own_runs.foreign_keys(overrides, source)) for source in sources]
    for key in sorted(set.intersection(*foreign)):
        raise InputError(f"config: {own_runs.contradiction(key, min(sources))}")


def _check_columns(settings: Mapping[str, Any], where: str) -> None:
    """Refuse metrics that do not exist, before hours are spent on what they are metrics of."""
    try:
        metric_columns(settings["metrics"]["columns"])
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _task_settings(training: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The task's own settings, checked and with its defaults."""
    task = training["task"]
    if task not in task_names():
        raise InputError(
            f"{where}: training.task: there is no task {task!r}{_nearest(task, task_names())}; "
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


def _message(error: jsonschema.ValidationError, where: str) -> str:
    """One fault in one line: where, the key's path, what was expected, what was found."""
    path = ".".join(str(part) for part in error.absolute_path)
    schema: Mapping[str, Any] = cast(Mapping[str, Any], error.schema)
    if error.validator == "additionalProperties":
        known = list(schema.get("properties", {}))
        unknown = sorted(
            str(key) for key in cast(dict[str, Any], error.instance) if key not in known
        )
        return "\n".join(
            f"{where}: unknown key {f'{path}.{key}' if path else key}{_nearest(key, known)}; "
            f"the keys here are {', '.join(known)}"
            for key in unknown
        )
    if error.validator == "required":
        missing = [
            key for key in schema["required"] if key not in cast(dict[str, Any], error.instance)
        ]
        return f"{where}: {f'{path}: ' if path else ''}missing key {', '.join(missing)}"
    expected = _expectation(schema)
    return f"{where}: {path or 'the whole'}: expected {expected}, got {error.instance!r}"


def _expectation(schema: Mapping[str, Any]) -> str:
    """What a schema asks for, in words."""
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    types = schema.get("type", "anything")
    words = [" or ".join([types] if isinstance(types, str) else types)]
    limits = {
        "minimum": "at least",
        "exclusiveMinimum": "more than",
        "maximum": "at most",
        "exclusiveMaximum": "less than",
        "minItems": "of length at least",
        "minLength": "of length at least",
        "pattern": "matching",
    }
    words += [f"{word} {schema[key]}" for key, word in limits.items() if key in schema]
    if schema.get("uniqueItems"):
        words.append("without repeats")
    return " ".join(words)


def _nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the known name nearest to `name`, if one is near."""
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""
