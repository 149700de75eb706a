"""Runs that are trained here, and existing runs: what each `source` takes.

training        trained here, by the workflow
checkpoints     files of checkpoints; the workflow begins at the metrics
hub             checkpoints on the Hugging Face hub; likewise
metrics         tables of metrics; the workflow begins at the observations
state_paths     a table of seed, step and state; everything that needs no model is done
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training_maps.config.schema import nearest
from training_maps.runs.discovery import Pattern, find_runs
from training_maps.utils.errors import InputError, shown
from training_maps.utils.seeds import named_seeds, parse_seeds

if TYPE_CHECKING:
    from training_maps.runs.tables.runs import LoggedRun

ALL_SEEDS = "all"

# Which sources a section is for, where it is not for all of them.
_SOURCES_OF: dict[str, tuple[str, ...]] = {
    "checkpoints": ("checkpoints",),
    "hub": ("hub",),
    "tables": ("metrics",),
    "state_paths": ("state_paths",),
    "training_log": ("checkpoints", "hub", "metrics", "state_paths"),
    "parameters": ("training", "checkpoints", "hub"),
    "metrics": ("training", "checkpoints", "hub", "metrics"),
    "observations": ("training", "checkpoints", "hub", "metrics"),
    "hmm": ("training", "checkpoints", "hub", "metrics"),
    "training_map": ("training", "checkpoints", "hub", "metrics"),
    "sensitivity": ("training", "checkpoints", "hub", "metrics"),
    "early_warning": ("training", "checkpoints", "hub", "metrics"),
}
# Keys of `metrics` that say how checkpoints are measured, where there are none.
_MEASURING = ("columns", "unreadable")
# The one key of `training` that runs from elsewhere take: the time that figures show.
_TRAINING_KEYS_OF_ALL = ("unit",)
_TAKE_ALL_SEEDS = ("checkpoints", "metrics", "state_paths")
# Event files of a run of more bytes than this are not read by a dry run.
_LARGE = 8_000_000
# The section that says where a source's runs are, and an example of its path.
_NEEDED = {
    "checkpoints": ("checkpoints", "runs/seed{seed}/step_{step}.safetensors"),
    "metrics": ("tables", "metrics.csv"),
    "state_paths": ("state_paths", "state_paths.csv"),
}


def foreign_keys(given: Mapping[str, Any], source: str) -> list[str]:
    """The keys of `given`, an experiment's settings, that have no meaning for `source`."""
    keys = [
        section
        for section, sources in _SOURCES_OF.items()
        if given.get(section) and source not in sources
    ]
    if source != "training":
        keys += [
            f"training.{key}"
            for key in given.get("training") or ()
            if key not in _TRAINING_KEYS_OF_ALL
        ]
    if source == "metrics":
        keys += [f"metrics.{key}" for key in _MEASURING if key in (given.get("metrics") or ())]
    return keys


def contradiction(key: str, source: str) -> str:
    """Why `key` has no meaning for `source`, and what to do, in a sentence."""
    both = f"{key} and source: {source} contradict each other"
    sources = _SOURCES_OF.get(key, ("training",))
    if key.startswith("training."):
        reason = "nothing is trained, and of training only unit counts, the time of figures"
    elif key.startswith("metrics."):
        return f"{both}: nothing is measured. Leave {key} out; tables.metrics names columns to use"
    elif len(sources) == 1:
        return f"{both}; say source: {sources[0]}, or leave {key} out"
    elif key == "parameters":
        reason = "no tensors are read"
    elif source == "training":
        reason = "training writes its own log"
    else:
        reason = "no model is fitted to state paths that are given"
    return f"{both}: {reason}. Leave {key} out"


