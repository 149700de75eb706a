"""One experiment's results, read from its folder: what figures, report and summary work on.

The map and the state paths must be there; so must the model selection and its stability where a
model was fitted. The other files are optional, because an existing run, trained elsewhere, may
have no training log, and without convergence there is no regression: whoever draws or tells asks
what is there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from training_maps.result_tables import (
    COEFFICIENT_COLUMNS,
    CONVERGENCE_COLUMNS,
    DELAY_COLUMNS,
    DISSIMILARITY_COLUMNS,
    EARLY_WARNING_COLUMNS,
    LAYER_CHANGE_COLUMNS,
    ONLY_WITH_A_MODEL,
    OUTCOME_COLUMNS,
    OUTLIER_COLUMNS,
    PATH_COLUMNS,
    PER_RUN_COLUMNS,
    PHASE_COLUMNS,
    RUN_PATH_COLUMNS,
)
from training_maps.runs.training_logs import LOG_COLUMNS, find_training_logs
from training_maps.utils.errors import InputError
from training_maps.utils.files import read_json, read_table, table_metadata
from training_maps.utils.notes import Note, notes_from
from training_maps.utils.numbers import FOUND_AGAIN

if TYPE_CHECKING:
    import pandas as pd

Time = Literal["epoch", "step"]

# What is read of each file, and must be there for that; a stage may write more.
_FORK_KEYS = ("forks", "significance", "notes")
_PHASE_KEYS = ("phases", "order", "tolerance", "reason", "notes")
_SENSITIVITY_KEYS = ("sentences", "reference", "variants")
_WARNING_KEYS = ("sentences", "fractions", "notes")
_LOGGED = {
    "eval_accuracy": "evaluation accuracy",
    "train_accuracy": "training accuracy",
    "eval_loss": "evaluation loss",
    "train_loss": "training loss",
}
# What the regression is of, unless its file says otherwise.
_CONVERGENCE_TIME = {
    "name": "convergence time",
    "unit": "fraction of the longest run's steps",
    "is_time": True,
    "larger_means": "later",
}
_STRUCTURE_KEYS = ("verdict", "sentence", "rungs", "gains", "choice", "members")
_REPRODUCIBILITY_KEYS = ("scheme", "agreement", "pairs", "candidates", "found", "sentences")
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


@dataclass(frozen=True)
class ExperimentResults:
    """What one experiment's result folder holds.

    Attributes:
        folder: the folder that was read.
        experiment: the experiment's name.
        training_map: `training_map.json` as a dict.
        model_selection: one row a restart and split, columns `SCORE_COLUMNS`; empty where no model
            was fitted.
        stability: `hmm/stability.json` as a dict; empty where no model was fitted.
        state_paths: `seed, step, state`, one row a checkpoint, sorted by seed and step.
        logs: training log of each seed (columns `LOG_COLUMNS`, null where a log lacks one); empty
            where there are none.
        convergence: `seed, step, epoch, fraction, converged`; empty where it is not defined.
        coefficients: regression coefficients, one row a state; empty without a regression.
        delays: how much later than the average run visitors of each state converge, columns
            `DELAY_COLUMNS`; empty where that is not known.
        regression: `regression.json` as a dict; empty where there is none.
        outcomes: `seed, outcome, censored, predicted`; empty where there is no outcome.
        dissimilarity: one row a pair of seeds, and a column for each ground distance; empty with
            fewer than two runs.
        dissimilarity_per_run: `seed` and each ground distance, the mean over the other runs.
        outliers: `seed, mean_dissimilarity, is_outlier`; empty where they were not looked for.
        run_paths: when each run enters each state, one row a stay; empty where that is not known.
        forks: `forks.json` as a dict; empty where there is none.
        phase_transitions: one row for each run and phase; empty where they were not looked for.
        phases: `phase_transitions.json` as a dict; empty where there is none.
        structure: `structure.json` as a dict; empty where no halves of the runs were fitted.
        reproducibility: `reproducibility.json` as a dict; empty where no halves of the runs were
            fitted.
        sensitivity: `sensitivity.json` as a dict; empty unless the experiment asked for it.
        early_warning: `early_warning.json` as a dict; empty unless the experiment asked for it.
        early_warnings: its table; empty unless the experiment asked for it.
        layer_changes: how each layer changes at each transition; empty where layers are not kept.
        validation_seeds: seeds held out for model selection.
        notes: everything that earlier stages remarked, each note once.
    """

    folder: Path
    experiment: str
    training_map: dict[str, Any]
    model_selection: pd.DataFrame
    stability: dict[str, Any]
    state_paths: pd.DataFrame
    logs: dict[int, pd.DataFrame]
    convergence: pd.DataFrame
    coefficients: pd.DataFrame
    delays: pd.DataFrame
    regression: dict[str, Any]
    outcomes: pd.DataFrame
    dissimilarity: pd.DataFrame
    dissimilarity_per_run: pd.DataFrame
    outliers: pd.DataFrame
    run_paths: pd.DataFrame
    forks: dict[str, Any]
    phase_transitions: pd.DataFrame
    phases: dict[str, Any]
    structure: dict[str, Any]
    reproducibility: dict[str, Any]
    sensitivity: dict[str, Any]
    early_warning: dict[str, Any]
    early_warnings: pd.DataFrame
    layer_changes: pd.DataFrame
    validation_seeds: tuple[int, ...] = ()
    notes: tuple[Note, ...] = field(default=())

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> ExperimentResults:
        """Read the result folder of one experiment.

        Raises:
            InputError: if a file that every experiment has is missing, or a file is broken.
        """
        folder = Path(folder)
        training_map = _read_map(folder / "training_map.json")
        paths = read_table(folder / "state_paths.csv", PATH_COLUMNS)
        if paths.empty:
            raise InputError(f"{folder / 'state_paths.csv'}: has no rows; rerun the map stage")
        paths = paths.sort_values(["seed", "step"], ignore_index=True)
        regression_file = folder / "regression.json"
        regression = (
            _read_keys(regression_file, (), "semantics") if regression_file.exists() else {}
        )
        selection, stability = _read_selection(folder, training_map)
        validation_seeds, notes = _read_observations(folder / "observations.parquet")
        return cls(
            folder=folder,
            experiment=str(training_map["experiment"] or folder.name),
            training_map=training_map,
            model_selection=selection,
            stability=stability,
            state_paths=paths,
            logs=_read_logs(folder, paths["seed"].unique()),
            convergence=_read_optional(folder / "convergence.csv", CONVERGENCE_COLUMNS),
            coefficients=_read_optional(folder / "coefficients.csv", COEFFICIENT_COLUMNS),
            delays=_read_optional(folder / "delays.csv", DELAY_COLUMNS),
            regression=regression,
            outcomes=_read_optional(folder / "outcomes.csv", OUTCOME_COLUMNS),
            dissimilarity=_read_optional(folder / "dissimilarity.csv", DISSIMILARITY_COLUMNS),
            dissimilarity_per_run=_read_optional(
                folder / "dissimilarity_per_run.csv", PER_RUN_COLUMNS
            ),
            outliers=_read_optional(folder / "outliers.csv", OUTLIER_COLUMNS),
            run_paths=_read_optional(folder / "run_paths.csv", RUN_PATH_COLUMNS),
            forks=_read_optional_keys(folder / "forks.json", _FORK_KEYS),
            phase_transitions=_read_optional(folder / "phase_transitions.csv", PHASE_COLUMNS),
            phases=_read_optional_keys(folder / "phase_transitions.json", _PHASE_KEYS),
            structure=_read_optional_keys(folder / "structure.json", _STRUCTURE_KEYS),
            reproducibility=_read_optional_keys(
                folder / "reproducibility.json", _REPRODUCIBILITY_KEYS
            ),
            sensitivity=_read_optional_keys(folder / "sensitivity.json", _SENSITIVITY_KEYS),
            early_warning=_read_optional_keys(
                folder / "early_warning.json", _WARNING_KEYS, ("notes", "sentences")
            ),
            early_warnings=_read_optional(folder / "early_warning.csv", EARLY_WARNING_COLUMNS),
            layer_changes=_read_optional(folder / "layer_changes.parquet", LAYER_CHANGE_COLUMNS),
            validation_seeds=validation_seeds,
            notes=_unique(notes, *(_notes_of(data, folder) for data in (training_map, regression))),
        )

    def without_halves(self) -> ExperimentResults:
        """The same, as if no halves of the runs had been fitted.

        Their files may lie there from before, where an experiment no longer asks for halves.
        """
        return replace(self, structure={}, reproducibility={})

    def without_layers(self) -> ExperimentResults:
        """The same, as if no layers had been kept; their files may lie there from before."""
        return replace(self, layer_changes=self.layer_changes.iloc[:0])

    @cached_property
    def seeds(self) -> list[int]:
        """All seeds, ascending."""
        return [int(seed) for seed in np.unique(self.state_paths["seed"])]

    @cached_property
    def states(self) -> list[int]:
        """Numbers of the states on the map, ascending, which is the order of visiting."""
        return sorted(int(state["state"]) for state in self.training_map["states"])

    @property
    def has_model(self) -> bool:
        """Whether a model was fitted; state paths may also be given."""
        return bool(self.training_map["selected_model"])

    @property
    def n_runs(self) -> int:
        """Number of runs on the map."""
        return len(self.seeds)

    @property
    def n_converged(self) -> int | None:
        """Number of runs that converged; None where convergence is not defined."""
        if self.convergence.empty:
            return None
        return int(self.convergence["converged"].sum())

    @property
    def forking(self) -> bool:
        """Whether some runs take another way through the map than others."""
        return not self.training_map["linear"]

    @property
    def threshold(self) -> float | None:
        """What `crossing_column` must pass for a run to converge, where it is known."""
        return self.regression.get("threshold")

    @property
    def crossing(self) -> str:
        """What a run does when it converges: "evaluation accuracy > 0.9"; "" if not known."""
        if self.threshold is None:
            return ""
        sign = "<" if self.regression.get("direction") == "below" else ">"
        return (
            f"{_LOGGED.get(self.crossing_column, self.crossing_column)} {sign} {self.threshold:g}"
        )

    @property
    def crossing_column(self) -> str:
        """The column of the training log that tells when a run converges."""
        return str(self.regression.get("column") or "eval_accuracy")

    @property
    def detour_states(self) -> list[int]:
        """States that are detours by the paper's rule, ascending."""
        return sorted(int(state) for state in self.regression.get("detour_states") or ())

    @property
    def delay_states(self) -> list[int]:
        """States whose visitors converge later than the average run, ascending.

        Those that fewer than half of the halves of the runs find too are left out.
        """
        rows, shares = self.delays, self.found_again("delays")
        delaying = sorted(int(state) for state in rows.loc[rows["is_delay"].astype(bool), "state"])
        return [state for state in delaying if shares.get(state, 1.0) >= FOUND_AGAIN]

    @property
    def outcome(self) -> dict[str, Any]:
        """What is regressed on the states: `name, unit, is_time, larger_means` and more."""
        return self.regression.get("outcome") or _CONVERGENCE_TIME

    def found_again(self, kind: str) -> dict[Any, float]:
        """The share of halves of the runs that have each of the map's parts; empty if not known.

        Args:
            kind: "states", "forks" or "delays", by state; "transitions", by its two states.
        """
        rows = (self.reproducibility.get("found") or {}).get(kind, ())
        if kind == "transitions":
            return {(row["from"], row["to"]): row["share"] for row in rows}
        return {row["state"]: row["share"] for row in rows}

    @property
    def rarely_found(self) -> frozenset[Any]:
        """States, and transitions by their two states, that fewer than half of the halves have."""
        shares = self.found_again("states") | self.found_again("transitions")
        return frozenset(part for part, share in shares.items() if share < FOUND_AGAIN)

    @property
    def drawn_map(self) -> dict[str, Any]:
        """The map; its transitions with `n_fast`, `n_slow` and `differs`, where that is known."""
        compared = self.forks.get("fast_and_slow")
        if not compared:
            return self.training_map
        uses = {tuple(use["transition"]): use for use in compared["transitions"]}
        none = {"n_fast": 0, "n_slow": 0, "differs": False}
        found = self.training_map
        rows = [{**t, **none, **uses.get((t["from"], t["to"]), {})} for t in found["transitions"]]
        return {**found, "transitions": rows}

    @property
    def outlier_seeds(self) -> list[int]:
        """Seeds of the runs that do not behave like the rest, ascending."""
        rows = self.outliers
        return sorted(int(seed) for seed in rows.loc[rows["is_outlier"].astype(bool), "seed"])

    def time_axis(self, wanted: Time) -> Time:
        """The time axis that can be drawn: `wanted`, or steps where a run has no log of epochs."""
        complete = all(
            seed in self.logs and self.logs[seed]["epoch"].notna().all() for seed in self.seeds
        )
        return "epoch" if wanted == "epoch" and complete else "step"

    def times(self, seed: int, steps: Sequence[int] | np.ndarray, time: Time) -> np.ndarray:
        """Steps of one run as epochs (by that run's training log) or as they are.

        Args:
            seed: the run.
            steps: shape (n,), optimiser updates.
            time: "epoch" or "step"; resolve it with `time_axis` first.

        Returns:
            Shape (n,), float.
        """
        steps = np.asarray(steps, dtype=float)
        if time == "step":
            return steps
        log = self.logs[seed]
        return np.interp(steps, log["step"].to_numpy(float), log["epoch"].to_numpy(float))

    def state_sequence(self, seed: int, time: Time) -> tuple[np.ndarray, np.ndarray]:
        """One run's path: times (n,) and states (n,), in order of time."""
        rows = self.state_paths[self.state_paths["seed"] == seed]
        return self.times(seed, rows["step"].to_numpy(), time), rows["state"].to_numpy(int)

    def convergence_time(self, seed: int, time: Time) -> tuple[float, bool] | None:
        """When a run converged and whether it did; the time of its last checkpoint if not.

        None where convergence is not defined for the run.
        """
        rows = self.convergence[self.convergence["seed"] == seed]
        if rows.empty:
            return None
        row = rows.iloc[0]
        return float(self.times(seed, [row["step"]], time)[0]), bool(row["converged"])

    def seeds_by_convergence(self) -> list[int]:
        """Seeds from the fastest run to the slowest; then those that never converged."""
        if self.convergence.empty:
            return self.seeds
        known = self.convergence.set_index("seed")
        converged, step = known["converged"].to_dict(), known["step"].to_dict()

        def order(seed: int) -> tuple[bool, float, int]:
            if seed not in converged:
                return (True, float("inf"), seed)
            return (not converged[seed], step[seed], seed)

        return sorted(self.seeds, key=order)

    def seeds_by_outcome(self) -> list[int]:
        """Seeds from the best outcome to the worst; none where it is a time or not known."""
        better = self.outcome["larger_means"]
        known = self.outcomes.dropna(subset="outcome") if len(self.outcomes) else self.outcomes
        if better == "later" or known.empty:
            return []
        rows = known.sort_values(["outcome", "seed"], ascending=[better == "worse", True])
        return [int(seed) for seed in rows["seed"] if int(seed) in self.seeds]

    def first_visits(self, time: Time) -> dict[int, float]:
        """Median, over the runs that visit it, of the time at which a state is first visited."""
        first = self.state_paths.groupby(["state", "seed"])["step"].min().reset_index()
        times: dict[int, list[float]] = {}
        for state, seed, step in first.itertuples(index=False):
            times.setdefault(int(state), []).append(float(self.times(seed, [step], time)[0]))
        return {state: float(np.median(values)) for state, values in times.items()}


