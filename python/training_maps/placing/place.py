"""A new run on a map: per checkpoint where it is, how usual that is, and what will come of it.

Nothing that is said of a checkpoint depends on a later one: the run's metrics are scored by the
map's scale, its states are filtered, its distance is at one step, and its log counts up to there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training_maps.placing.dynamics import follow, has_checkpoint, without_gaps
from training_maps.placing.position import log_distances
from training_maps.placing.reference import Reference
from training_maps.placing.usual import KINDS
from training_maps.result_tables import PLACED_COLUMNS
from training_maps.utils.errors import InputError
from training_maps.utils.notes import Note
from training_maps.utils.numbers import Floats
from training_maps.utils.wording import plural

#: Fewest checkpoints of a run that can be placed.
LEAST_CHECKPOINTS = 2


@dataclass(frozen=True, eq=False)
class NewRun:
    """A run to place.

    Attributes:
        name: what it is called.
        metrics: `step`, ascending, and metrics; NaN where one is missing.
        log: its training log, with `step`; None where it has none.
        diverged: the step at which a weight or metric is not finite, which the metrics end before.
    """

    name: str
    metrics: pd.DataFrame
    log: pd.DataFrame | None = None
    diverged: int | None = None


@dataclass(frozen=True, eq=False)
class Placement:
    """A run on a map.

    Attributes:
        run: the run's name.
        table: a row a checkpoint, with `PLACED_COLUMNS` but for the run.
        states: (n, K) probability of each state at each checkpoint.
        deviating: (n,) the metric that is furthest from the map's runs, in units of their spread.
        notes: what could not be compared.
    """

    run: str
    table: pd.DataFrame
    states: Floats
    deviating: tuple[str, ...]
    notes: tuple[Note, ...]

    @property
    def first_warning(self) -> int | None:
        """Number of the checkpoint with the first warning; None if there is none."""
        found = np.flatnonzero(self.table["warning"])
        return int(found[0]) if len(found) else None

    @property
    def slow_since(self) -> int | None:
        """Number of the checkpoint at which the run is first called slow; None if it is not."""
        found = np.flatnonzero(self.table["slow"])
        return int(found[0]) if len(found) else None


def place_run(reference: Reference, run: NewRun) -> Placement:
    """Place a run on a map.

    Raises:
        InputError: if the run lacks a metric of the map's, or has fewer than two checkpoints at
            steps of the map's.
    """
    notes: list[Note] = []
    values = _on_grid(reference, run, notes)
    if run.diverged is not None:
        text = f"The run has diverged: a value is not finite at step {run.diverged}."
        notes.append(Note("diverged", text))
    there = has_checkpoint(values)
    end = int(np.flatnonzero(there)[-1]) + 1
    values, there = values[:end], there[:end]
    _tell_if_known(reference, values, notes)
    states, surprise = follow(reference.hmm, reference.degrees, values[None])
    filled = without_gaps(values)
    seen = np.where(there[:, None], filled, np.nan)
    others = reference.scored[:, :end]
    white = reference.whitening
    kinds = np.full((len(KINDS), len(reference.steps)), np.nan)
    kinds[0, :end] = log_distances(others @ white, seen @ white)
    kinds[1, :end] = surprise[0]
    unusual, kind = reference.usual.unusual(kinds)
    percentile = reference.usual.percentile(unusual)[:end]
    warned = unusual[:end] > reference.usual.limit
    sequence = states[0].argmax(axis=1)
    columns: dict[str, Any] = {
        "step": reference.steps[:end],
        "state": sequence,
        "probability": states[0].max(axis=1),
        "percentile": percentile,
        "unusual": unusual[:end] / reference.usual.limit,
        "warning": warned,
        "kind": np.where(warned, np.array(KINDS)[kind[:end]], ""),
        "branch": _branches(sequence, there, reference.forks),
        **_outcome(reference, run, filled, end),
    }
    table = pd.DataFrame(columns)[there].reset_index(drop=True)
    table = table[[column for column in PLACED_COLUMNS if column != "run"]]
    deviating = _most_deviating(others, filled)[there]
    names = tuple(reference.metrics[i] for i in deviating)
    return Placement(run.name, table, states[0][there], names, tuple(notes))


def _on_grid(reference: Reference, run: NewRun, notes: list[Note]) -> Floats:
    """The run's metrics (T, d) at the map's steps in the map's scale, NaN where it has none."""
    missing = [metric for metric in reference.metrics if metric not in run.metrics.columns]
    table = run.metrics
    if missing and run.log is not None:
        joined = [metric for metric in missing if metric in run.log.columns]
        table = table.join(run.log.set_index("step")[joined], on="step")
        missing = [metric for metric in missing if metric not in joined]
    if missing:
        has = ", ".join(str(name) for name in table.columns if name != "step")
        raise InputError(
            f"{run.name}: has no {', '.join(missing)}, which the runs of {reference.name} have "
            f"(it has {has}); only runs of the same network, with the same metrics, can be placed"
        )
    steps = table["step"].to_numpy(dtype=np.int64)
    if not (np.diff(steps) > 0).all():
        raise InputError(f"{run.name}: its steps do not ascend")
    values = table[list(reference.metrics)].to_numpy(dtype=np.float64)
    if np.isinf(values).any():
        at = steps[np.isinf(values).any(axis=1)][0]
        raise InputError(f"{run.name}: a metric is infinite at step {at}; the run has diverged")
    common = np.isin(steps, reference.steps) & ~np.isnan(values).all(axis=1)
    if common.sum() < LEAST_CHECKPOINTS:
        raise InputError(_too_few(reference, run.name, steps, int(common.sum())))
    grid = np.full((len(reference.steps), values.shape[1]), np.nan)
    place = np.searchsorted(reference.steps, steps[common])
    grid[place] = reference.standards.z_scores(values[common])
    _tell_steps(reference, steps, place, values[common], notes)
    return grid