def used_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings less what has no meaning for their source."""
    source = settings["source"]
    used = {
        section: value
        for section, value in settings.items()
        if source in _SOURCES_OF.get(section, (source,))
    }
    if source != "training":
        used["training"] = {key: settings["training"][key] for key in _TRAINING_KEYS_OF_ALL}
    return used


def check_source(settings: Mapping[str, Any], where: str) -> None:
    """Refuse settings that do not say where their runs are.

    Raises:
        InputError: if the source's path is missing, or is no pattern where one is needed; or if
            columns of a training log are asked for and there is none.
    """
    source = settings["source"]
    if settings["observations"]["log_columns"] and not has_training_log(settings):
        raise InputError(
            f"{where}: observations.log_columns are of the training log, and there is none; say "
            "what it is with training_log"
        )
    if source not in _NEEDED:
        return
    section, example = _NEEDED[source]
    path = settings[section]["path"]
    if not path:
        raise InputError(f"{where}: source: {source} needs {section}.path, such as {example}")
    if source == "checkpoints":
        try:
            Pattern.read(path)
        except InputError as error:
            raise InputError(f"{where}: checkpoints.path: {error}") from error


def read_seeds(settings: Mapping[str, Any], where: str) -> list[int] | str:
    """The seeds that are asked for, ascending, or `ALL_SEEDS`."""
    seeds = settings["seeds"]
    if seeds == ALL_SEEDS and settings["source"] in _TAKE_ALL_SEEDS:
        return ALL_SEEDS
    return parse_seeds(seeds, f"{where}: seeds")


def takes_all_seeds(settings: Mapping[str, Any]) -> bool:
    """Whether all runs that are there are taken, unless seeds are given."""
    return settings["source"] in _TAKE_ALL_SEEDS


def has_training_log(settings: Mapping[str, Any]) -> bool:
    """Whether each run has a training log: its training writes one, or it exists already."""
    source, log = settings["source"], settings.get("training_log", {})
    if source == "training":
        return True
    # Tables of metrics may hold the log's columns themselves.
    return bool(log.get("path") or (source == "metrics" and log_columns(settings)))


def log_columns(settings: Mapping[str, Any]) -> dict[str, str]:
    """What columns of the training log are called, by our names.

    Where tables of metrics are all that there is, the outcome's column is one of theirs.
    """
    log, semantics = settings.get("training_log", {}), settings.get("semantics", {})
    columns, column = dict(log.get("columns") or {}), semantics.get("column")
    if settings["source"] != "metrics" or log.get("path") or columns:
        return columns
    return {column: column} if column and semantics.get("outcome") != "table" else {}


def find_seeds(settings: Mapping[str, Any], where: str) -> list[int]:
    """The seeds of the runs to take, ascending: those asked for, which must be there, or all.

    Runs are looked for where the settings say that they are on disk; a download is not.

    Raises:
        InputError: listing the seeds that are missing, and what is there instead.
    """
    source, wanted = settings["source"], settings["seeds"]
    if source == "checkpoints":
        pattern = Pattern.read(settings["checkpoints"]["path"])
        found = sorted(find_runs(pattern))
        absent = [seed for seed in wanted if seed not in found] if wanted != ALL_SEEDS else []
        advice = pattern.explain_missing(absent[0] if absent else None)
    elif source == "state_paths":
        from training_maps.training_map.paths import read_state_paths

        path = settings["state_paths"]["path"]
        found = sorted({int(seed) for seed in read_state_paths(path)["seed"]})
        advice = f"{path} has {named_seeds(found)}"
    elif source == "metrics":
        from training_maps.runs.tables.runs import find_table_seeds, table_files

        path = settings["tables"]["path"]
        if wanted != ALL_SEEDS:
            table_files(path, wanted)
            return wanted  # whether a table has them is seen when it is read
        found = find_table_seeds(path, settings["tables"]["seed"])
        by_seed = "{seed}" in path
        advice = Pattern.read(path, ("seed",)).explain_missing() if by_seed else "it has no rows"
    else:
        return wanted
    missing = [] if wanted == ALL_SEEDS else sorted(set(wanted) - set(found))
    if not found or missing:
        which = f"of {named_seeds(missing)}" if missing else "at all"
        raise InputError(f"{where}: there are no {source.replace('_', ' ')} {which}; {advice}")
    return found if wanted == ALL_SEEDS else list(wanted)


def files_of_tables(settings: Mapping[str, Any], where: str) -> list[str]:
    """The files that the tables of metrics and the training logs are read from, where they are.

    Raises:
        InputError: if a file is missing, or a seed has several.
    """
    from training_maps.runs.tables.runs import input_files

    files: dict[str, None] = {}
    for name in ("tables", "training_log"):
        path = settings.get(name, {}).get("path")
        if path:
            try:
                found = input_files(path, settings["seeds"])
            except InputError as error:
                raise InputError(f"{where}: {name}.path: {error}") from error
            files |= dict.fromkeys(map(str, found))
    return list(files)


def check_folders(results: str, data: str | None) -> None:
    """Refuse folders for results and data sets that cannot be.

    Raises:
        InputError: if one is a file, or in a file; or if the name of the results holds what
            Snakemake reads as something else.
    """
    wrong = [character for character in results if character in "{}<>*\n"]
    if wrong or results.startswith("~"):
        raise InputError(
            f"config: results: {shown(results)} has {(wrong or ['~'])[0]!r}; write the folder's "
            "path out, without any of { } < > * ~ and line ends"
        )
    _check_folder("results", results)
    if data is not None:
        _check_folder("data_dir", data)


def _check_folder(key: str, folder: str) -> None:
    path = Path(folder)
    for part in (path, *path.parents):
        if part.exists() and not part.is_dir():
            raise InputError(f"config: {key}: {part} is a file; name a folder")


def _check_name(file: str, where: str) -> None:
    """Refuse a file that cannot be an input of the workflow, by its name alone."""
    wrong = [character for character in file if character in "{}<>*\n"]
    if wrong:
        raise InputError(
            f"{where}: {shown(file)} has {wrong[0]!r} in its name, which Snakemake takes for a "
            "place to fill in; rename the file or its folder"
        )


def check_files(settings: Mapping[str, Any], tables: Sequence[str], where: str) -> None:
    """Refuse settings that name a file which is not there, or not what it is to be.

    Args:
        settings: of an experiment.
        tables: what `files_of_tables` gives for it.
        where: what to call it in an error.

    Raises:
        InputError: naming the key and the file.
    """
    from training_maps.training.tasks import make_task
    from training_maps.utils.files import read_table

    semantics = settings["semantics"]
    for file in tables:
        _check_name(file, where)
    _check_columns(settings, where)
    if settings["source"] == "checkpoints":
        _check_checkpoints(settings, where)
    if settings["source"] == "state_paths":
        _check_name(settings["state_paths"]["path"], f"{where}: state_paths.path")
    if semantics["outcome"] == "table":
        table = semantics["table"]
        _check_name(table["path"], f"{where}: semantics.table.path")
        try:
            read_table(table["path"], ("seed", table["column"]))
        except InputError as error:
            raise InputError(f"{where}: semantics.table: {error}") from error
    if settings["source"] == "training":
        training = settings["training"]
        dataset = make_task(training["task"], training["task_settings"]).dataset
        if dataset and dataset.endswith(".npz"):
            _check_name(dataset, f"{where}: training.task_settings.dataset")
        if dataset and dataset.endswith(".npz") and not Path(dataset).is_file():
            raise InputError(
                f"{where}: training.task_settings.dataset: there is no file {dataset}; a relative "
                "path starts from the folder that the workflow runs in"
            )


def _check_checkpoints(settings: Mapping[str, Any], where: str) -> None:
    """Refuse runs of which no checkpoint is in a form that is read, by its files' names.

    Raises:
        InputError: naming the first run's first one.
    """
    from training_maps.runs.formats import find_files

    wanted = set(settings["seeds"])
    for seed, checkpoints in find_runs(Pattern.read(settings["checkpoints"]["path"])).items():
        fault: InputError | None = None
        for path in checkpoints.values() if seed in wanted else ():
            try:
                find_files(path)
            except InputError as error:
                fault = fault or error
                continue
            fault = None
            break
        if fault is not None:
            raise InputError(f"{where}: checkpoints.path: seed {seed}: {fault}") from fault


def _check_columns(settings: Mapping[str, Any], where: str) -> None:
    """Refuse columns that the first run's table does not have.

    What is in event files of more than `_LARGE` bytes is seen when they are read.

    Raises:
        InputError: naming the key, the table and the nearest column.
    """
    from training_maps.runs.tables.event_files import event_files
    from training_maps.runs.tables.runs import known_column, read_runs, table_files

    of_log, named = _of_log(settings), {"tables": {}, "training_log": log_columns(settings)}
    for section in ("tables", "training_log"):
        asked = settings.get(section, {})
        # A log without a path of its own is in the tables of metrics, with their columns.
        table = (
            asked if asked.get("path") or settings["source"] != "metrics" else settings["tables"]
        )
        path = table.get("path")
        columns = {f"{section}.columns.{name}": column for name, column in named[section].items()}
        columns |= {f"{section}.metrics": column for column in asked.get("metrics") or ()}
        if asked.get("epoch"):
            columns[f"{section}.epoch"] = asked["epoch"]
        first = settings["seeds"][:1]
        joined = of_log if section == "training_log" else {}
        if not path or not (columns or joined) or not first:
            continue
        if sum(file.stat().st_size for file in event_files(table_files(path, first)[0])) > _LARGE:
            continue
        try:
            (run,) = read_runs(path, first, seed=table.get("seed"), step=table.get("step"))
        except InputError as error:
            raise InputError(f"{where}: {section}: {error}") from error
        for key, column in columns.items():
            try:
                known_column(run.sheet, column, key)
            except InputError as error:
                raise InputError(f"{where}: {error}") from error
        known = _kept_of_log(run, named[section]) if joined else ()
        for key, column in joined.items():
            if column not in known:
                raise InputError(
                    f"{where}: {key}: the training log has no column {column}"
                    f"{nearest(column, known)}; it has {', '.join(known) or 'none'}"
                )


def _of_log(settings: Mapping[str, Any]) -> dict[str, str]:
    """The columns of the training log that settings ask for, by key."""
    if not has_training_log(settings):
        return {}
    asked = {
        f"observations.log_columns: {column}": column
        for column in settings.get("observations", {}).get("log_columns", ())
    }
    semantics = settings["semantics"]
    column = semantics.get("column")
    if column is not None and semantics["outcome"] != "table":
        asked[f"semantics.column: {column}"] = column
    return asked


def _kept_of_log(run: LoggedRun, mapped: Mapping[str, str]) -> list[str]:
    """What the columns of a run's log are called once it is read: see `read_logs`."""
    taken = {*mapped.values(), run.step_column}
    own = [
        name
        for name, column in run.sheet.columns.items()
        if name not in taken and column.has_numbers and column.n_texts == 0
    ]
    return sorted({*mapped, *own})