def halves_argument(parser: Any) -> None:
    """Add `--no-halves` to a command's parser."""
    parser.add_argument(
        "--no-halves",
        action="store_true",
        help="pass over what halves of the runs said before (reproducibility.halves is 0)",
    )


def time_argument(parser: Any) -> None:
    """Add `--time epoch|step` to a command's parser."""
    parser.add_argument(
        "--time",
        choices=("epoch", "step"),
        default="epoch",
        help="time axis (default: epoch; steps are used where a run has no log of epochs)",
    )


def _read_map(path: Path) -> dict[str, Any]:
    training_map = _read_keys(path, _MAP_KEYS)
    if not training_map["states"]:
        raise InputError(f"{path}: has no states; rerun the map stage")
    return training_map


def _read_keys(
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


def _read_optional_keys(
    path: Path, keys: Sequence[str], noted: Sequence[str] = ("notes",)
) -> dict[str, Any]:
    """A JSON file named like its stage, which must have `keys`; empty if it is missing."""
    return _read_keys(path, keys, path.stem, noted) if path.exists() else {}


def _read_selection(
    folder: Path, training_map: dict[str, Any]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The scores of all models and how stable the choice is; empty where no model was fitted."""
    from training_maps.model_selection.fitted import SCORE_COLUMNS

    if not training_map["selected_model"]:
        import pandas as pd

        return pd.DataFrame(columns=list(SCORE_COLUMNS)), {}
    table = read_table(folder / "hmm" / "model_selection.csv", SCORE_COLUMNS)
    return table, _read_keys(folder / "hmm" / "stability.json", _STABILITY_KEYS)


def _read_optional(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    """A table that may be missing: then an empty one with the same columns."""
    import pandas as pd

    always = [column for column in columns if column not in ONLY_WITH_A_MODEL]
    if not path.exists():
        return pd.DataFrame({column: [] for column in always})
    flags = {column: bool for column, kind in columns.items() if kind == "bool"}
    return read_table(path, always).astype(flags)


def _read_logs(folder: Path, seeds: np.ndarray) -> dict[int, pd.DataFrame]:
    """The training logs that there are, each with `LOG_COLUMNS` first."""
    return {
        seed: log.reindex(columns=list(dict.fromkeys([*LOG_COLUMNS, *log.columns])))
        for seed, log in find_training_logs(folder / "runs", seeds).items()
    }


def _read_observations(path: Path) -> tuple[tuple[int, ...], tuple[Note, ...]]:
    """The validation seeds and the notes of the observations; the metrics stay unread."""
    if not path.exists():
        return (), ()
    import pandas as pd

    rows = pd.read_parquet(path, columns=["seed", "split"])
    held_out = np.unique(rows.loc[rows["split"] == "validation", "seed"])
    notes = notes_from(table_metadata(path).get("notes", ()), path)
    return tuple(int(seed) for seed in held_out), notes


def _notes_of(data: Mapping[str, Any], where: Path) -> tuple[Note, ...]:
    return notes_from(data.get("notes") or (), where)


def _unique(*groups: Sequence[Note]) -> tuple[Note, ...]:
    return tuple(dict.fromkeys(note for group in groups for note in group))
