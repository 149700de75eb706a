"""From a map's results to what new runs are placed by (`training_maps.placing.reference`).

**A scale of the map's.** A z-score by a run's own mean and deviation needs the whole run. New runs
are scored by the map's: the mean of its runs' means, and their mean deviation within a run. Where
the map was fitted in that scale (`observations.scale: pooled`) its model is taken as it is. Where
each run was scored by itself, the states stay what they are, each checkpoint of the map's runs
belonging to them as before, and how they look is read off anew in the map's scale (the M-step of
those posteriors).

**Each run seen by the others.** What is usual is told by the map's runs as if each were new: its
distance is from the others, and the model that foretells it has learnt how states look and what
follows on what from the others (posteriors held fixed, the M-step without the run; in `FOLDS` parts
where the runs are many). A state that others have no checkpoint in is not there.

**Many runs.** Of more than `MOST_RUNS` a random sample of so many is what is compared with: by its
ranks a limit holds as it does by those of all, and the file stays small enough to travel. Scale and
model are of all runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training_maps.hmm.base import EMPTY, HMM
from training_maps.hmm.inference import Expectation, expectation
from training_maps.hmm.log_columns import with_log_columns
from training_maps.hmm.observations import Observations
from training_maps.hmm.predictive import likeliest_degrees
from training_maps.hmm.re_estimation import re_estimated
from training_maps.hmm.standards import Standards, common_standards
from training_maps.model_selection.criteria import Candidate
from training_maps.model_selection.fitted import load_fitted
from training_maps.model_selection.select import file_stem
from training_maps.placing.dynamics import follow, has_checkpoint, without_gaps
from training_maps.placing.forecast import Forecast
from training_maps.placing.position import log_distances_of_each, whitening
from training_maps.placing.reference import Reference
from training_maps.placing.usual import LEAST_RUNS, Usual
from training_maps.result_tables import OUTCOME_COLUMNS
from training_maps.runs.checkpoints import run_folder
from training_maps.utils.errors import InputError
from training_maps.utils.files import read_json, read_table
from training_maps.utils.numbers import Floats

#: Parts that the runs are dealt to, each seen by the others; a run each where they are fewer.
FOLDS = 40
#: Runs that others are compared with at most.
MOST_RUNS = 1000
# M-steps that take a model to another scale: an autoregressive one's regression and covariance each
# take the other as given, and settle in a few.
_SETTLED = 3
_TO_DRAW = (
    "experiment", "metrics", "linear", "selected_model", "states", "transitions", "paths",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Runs:
    """The map's runs: rows of all of them, by ascending seed.

    Attributes:
        observations: as the map's model saw them.
        values: (n, d) the same rows in the map's scale; NaN where one is missing.
        standards: that scale.
    """

    observations: Observations
    values: Floats
    standards: Standards

    @classmethod
    def of(cls, obs: Observations, tables: Mapping[int, pd.DataFrame]) -> Runs:
        """The runs, scored in a scale of their own.

        Args:
            obs: as the map's model saw them.
            tables: `step` and the metrics of each run before they were scored, by seed.
        """
        raw = []
        steps_of = obs.table.groupby("seed")["step"]
        for seed, (_, steps) in zip(obs.seeds, steps_of, strict=True):
            table = tables[seed].set_index("step")
            raw.append(table.loc[steps, list(obs.metrics)].to_numpy(dtype=np.float64))
        standards = common_standards(raw)
        return cls(obs, standards.z_scores(np.vstack(raw)), standards)

    def on_grid(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
        """Seeds (M,), steps (T,) that half of the runs have, and values (M, T, d)."""
        table = self.observations.table
        counts = table["step"].value_counts()
        seeds = np.array(self.observations.seeds, dtype=np.int64)
        steps = np.sort(counts.index[2 * counts >= len(seeds)].to_numpy(dtype=np.int64))
        place = np.full((len(seeds), len(steps), self.values.shape[1]), np.nan)
        used = table["step"].isin(steps).to_numpy()
        run = np.searchsorted(seeds, table["seed"][used])
        place[run, np.searchsorted(steps, table["step"][used])] = self.values[used]
        return seeds, steps, place


def calibrate(folder: str | os.PathLike[str]) -> Reference:
    """What new runs are placed by, from the results of a map.

    Raises:
        InputError: if the map has no model or too few runs, or a file that it takes is missing.
    """
    folder = Path(folder)
    if not (folder / "training_map.json").exists():
        raise InputError(f"{folder}: has no training_map.json; expected a map's results")
    training_map = read_json(folder / "training_map.json")
    chosen = training_map.get("selected_model")
    if not chosen:
        raise InputError(
            f"{folder}: its state paths were given, and it has no model that could tell the states "
            "of another run; runs can be placed on maps that were fitted"
        )
    obs = Observations.load(folder / "observations.parquet")
    hmm = load_fitted(_file_of_model(folder, chosen), obs).hmm
    runs = Runs.of(obs, _before_scoring(folder, obs.seeds, obs.metrics))
    forks_file = folder / "forks.json"
    forks = read_json(forks_file)["forks"] if forks_file.exists() else []
    return reference_of(
        runs,
        hmm,
        training_map,
        forks=[int(fork["state"]) for fork in forks],
        outcome=_read_outcome(folder),
    )


def _file_of_model(folder: Path, chosen: Any) -> Path:
    """The file of the model that a map was made with."""
    try:
        stem = file_stem(Candidate(chosen["model"], int(chosen["n_states"])))
    except (TypeError, KeyError, ValueError):
        stem = ""
    file = folder / "hmm" / f"{stem}.npz"
    if not file.is_file():
        raise InputError(
            f"{folder / 'training_map.json'}: the model that it names is not in hmm/; run the map "
            "stage again"
        )
    return file


def reference_of(
    runs: Runs,
    hmm: HMM,
    training_map: Mapping[str, Any],
    *,
    forks: Sequence[int] = (),
    outcome: tuple[Mapping[str, Any], pd.DataFrame] | None = None,
) -> Reference:
    """What new runs are placed by.

    Args:
        runs: the map's.
        hmm: its model, fitted to `runs.observations`.
        training_map: its dict.
        forks: states at which runs part ways.
        outcome: what it is, and a table of `seed`, `outcome` and `censored`; times in steps.

    Raises:
        InputError: if the runs are too few.
    """
    seeds, steps, values = runs.on_grid()
    if len(seeds) < LEAST_RUNS or len(steps) < 2:
        raise InputError(
            f"the map has {len(seeds)} runs with {len(steps)} steps in common, too few to tell "
            f"what is usual; at least {LEAST_RUNS} runs and 2 steps are needed"
        )
    of_map = len(seeds)
    sample = _sample(of_map)
    seeds, values = seeds[sample], values[sample]
    seen = _Posteriors.of(hmm, runs)
    model = _in_scale(seen, runs)
    _, lengths, _ = runs.observations.sequences()
    degrees = likeliest_degrees(model, runs.values, lengths)
    surprise = _surprise_of_each(seen, runs, model, degrees, values, sample)
    position = log_distances_of_each(values)
    there = has_checkpoint(values)
    return Reference(
        training_map={key: training_map.get(key) for key in _TO_DRAW},
        forks=tuple(forks),
        metrics=runs.observations.metrics,
        standards=runs.standards,
        seeds=seeds,
        steps=steps,
        scored=values,
        hmm=model,
        degrees=degrees,
        whitening=whitening(values),
        usual=Usual.of(np.array([position, surprise]), there),
        forecast=None if outcome is None else _forecast(outcome, seeds, steps, values),
        settings={
            "runs": len(seeds),
            "runs_of_map": of_map,
            "model": hmm.name,
            "n_states": hmm.n_components,
        },
    )


def _sample(n_runs: int) -> NDArray[np.int64]:
    """Which runs others are compared with, in order."""
    if n_runs <= MOST_RUNS:
        return np.arange(n_runs)
    drawn = np.random.default_rng(0).choice(n_runs, MOST_RUNS, replace=False)
    return np.asarray(np.sort(drawn), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class _Posteriors:
    """Which states the map's runs are in, by its own model.

    `used` are the rows (n,) of the runs that the model was fitted to.
    """

    hmm: HMM
    lengths: NDArray[np.int64]
    of_run: NDArray[np.int64]
    used: NDArray[np.bool_]
    posterior: Floats
    transitions: Floats

    @classmethod
    def of(cls, hmm: HMM, runs: Runs) -> _Posteriors:
        x, lengths, _ = runs.observations.sequences()
        density = hmm.log_densities(x, lengths)
        ends = np.cumsum(lengths)
        found = [
            expectation(np.array([n]), hmm.startprob_, hmm.transmat_, density[end - n : end])
            for end, n in zip(ends, lengths, strict=True)
        ]
        return cls(
            hmm,
            lengths,
            np.repeat(np.arange(len(lengths)), lengths),
            (runs.observations.table["split"] == "train").to_numpy(),
            np.vstack([one.posterior for one in found]),
            np.array([one.transitions for one in found]),
        )

    def model(self, values: Floats, without: Sequence[int], like: HMM) -> HMM:
        """The model that `like` becomes by the runs it was fitted to, `without` some of them."""
        kept = ~np.isin(np.arange(len(self.lengths)), without)
        fitted = np.zeros(len(kept), dtype=bool)
        fitted[np.unique(self.of_run[self.used])] = True
        kept &= fitted
        rows = kept[self.of_run]
        posterior = self.posterior[rows]
        found = Expectation(posterior, self.transitions[kept].sum(axis=0), 0.0)
        model = re_estimated(like, values[rows], self.lengths[kept], found)
        gone = posterior.sum(axis=0) < EMPTY
        if gone.any() and not gone.all():
            model.transmat_ = _never_into(model.transmat_, gone)
            model.startprob_ = _never_into(model.startprob_, gone)
        return model


def _never_into(probabilities: Floats, gone: NDArray[np.bool_]) -> Floats:
    """Probabilities (..., K) of states without some; those that led nowhere else are equal."""
    left = np.where(gone, 0.0, probabilities)
    total = left.sum(axis=-1, keepdims=True)
    equal = np.where(gone, 0.0, 1.0 / (~gone).sum())
    return np.where(total > 0, left / np.where(total > 0, total, 1.0), equal)


def _in_scale(seen: _Posteriors, runs: Runs) -> HMM:
    """The map's model in the map's scale."""
    x, _, _ = runs.observations.sequences()
    if np.allclose(x, runs.values, equal_nan=True, atol=1e-6):
        return seen.hmm
    model = seen.hmm
    for _ in range(_SETTLED):
        model = seen.model(runs.values, (), model)
    return model


def _surprise_of_each(
    seen: _Posteriors,
    runs: Runs,
    model: HMM,
    degrees: float,
    values: Floats,
    places: NDArray[np.int64],
) -> Floats:
    """Surprise (M, T) of the runs at `places` at each step, by a model that knows none of them."""
    surprise = np.empty(values.shape[:2])
    for fold in np.array_split(np.arange(len(values)), min(len(values), FOLDS)):
        without = seen.model(runs.values, places[fold].tolist(), model)
        surprise[fold] = follow(without, degrees, values[fold])[1]
    return surprise


def _forecast(
    outcome: tuple[Mapping[str, Any], pd.DataFrame],
    seeds: NDArray[np.int64],
    steps: NDArray[np.int64],
    values: Floats,
) -> Forecast | None:
    about, table = outcome
    rows = table.set_index("seed").reindex(seeds)
    found = rows["outcome"].to_numpy(dtype=np.float64)
    if np.isfinite(found).sum() < LEAST_RUNS:
        return None
    filled = np.array([without_gaps(run) for run in values])
    censored = rows["censored"].fillna(value=False).to_numpy(dtype=bool)
    return Forecast.of(about, filled, steps.astype(np.float64), found, censored)


def _before_scoring(
    folder: Path, seeds: Iterable[int], metrics: Sequence[str]
) -> dict[int, pd.DataFrame]:
    """The runs' metrics as they were measured, with columns of their logs that joined them."""
    tables = {
        seed: read_table(run_folder(folder / "runs", seed) / "metrics.parquet", columns=("step",))
        for seed in seeds
    }
    logged = sorted({m for m in metrics for table in tables.values() if m not in table.columns})
    if not logged:
        return tables
    logs = {
        seed: read_table(
            run_folder(folder / "runs", seed) / "training_log.parquet", columns=("step", *logged)
        )
        for seed in tables
    }
    return with_log_columns(tables, logs, logged)


def _read_outcome(folder: Path) -> tuple[Mapping[str, Any], pd.DataFrame] | None:
    """What the outcome is, and that of each run; times in steps. None where there is none."""
    about = (
        read_json(folder / "regression.json") if (folder / "regression.json").exists() else {}
    ).get("outcome")
    if not about:
        return None
    if not about["is_time"]:
        return about, read_table(folder / "outcomes.csv", OUTCOME_COLUMNS)
    table = read_table(folder / "convergence.csv", ("seed", "step", "converged"))
    censored = ~table["converged"].astype(bool)
    return about, table.assign(outcome=table["step"].astype(float), censored=censored)
