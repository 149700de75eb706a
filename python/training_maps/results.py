"""One experiment's results, read from its folder: what figures, report and summary work on.

The map and the state paths must be there; so must the model selection and its stability where a
model was fitted. The other files are optional, because an existing run, trained elsewhere, may
have no training log, and without convergence there is no regression: whoever draws or tells asks
what is there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from training_maps.result_files import (
    FORK_KEYS,
    PHASE_KEYS,
    REPRODUCIBILITY_KEYS,
    SENSITIVITY_KEYS,
    STRUCTURE_KEYS,
    WARNING_KEYS,
    notes_of,
    read_keys,
    read_logs,
    read_map,
    read_observations,
    read_optional,
    read_optional_keys,
    read_selection,
    unique,
)
from training_maps.result_tables import (
    COEFFICIENT_COLUMNS,
    CONVERGENCE_COLUMNS,
    DELAY_COLUMNS,
    DISSIMILARITY_COLUMNS,
    EARLY_WARNING_COLUMNS,
    LAYER_CHANGE_COLUMNS,
    OUTCOME_COLUMNS,
    OUTLIER_COLUMNS,
    PATH_COLUMNS,
    PER_RUN_COLUMNS,
    PHASE_COLUMNS,
    RUN_PATH_COLUMNS,
)
from training_maps.utils.errors import InputError
from training_maps.utils.files import read_table
from training_maps.utils.notes import Note
from training_maps.utils.numbers import FOUND_AGAIN

if TYPE_CHECKING:
    import pandas as pd

Time = Literal["epoch", "step"]

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
        training_map = read_map(folder / "training_map.json")
        paths = read_table(folder / "state_paths.csv", PATH_COLUMNS)
        if paths.empty:
            raise InputError(f"{folder / 'state_paths.csv'}: has no rows; rerun the map stage")
        paths = paths.sort_values(["seed", "step"], ignore_index=True)
        regression_file = folder / "regression.json"
        regression = read_keys(regression_file, (), "semantics") if regression_file.exists() else {}
        selection, stability = read_selection(folder, training_map)
        validation_seeds, notes = read_observations(folder / "observations.parquet")
        return cls(
            folder=folder,
            experiment=str(training_map["experiment"] or folder.name),
            training_map=training_map,
            model_selection=selection,
            stability=stability,
            state_paths=paths,
            logs=read_logs(folder, paths["seed"].unique()),
            convergence=read_optional(folder / "convergence.csv", CONVERGENCE_COLUMNS),
            coefficients=read_optional(folder / "coefficients.csv", COEFFICIENT_COLUMNS),
            delays=read_optional(folder / "delays.csv", DELAY_COLUMNS),
            regression=regression,
            outcomes=read_optional(folder / "outcomes.csv", OUTCOME_COLUMNS),
            dissimilarity=read_optional(folder / "dissimilarity.csv", DISSIMILARITY_COLUMNS),
            dissimilarity_per_run=read_optional(
                folder / "dissimilarity_per_run.csv", PER_RUN_COLUMNS
            ),
            outliers=read_optional(folder / "outliers.csv", OUTLIER_COLUMNS),
            run_paths=read_optional(folder / "run_paths.csv", RUN_PATH_COLUMNS),
            forks=read_optional_keys(folder / "forks.json", FORK_KEYS),
            phase_transitions=read_optional(folder / "phase_transitions.csv", PHASE_COLUMNS),
            phases=read_optional_keys(folder / "phase_transitions.json", PHASE_KEYS),
            structure=read_optional_keys(folder / "structure.json", STRUCTURE_KEYS),
            reproducibility=read_optional_keys(
                folder / "reproducibility.json", REPRODUCIBILITY_KEYS
            ),
            sensitivity=read_optional_keys(folder / "sensitivity.json", SENSITIVITY_KEYS),
            early_warning=read_optional_keys(
                folder / "early_warning.json", WARNING_KEYS, ("notes", "sentences")
            ),
            early_warnings=read_optional(folder / "early_warning.csv", EARLY_WARNING_COLUMNS),
            layer_changes=read_optional(folder / "layer_changes.parquet", LAYER_CHANGE_COLUMNS),
            validation_seeds=validation_seeds,
            notes=unique(notes, *(notes_of(data, folder) for data in (training_map, regression))),
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
    def only_noise_changes(self) -> bool:
        """Whether there are several states, and all but the first differ in noise alone."""
        alone = [state.get("noise_of") is not None for state in self.training_map["states"]]
        return len(alone) > 1 and sum(alone) == len(alone) - 1

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

    @cached_property
    def outlier_seeds(self) -> list[int]:
        """Seeds of the runs that do not behave like the rest, ascending."""
        rows = self.outliers
        return sorted(int(seed) for seed in rows.loc[rows["is_outlier"].astype(bool), "seed"])

    def time_axis(self, wanted: Time) -> Time:
        """The time axis that can be drawn: `wanted`, or steps where a run has no log of epochs."""
        return "epoch" if wanted == "epoch" and self._have_epochs else "step"

    @cached_property
    def _have_epochs(self) -> bool:
        return all(
            seed in self.logs and self.logs[seed]["epoch"].notna().all() for seed in self.seeds
        )

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

    @cached_property
    def _paths(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Steps (n,) and states (n,) of each seed's checkpoints, in the table's order."""
        return {
            int(rows["seed"].iloc[0]): (rows["step"].to_numpy(), rows["state"].to_numpy(int))
            for _, rows in self.state_paths.groupby("seed")
        }

    @cached_property
    def _convergence(self) -> dict[int, tuple[int, bool]]:
        """The step at which each seed converged, or its last, and whether it did."""
        rows = self.convergence[["seed", "step", "converged"]].itertuples(index=False)
        return {int(seed): (step, bool(did)) for seed, step, did in rows}

    def state_sequence(self, seed: int, time: Time) -> tuple[np.ndarray, np.ndarray]:
        """One run's path: times (n,) and states (n,), in order of time."""
        steps, states = self._paths[seed]
        return self.times(seed, steps, time), states

    def convergence_time(self, seed: int, time: Time) -> tuple[float, bool] | None:
        """When a run converged and whether it did; the time of its last checkpoint if not.

        None where convergence is not defined for the run.
        """
        if seed not in self._convergence:
            return None
        step, converged = self._convergence[seed]
        return float(self.times(seed, [step], time)[0]), converged

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
        there = set(self.seeds)
        return [int(seed) for seed in rows["seed"] if int(seed) in there]

    def drawn_seeds(self, most: int) -> list[int]:
        """At most so many runs, the fastest first, to be drawn or told where all are too many.

        Outliers are among them, and the others evenly from the fastest to the slowest.
        """
        seeds, outliers = self.seeds_by_convergence(), set(self.outlier_seeds)
        first = [seed for seed in seeds if seed in outliers][:most]
        others = [seed for seed in seeds if seed not in outliers]
        n_others = min(len(others), most - len(first))
        evenly = np.linspace(0, max(len(others) - 1, 0), n_others).astype(int)
        drawn = {*first, *(others[i] for i in evenly)}
        return [seed for seed in seeds if seed in drawn]

    def first_visits(self, time: Time) -> dict[int, float]:
        """Median, over the runs that visit it, of the time at which a state is first visited."""
        first = self.state_paths.groupby(["seed", "state"])["step"].min().reset_index()
        times: dict[int, list[float]] = {}
        for _, rows in first.groupby("seed"):
            entered = self.times(int(rows["seed"].iloc[0]), rows["step"].to_numpy(), time)
            for state, when in zip(rows["state"], entered, strict=True):
                times.setdefault(int(state), []).append(float(when))
        return {state: float(np.median(times[state])) for state in sorted(times)}
