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
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import jsonschema

from training_maps import own_runs
from training_maps.contradictions import check_together, nearest
from training_maps.errors import InputError, shown
from training_maps.hub_plan import check_hub
from training_maps.metrics import metric_columns
from training_maps.recipe import Recipe
from training_maps.seeds import parse_seeds
from training_maps.sensitivity_variants import variants_of
from training_maps.tasks import fields_schema, make_task, settings_schema, task_names
from training_maps.yaml_files import read_yaml

_TOP_LEVEL = ("experiments", "results", "data_dir")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")  # all but tabs and line ends
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
# Whole numbers without a limit of their own have this one, so that a slip of the pen ends here and
# not in a loop that never ends, or in a library that counts in 32 bits.
_LARGEST = 2**31 - 1


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


def load_schema(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the schema, with its references replaced by what they refer to.

    The keys of `training` that say how a network is trained are the fields of `Recipe`.
    """
    schema = read_yaml(path)
    definitions = schema.pop("$defs")
    definitions["training"]["properties"] |= fields_schema(Recipe)["properties"]

    def resolved(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return resolved(definitions[node["$ref"].rpartition("/")[2]])
            return {key: resolved(value) for key, value in node.items()}
        return node

    return {**resolved(schema), "$defs": resolved(definitions)}


def check_file(path: str | os.PathLike[str], schema: Mapping[str, Any]) -> None:
    """Refuse a config's file by itself, so that Snakemake, which reads it too, meets a good one.

    Raises:
        InputError: naming the file, and the line or the key.
    """
    check(typed(read_yaml(path), schema), schema, str(path))


def prepare(
    config: Mapping[str, Any], folder: str | os.PathLike[str], schema: Mapping[str, Any]
) -> Config:
    """What `resolve` gives, with the runs and files that experiments bring along looked for.

    Returns:
        The config; every experiment's `seeds` are those of its runs, as a list.

    Raises:
        InputError: as `resolve`, and if a run or a file is missing or cannot be what it is to be.
    """
    where = "config"
    try:
        checked = resolve(config, folder, schema)
        own_runs.check_folders(checked.results, checked.data_dir)
        for name, settings in checked.experiments.items():
            where = f"experiment {name}"
            settings["seeds"] = own_runs.find_seeds(settings, where)
            checked.table_files[name] = own_runs.files_of_tables(settings, where)
            own_runs.check_files(settings, checked.table_files[name], where)
    except OSError as error:  # such as a name that is too long, or a folder not for all to read
        file = shown(str(error.filename))
        raise InputError(f"{where}: {file} cannot be looked at ({error.strerror})") from error
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


def check(settings: Any, schema: Mapping[str, Any], where: str) -> None:
    """Validate `settings` against `schema`; the first fault is an `InputError` naming `where`."""
    errors = sorted(
        _Validator(schema).iter_errors(settings), key=lambda error: list(map(str, error.path))
    )
    if errors:
        raise InputError("\n".join(_message(error, where) for error in errors))


def _is_whole(checker: jsonschema.TypeChecker, value: Any) -> bool:
    """Whether a value is a whole number, and not an absurd one."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _is_number(checker: jsonschema.TypeChecker, value: Any) -> bool:
    """Whether a value is a number; NaN is none, and would pass any limit."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) <= _LARGEST


def _is_text(checker: jsonschema.TypeChecker, value: Any) -> bool:
    """Whether a value is a text that can be in a file's name, a command or a page."""
    return isinstance(value, str) and not _CONTROL.search(value)


_Validator: Any = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"integer": _is_whole, "number": _is_number, "string": _is_text}
    ),
)


def fill_defaults(settings: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` with the schema's default wherever a key is missing, at every level.

    Keys are in the schema's order: who says a default, and where, changes nothing that follows.
    """
    filled = copy.deepcopy(dict(settings))
    ordered: dict[str, Any] = {}
    for key, part in schema.get("properties", {}).items():
        if key not in filled and "default" in part:
            filled[key] = copy.deepcopy(part["default"])
        if key in filled and part.get("type") == "object":
            filled[key] = fill_defaults(filled[key], part)
        if key in filled:
            ordered[key] = filled[key]
    return ordered | filled


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
    if isinstance(value, float) and value.is_integer() and not {"number", "string"} & set(types):
        return int(value) if "integer" in types else value
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
    _check_columns(settings, where)
    if settings["source"] == "training":
        settings["training"]["task_settings"] = _task_settings(settings["training"], where)
    check_together(path.stem, settings)
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
            f"{where}: unknown key {f'{path}.{key}' if path else key}{nearest(key, known)}; "
            f"the keys here are {', '.join(known)}"
            for key in unknown
        )
    if error.validator == "required":
        missing = [
            key for key in schema["required"] if key not in cast(dict[str, Any], error.instance)
        ]
        return f"{where}: {f'{path}: ' if path else ''}missing key {', '.join(missing)}"
    expected = _expectation(schema)
    return f"{where}: {path or 'the whole'}: expected {expected}, got {shown(error.instance)}"


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
