"""Reading the files of an experiment's results: which must be there, and what must be in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training_maps.result_tables import ONLY_WITH_A_MODEL
from training_maps.runs.training_logs import LOG_COLUMNS, find_training_logs
from training_maps.utils.errors import InputError
from training_maps.utils.files import read_json, read_table, table_metadata
from training_maps.utils.notes import Note, notes_from

if TYPE_CHECKING:
    import pandas as pd

# What is read of each file, and must be there for that; a stage may write more.
FORK_KEYS = ("forks", "significance", "notes")
PHASE_KEYS = ("phases", "order", "tolerance", "reason", "notes")
SENSITIVITY_KEYS = ("sentences", "reference", "variants")
WARNING_KEYS = ("sentences", "fractions", "notes")
STRUCTURE_KEYS = ("verdict", "sentence", "rungs", "gains", "choice", "members")
REPRODUCIBILITY_KEYS = ("scheme", "agreement", "pairs", "candidates", "found", "sentences")
_STABILITY_KEYS = (
    "verdict",
    "sentence",
    "findings",
    "chosen",
    "criterion",
    "aggregate",
    "judging",
    "candidates",
    "without_run",
    "restarts",
    "resplits",
    "limits",
)
# Of keys that any of these files has: what must be a list, and what an object where it is not null.
_LISTS = {
    "candidates", "detour_states", "findings", "forks", "fractions", "metrics", "notes", "pairs",
    "paths", "resplits", "sentences", "states", "transitions", "variants",
}  # fmt: skip
_OBJECTS = {
    "agreement",
    "chosen",
    "found",
    "judging",
    "limits",
    "order",
    "outcome",
    "phases",
    "restarts",
    "selected_model",
}
_MAP_KEYS = ("experiment", "metrics", "linear", "selected_model", "states", "transitions", "paths")


def read_map(path: Path) -> dict[str, Any]:
    """`training_map.json`, which must have states."""
    training_map = read_keys(path, _MAP_KEYS)
    if not training_map["states"]:
        raise InputError(f"{path}: has no states; rerun the map stage")
    return training_map


def read_keys(
    path: Path, keys: Sequence[str], stage: str = "map", noted: Sequence[str] = ("notes",)
) -> dict[str, Any]:
    """A JSON file of a stage, which must have `keys`, and in known ones a list or an object.

    What it has for `noted` must be notes.
    """
    data = read_json(path)
    if not isinstance(data, dict):
        raise InputError(f"{path}: holds no JSON object; rerun the {stage} stage")
    missing = [key for key in keys if key not in data]
    if missing:
        raise InputError(f"{path}: has no {', '.join(missing)}; rerun the {stage} stage")
    for key, value in data.items():
        for names, kind, name in ((_LISTS, list, "a list"), (_OBJECTS, dict, "an object")):
            if key in names and not (value is None or isinstance(value, kind)):
                raise InputError(f"{path}: {key} is not {name}; rerun the {stage} stage")
    for key in noted:
        notes_from(data.get(key) or (), path)
    return data


def read_optional_keys(
    path: Path, keys: Sequence[str], noted: Sequence[str] = ("notes",)
) -> dict[str, Any]:
    """A JSON file named like its stage, which must have `keys`; empty if it is missing."""
    return read_keys(path, keys, path.stem, noted) if path.exists() else {}


def read_selection(
    folder: Path, training_map: dict[str, Any]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The scores of all models and how stable the choice is; empty where no model was fitted."""
    from training_maps.model_selection.fitted import SCORE_COLUMNS

    if not training_map["selected_model"]:
        import pandas as pd

        return pd.DataFrame(columns=list(SCORE_COLUMNS)), {}
    table = read_table(folder / "hmm" / "model_selection.csv", SCORE_COLUMNS)
    return table, read_keys(folder / "hmm" / "stability.json", _STABILITY_KEYS)


def read_optional(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    """A table that may be missing: then an empty one with the same columns."""
    import pandas as pd

    always = [column for column in columns if column not in ONLY_WITH_A_MODEL]
    if not path.exists():
        return pd.DataFrame({column: [] for column in always})
    flags = {column: bool for column, kind in columns.items() if kind == "bool"}
    return read_table(path, always).astype(flags)


def read_logs(folder: Path, seeds: np.ndarray) -> dict[int, pd.DataFrame]:
    """The training logs that there are, each with `LOG_COLUMNS` first."""
    return {
        seed: log.reindex(columns=list(dict.fromkeys([*LOG_COLUMNS, *log.columns])))
        for seed, log in find_training_logs(folder / "runs", seeds).items()
    }


def read_observations(path: Path) -> tuple[tuple[int, ...], tuple[Note, ...]]:
    """The validation seeds and the notes of the observations; the metrics stay unread."""
    if not path.exists():
        return (), ()
    import pandas as pd

    rows = pd.read_parquet(path, columns=["seed", "split"])
    held_out = np.unique(rows.loc[rows["split"] == "validation", "seed"])
    notes = notes_from(table_metadata(path).get("notes", ()), path)
    return tuple(int(seed) for seed in held_out), notes


def notes_of(data: Mapping[str, Any], where: Path) -> tuple[Note, ...]:
    """The notes of what a file of a stage holds."""
    return notes_from(data.get("notes") or (), where)


def unique(*groups: Sequence[Note]) -> tuple[Note, ...]:
    """All notes, each once."""
    return tuple(dict.fromkeys(note for group in groups for note in group))
