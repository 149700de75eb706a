"""When runs memorise and generalise, and which state or transition of the map goes with it.

Hu et al. 2023 match phase transitions to states by eye (section 3.1: "state 1 encapsulates the
memorization phase transition"; Figure 5: "memorization, which occurs in state 0, and
generalization, which occurs in state 2"). Here memorisation is the transition of the training
accuracy, generalisation that of the evaluation accuracy, or of the losses where a log has no
accuracy, by the definition of `phases.curves`; and they are matched to the runs' paths
by `phases.coincidence`, beside what chance would do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from training_maps.analysis.phases.coincidence import Coincidence, coincidences, nearest_transitions
from training_maps.analysis.phases.curves import (
    Found,
    Rule,
    first_mean,
    leave_chance,
    loss_heights,
    plateau,
)
from training_maps.result_tables import PHASE_COLUMNS, typed
from training_maps.runs.training_logs import log_values
from training_maps.settings.sections import PhaseTransitionsSettings
from training_maps.utils.notes import Note
from training_maps.utils.numbers import Floats
from training_maps.utils.seeds import named_seeds
from training_maps.utils.wording import equals_p

# Each phase, and the columns of the training log that show it: the first that a run has is used.
PHASES = {
    "memorisation": ("train_accuracy", "train_loss"),
    "generalisation": ("eval_accuracy", "eval_loss"),
}
_ACCURACIES, _LOSSES = zip(*PHASES.values(), strict=True)
NO_LOG = "no log"
CANNOT_TELL = (
    "All runs do both at about the same time, so these runs cannot tell whether the two belong "
    "together."
)
ORDERS = (
    "memorisation first",
    "together",
    "generalisation first",
    "only memorisation",
    "only generalisation",
    "neither",
    "not known",
)


@dataclass(frozen=True)
class PhaseTransitions:
    """Phase transitions of all runs.

    Attributes:
        table: a row for each run and phase, with `PHASE_COLUMNS`. `status` is "found", "not
            reached" by the run's end, "from the start", or "no log" where nothing shows the phase;
            `column` is what shows it. `step` and `epoch` are those of the transition, `onset_step`
            and `completion_step` its bounds. `state` is the one that the run is in then;
            `transition` ("0-1") the one that it coincides with, `state_before` and `state_after`
            its ends, and `entered_step` the step at which the run enters the latter. Nulls where
            there is none.
        summary: what the table comes to, ready for JSON.
    """

    table: pd.DataFrame
    summary: Mapping[str, Any] = field(default_factory=dict)


def find_phase_transitions(
    state_paths: pd.DataFrame,
    logs: Mapping[int, pd.DataFrame],
    rule: Rule | None = None,
    tolerance: int = PhaseTransitionsSettings.tolerance,
) -> PhaseTransitions:
    """Find each run's memorisation and generalisation, and match them to its path.

    Args:
        state_paths: table of `seed`, `step`, `state`, one row a checkpoint.
        logs: training log of each seed, sorted by step, with `step`, and of `epoch`, `train_loss`,
            `eval_loss`, `train_accuracy`, `eval_accuracy` those that there are.
        rule: the definition's parameters.
        tolerance: how many checkpoints of the path may lie between a phase transition and the
            transition of states that it coincides with.

    Raises:
        InputError: if a log's column is not numeric.
    """
    rule = Rule() if rule is None else rule
    ordered = state_paths.sort_values(["seed", "step"])
    runs = [of_run.reset_index(drop=True) for _, of_run in ordered.groupby("seed")]
    paths = {int(of_run["seed"].iloc[0]): of_run for of_run in runs}
    seeds = sorted(paths)
    rows, phases = [], {}
    for phase, columns in PHASES.items():
        curves = {s: _curve(s, logs[s], columns) for s in seeds if s in logs}
        heights, levels = _heights(curves, rule)
        found = {seed: leave_chance(of_run, rule) for seed, of_run in heights.items()}
        found |= {seed: Found("not reached") for seed in curves if seed not in heights}
        events = {}
        for seed in seeds:
            column = curves[seed][0] if seed in curves else None
            at = _checkpoint(found[seed], logs[seed], paths[seed]) if column else None
            if at is not None:
                events[seed] = at
            known = found[seed] if column else Found("not reached")
            rows.append(
                {
                    "seed": seed,
                    "phase": phase,
                    "status": known.status if column else NO_LOG,
                    "column": column,
                    **_times(known, logs.get(seed)),
                    **_place(paths[seed], at, tolerance),
                }
            )
        states = {seed: paths[seed]["state"].to_numpy() for seed in events}
        phases[phase] = {"levels": levels, "coincidences": coincidences(states, events, tolerance)}
    table = typed(pd.DataFrame(rows), PHASE_COLUMNS)
    return PhaseTransitions(table, _summary(table, phases, logs, rule, tolerance))


def _curve(seed: int, log: pd.DataFrame, columns: Sequence[str]) -> tuple[str | None, Floats]:
    """The first of the columns that a log has with a number in it, and its values (n,)."""
    for column in columns:
        if column in log:
            values = log_values(seed, log, column)
            if np.isfinite(values).any():
                return column, values
    return None, np.empty(0)


def _heights(
    curves: Mapping[int, tuple[str | None, Floats]], rule: Rule
) -> tuple[dict[int, Floats], dict[str, float | None]]:
    """Each run's curve as heights from chance to plateau; runs without a plateau are left out.

    Returns:
        Heights (n,) by seed, and the chance and plateau of the accuracies; None where there is
        none.
    """
    accuracies = {s: values for s, (name, values) in curves.items() if name in _ACCURACIES}
    losses = {s: values for s, (name, values) in curves.items() if name in _LOSSES}
    heights = {}
    levels: dict[str, float | None] = {"chance": None, "plateau": None}
    if accuracies:
        known = list(accuracies.values())
        chance = first_mean(known) if rule.chance is None else rule.chance
        top = plateau(known, chance)
        levels = {"chance": chance, "plateau": top}
        if top is not None:
            heights = {s: (values - chance) / (top - chance) for s, values in accuracies.items()}
    for seed, values in losses.items():
        of_run = loss_heights(values, rule)
        if of_run is not None:
            heights[seed] = of_run
    return heights, levels


def _checkpoint(found: Found, log: pd.DataFrame, path: pd.DataFrame) -> int | None:
    """Position in a run's path of its last checkpoint up to the transition.

    None where there is no transition, or it lies beyond the path by more than its checkpoints are
    apart, as in runs of which only the first checkpoints have states.
    """
    if found.status != "found" or found.at is None:
        return None
    step = int(log["step"].iloc[found.at])
    steps = path["step"].to_numpy()
    apart = int(np.diff(steps).max()) if len(steps) > 1 else 0
    if step < steps[0] or step > steps[-1] + apart:
        return None
    return int(np.searchsorted(steps, step, side="right")) - 1


def _times(found: Found, log: pd.DataFrame | None) -> dict[str, Any]:
    """Steps and epoch of a transition that was found."""
    names = {"step": found.at, "onset_step": found.onset, "completion_step": found.completion}
    times: dict[str, Any] = dict.fromkeys([*names, "epoch"])
    if log is None or found.status != "found" or found.at is None:
        return times
    for name, at in names.items():
        times[name] = None if at is None else int(log["step"].iloc[at])
    if "epoch" in log:
        times["epoch"] = float(log["epoch"].iloc[found.at])
    return times


def _place(path: pd.DataFrame, at: int | None, tolerance: int) -> dict[str, Any]:
    """The state that a run is in, and the transition that its event coincides with."""
    names = ("state", "transition", "state_before", "state_after", "entered_step")
    place: dict[str, Any] = dict.fromkeys(names)
    if at is None:
        return place
    states = path["state"].to_numpy()
    place["state"] = int(states[at])
    edge = nearest_transitions(states, tolerance)[at]
    if edge is not None:
        entries = np.flatnonzero(states[1:] != states[:-1]) + 1
        entry = int(entries[np.abs(entries - at).argmin()])
        place["transition"] = f"{edge[0]}-{edge[1]}"
        place["state_before"], place["state_after"] = edge
        place["entered_step"] = int(path["step"].iloc[entry])
    return place


def _summary(
    table: pd.DataFrame,
    phases: Mapping[str, Mapping[str, Any]],
    logs: Mapping[int, pd.DataFrame],
    rule: Rule,
    tolerance: int,
) -> dict[str, Any]:
    """What the table comes to."""
    n_runs = int(table["seed"].nunique())
    summary: dict[str, Any] = {
        "n_runs": n_runs,
        "rule": asdict(rule),
        "tolerance": tolerance,
        "reason": None if logs else "There are no training logs, which phases are found in.",
        "phases": {},
        "order": _order(table, logs, tolerance),
        "notes": [],
    }
    for phase, of_phase in phases.items():
        rows = table[table["phase"] == phase]
        found = rows[rows["status"] == "found"]
        found_at: list[Coincidence] = of_phase["coincidences"]
        summary["phases"][phase] = {
            "columns": sorted(rows["column"].dropna().unique().tolist()),
            **of_phase["levels"],
            "status": {name: int(n) for name, n in rows["status"].value_counts().items()},
            "n_found": len(found),
            "n_complete": int(found["completion_step"].notna().sum()),
            "median_step": float(found["step"].median()) if len(found) else None,
            "median_epoch": _median(found["epoch"]),
            "coincidences": [one.to_dict() for one in found_at],
            **_goes_with(found_at),
            "sentence": _sentence(phase, rows, found_at, tolerance),
        }
        summary["notes"] += [note.to_dict() for note in _notes(phase, rows)]
    return summary


def _median(values: pd.Series[Any]) -> float | None:
    return float(values.median()) if values.notna().any() else None


def _order(table: pd.DataFrame, logs: Mapping[int, pd.DataFrame], tolerance: int) -> dict[str, int]:
    """In how many runs which phase comes first; together: at most `tolerance` checkpoints apart."""
    steps = {
        phase: dict(zip(rows["seed"].tolist(), rows.itertuples(index=False), strict=True))
        for phase, rows in table.groupby("phase")
    }
    order = Counter(
        _which_first(steps["memorisation"][seed], steps["generalisation"][seed], logs, tolerance)
        for seed in steps["memorisation"]
    )
    return {name: order[name] for name in ORDERS}


def _which_first(
    memorised: Any, generalised: Any, logs: Mapping[int, pd.DataFrame], tolerance: int
) -> str:
    if NO_LOG in (memorised.status, generalised.status):
        return "not known"
    happened = [one.status != "not reached" for one in (memorised, generalised)]
    if not all(happened):
        names = {(True, False): "only memorisation", (False, True): "only generalisation"}
        return names.get((happened[0], happened[1]), "neither")
    steps = logs[memorised.seed]["step"].to_numpy()
    positions = [
        0 if one.status == "from the start" else int(np.searchsorted(steps, one.step))
        for one in (memorised, generalised)
    ]
    apart = positions[1] - positions[0]
    if abs(apart) <= tolerance:
        return "together"
    return "memorisation first" if apart > 0 else "generalisation first"


def _goes_with(found_at: Sequence[Coincidence]) -> dict[str, Any]:
    """The transition that a phase goes with, if any; or whether times are too alike to tell."""
    told = _told(found_at)
    edge = told.transition if told is not None and told.is_finding else None
    return {
        "goes_with": None if edge is None else list(edge),
        "at_same_times": told is not None and told.at_same_times,
    }


def _told(found_at: Sequence[Coincidence]) -> Coincidence | None:
    """What there is to say of a phase: a transition that goes with it, or one at the same times."""
    transitions = [one for one in found_at if one.transition is not None]
    telling = [one for one in transitions if one.is_finding]
    telling += [one for one in transitions if one.at_same_times]
    return telling[0] if telling else None


def _sentence(
    phase: str, rows: pd.DataFrame, found_at: Sequence[Coincidence], tolerance: int
) -> str:
    """What happens in how many runs, and what goes with it beyond chance."""
    n_found = int((rows["status"] == "found").sum())
    counted = f"{phase.capitalize()} is found in {n_found} of {len(rows)} runs."
    if not found_at:
        return counted
    told = _told(found_at)
    if told is None or told.transition is None:
        state = next(one for one in found_at if one.state is not None)
        return (
            f"{counted} No transition goes with it beyond chance; it happens in state "
            f"{state.state} in {state.n_runs} of them."
        )
    where = (
        f"{counted} In {told.n_runs} of them it comes within {tolerance} checkpoints of the "
        f"transition from state {told.transition[0]} to {told.transition[1]}"
    )
    if not told.is_finding:
        return f"{where}. {CANNOT_TELL}"
    return (
        f"{where}, and in {told.expected_of_other_runs:.1f} at the times of the other runs "
        f"({equals_p(told.p_value)})."
    )


def _notes(phase: str, rows: pd.DataFrame) -> list[Note]:
    """Runs that a reader must know of."""
    notes = []
    n_losses = int((rows["column"] == PHASES[phase][1]).sum())
    if n_losses:
        notes.append(
            Note(
                "told_by_loss",
                f"{phase.capitalize()} is told by the loss in {n_losses} of {len(rows)} runs, "
                "whose logs have no accuracy: it is less certain there.",
            )
        )
    for status, kind, what in (
        ("not reached", "not_reached", "does not happen by the end of the run"),
        ("from the start", "from_the_start", "is over at the first checkpoint"),
    ):
        seeds = rows.loc[rows["status"] == status, "seed"].tolist()
        if seeds and len(seeds) < len(rows):
            notes.append(
                Note(
                    kind,
                    f"{phase.capitalize()} {what} in {len(seeds)} of {len(rows)} runs "
                    f"({named_seeds(seeds)}).",
                )
            )
    beyond = rows.loc[(rows["status"] == "found") & rows["state"].isna(), "seed"].tolist()
    if beyond:
        notes.append(
            Note(
                "after_the_states",
                f"{phase.capitalize()} comes after the last checkpoint whose state is known in "
                f"{len(beyond)} of {len(rows)} runs ({named_seeds(beyond)}): they are not matched.",
            )
        )
    return notes