def _too_few(reference: Reference, name: str, steps: NDArray[np.int64], common: int) -> str:
    of_map = ", ".join(map(str, reference.steps[:3])) + f", ..., {reference.steps[-1]}"
    if len(steps) < LEAST_CHECKPOINTS:
        return f"{name}: has {plural(len(steps), 'checkpoint')}; at least two are needed"
    return (
        f"{name}: has {plural(common, 'checkpoint')} at steps of the map's runs ({of_map}), and at "
        "least two are needed; runs are compared at the same step"
    )


def _tell_steps(
    reference: Reference,
    steps: NDArray[np.int64],
    place: NDArray[np.int64],
    values: Floats,
    notes: list[Note],
) -> None:
    """Notes on checkpoints that could not be compared, and on what is missing."""
    after = int((steps > reference.steps[-1]).sum())
    if after:
        notes.append(
            Note(
                "beyond_the_map",
                f"{plural(after, 'checkpoint')} after step {reference.steps[-1]}, the map's last, "
                "cannot be placed.",
            )
        )
    between = len(steps) - len(place) - after
    if between:
        notes.append(
            Note(
                "other_steps",
                f"{plural(between, 'checkpoint')} at steps that the map's runs do not have are "
                "left out.",
            )
        )
    skipped = int((np.diff(place) > 1).sum())
    if skipped:
        notes.append(
            Note(
                "skipped_steps",
                f"The map's runs have checkpoints between this run's {skipped} times: there the "
                "run's position is compared, and its last step, from which the map's runs tell how "
                "fast they go, is not.",
            )
        )
    gaps = int(np.isnan(values).any(axis=1).sum())
    if gaps:
        notes.append(
            Note(
                "missing_values",
                f"At {plural(gaps, 'checkpoint')} some metric is missing; it counts as at the "
                "checkpoint before.",
            )
        )


def _tell_if_known(reference: Reference, values: Floats, notes: list[Note]) -> None:
    """A note on a run that is one of the map's, by its values (T, d)."""
    known = reference.scored[:, : len(values)]
    for seed, run in zip(reference.seeds.tolist(), known, strict=True):
        if np.allclose(run, values, rtol=1e-9, atol=1e-9, equal_nan=True):
            text = f"It is seed {seed} of the map's own runs, and so looks more usual than it is."
            notes.append(Note("of_the_map", text))


def _branches(states: NDArray[np.int64], there: NDArray[np.bool_], forks: tuple[int, ...]) -> list:
    """For each step the fork that the run left last and where to ("1->3"); "" before any."""
    found, branch, before = [], "", None
    for state, seen in zip(states.tolist(), there.tolist(), strict=True):
        if seen:
            if before in forks and state != before:
                branch = f"{before}->{state}"
            before = state
        found.append(branch)
    return found


def _outcome(reference: Reference, run: NewRun, filled: Floats, end: int) -> dict[str, Any]:
    """The columns of the predicted outcome."""
    names = ("predicted", "predicted_low", "predicted_high")
    forecast = reference.forecast
    if forecast is None:
        return {**dict.fromkeys(names, np.nan), "converged": False, "slow": False}
    steps = reference.steps.astype(np.float64)
    padded = np.vstack([filled, np.zeros((len(steps) - end, filled.shape[1]))])
    crossed, logged = _crossing(reference, run)
    *told, over = forecast.predict(padded, steps, steps, logged)
    converged = np.zeros(end, dtype=bool) if crossed is None else reference.steps[:end] >= crossed
    columns: dict[str, Any] = {
        name: np.where(converged, np.nan if crossed is None else crossed, values[:end])
        for name, values in zip(names, told, strict=True)
    }
    return columns | {"converged": converged, "slow": (over[:end] > 1) & ~converged}


def _crossing(reference: Reference, run: NewRun) -> tuple[int | None, bool]:
    """The step at which the run's log says that it converged, and whether the log would say so."""
    assert reference.forecast is not None
    about = reference.forecast.about
    column, threshold = about.get("column"), about.get("threshold")
    if run.log is None or threshold is None or column not in run.log.columns:
        return None, False
    values = run.log[column].to_numpy(dtype=np.float64, na_value=np.nan)
    beyond = values < threshold if about.get("direction") == "below" else values > threshold
    steps = run.log["step"].to_numpy(dtype=np.int64)[beyond]
    return (int(steps.min()) if len(steps) else None), True


def _most_deviating(others: Floats, run: Floats) -> NDArray[np.int64]:
    """The metric (T,) by which a run (T, d) is furthest from the others (M, T, d) at each step."""
    centre = np.nanmedian(others, axis=0)
    spread = np.nanmedian(np.abs(others - centre), axis=0)
    away = np.abs(run - centre) / (spread + 1e-3)
    return np.asarray(away.argmax(axis=1))
