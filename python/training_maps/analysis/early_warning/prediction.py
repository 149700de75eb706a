"""How well the first part of a run predicts what becomes of it, by a model of other runs only.

Hu et al. 2023 suggest in their discussion to judge a setting from early variation between runs. Is
there enough in the beginning of a run for that? Everything that makes a prediction is learned from
other runs, and of the run itself nothing after the beginning has a say:

- Runs are dealt to folds. For each, a model with the selected number of states is fitted to the
  whole runs of the other folds.
- Observations of the HMM stage are z-scored by each run's own mean and standard deviation, which
  its future is part of. Here metrics are z-scored by the mean and standard deviation of all
  checkpoints of the other folds' runs, for fit and prediction alike.
- A run's features are those of its filtered states (`analysis.early_warning.features`). For
  comparison, the same predictions are made from the mean of its z-scored metrics so far.
- The beginning is the same number of steps in every run, a share of the longest run's: how long a
  run will be is not known while it goes on.

Runs whose outcome is already known by then (they have converged, or taken their branch) are
counted, and the others are also predicted by themselves: predicting the past is no warning. The
kind of model, its number of states and the map's forks are those of all runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from training_maps.analysis.early_warning.features import state_features
from training_maps.analysis.forks import Fork, find_forks
from training_maps.analysis.semantics.outcomes import Outcome
from training_maps.hmm.base import HMM
from training_maps.hmm.observations import Observations
from training_maps.hmm.standards import Standards
from training_maps.model_selection.fit import fit_hmm
from training_maps.result_tables import EARLY_WARNING_COLUMNS, typed
from training_maps.settings.sections import EarlyWarningSettings
from training_maps.stats.cross_validation import (
    balanced_accuracy,
    nearest_centroids,
    r_squared,
    rank_correlation,
    ridge_predictions,
    with_shuffled,
)
from training_maps.stats.least_squares import ROUNDING, permutation_p_value
from training_maps.stats.permutation_test import holm
from training_maps.training_map.paths import path_times
from training_maps.utils.errors import InputError
from training_maps.utils.numbers import Bools, Floats, Ints
from training_maps.utils.progress import Progress

FEATURES = ("states", "metrics")
# Fewer runs than this are not predicted; and fewer of a branch are left out.
FEWEST_RUNS = 10
FEWEST_OF_BRANCH = 3


@dataclass(frozen=True, eq=False)
class Target:
    """What is predicted of each run.

    Attributes:
        name: what it is, to stand in a sentence.
        is_class: whether its values are classes, counted from 0, and not numbers.
        per_run: (n,) the value of each run; NaN where a run has none.
        known_at: (n,) the step at which a run's value is known; infinity where it is not before the
            run's end.
        classes: names of the classes.
    """

    name: str
    is_class: bool
    per_run: Floats
    known_at: Floats
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Beginnings:
    """The features of the runs' beginnings.

    Attributes:
        fraction: the beginning as a share of the longest run.
        last_step: the last step that is part of it.
        features: by name of `FEATURES`, (F, n, p), by the model of each fold.
    """

    fraction: float
    last_step: int
    features: Mapping[str, Floats]


def raw_metrics(obs: Observations, tables: Mapping[int, pd.DataFrame]) -> pd.DataFrame:
    """The metrics behind observations, not z-scored: `seed`, `step` and the metrics.

    Args:
        obs: observations; their runs, steps and metrics are taken.
        tables: one table of metrics a run, by seed.

    Raises:
        InputError: if a run, a metric or a step is not in the tables.
    """
    parts = []
    steps_of = obs.table.groupby("seed")["step"]
    for seed, (_, steps) in zip(obs.seeds, steps_of, strict=True):
        table = tables.get(seed)
        missing = set(obs.metrics) - set(() if table is None else table.columns)
        if table is None or missing or not steps.isin(table["step"]).all():
            what = f"metrics {', '.join(sorted(missing))}" if missing else "all steps"
            raise InputError(
                f"seed {seed}: the observations were made of other metrics than those given: "
                f"{what} should be there; make them again with 'training-maps observations'"
            )
        of_run = table[table["step"].isin(steps)].sort_values("step")
        parts.append(of_run[["step", *obs.metrics]].assign(seed=seed))
    return pd.concat(parts, ignore_index=True)[["seed", "step", *obs.metrics]]


def time_target(outcome: Outcome, seeds: list[int], convergence: pd.DataFrame | None) -> Target:
    """The regression's outcome as a target; a run that never converges counts as its last step.

    Args:
        outcome: as `training_maps.analysis.semantics.outcomes` makes it.
        seeds: of the runs, in order.
        convergence: `seed` and `step` of convergence, of outcomes that are times.
    """
    values = outcome.per_run.set_index("seed")["outcome"].reindex(seeds).to_numpy(dtype=float)
    known_at = np.full(len(seeds), np.inf)
    if outcome.is_time and convergence is not None:
        steps = convergence.set_index("seed")["step"].reindex(seeds).to_numpy(dtype=float)
        known_at = np.where(np.isnan(steps), np.inf, steps)
    return Target(outcome.name, False, values, known_at)


def largest_fork(state_paths: pd.DataFrame) -> Fork | None:
    """The fork from which most runs go on, of equals the lowest state; None if there is none."""
    forks = find_forks(state_paths)
    return max(forks, key=lambda f: sum(b.n_runs for b in f.branches), default=None)


def fork_target(fork: Fork, seeds: list[int], state_paths: pd.DataFrame) -> Target | None:
    """The branch that each run takes as a target; None if fewer than two have enough runs."""
    stays = path_times(state_paths)
    first = stays[stays["is_first"]].set_index(["seed", "state"])["step"]
    position = {seed: i for i, seed in enumerate(seeds)}
    branches = [branch for branch in fork.branches if branch.n_runs >= FEWEST_OF_BRANCH]
    if len(branches) < 2:
        return None
    values, known_at = np.full(len(seeds), np.nan), np.full(len(seeds), np.inf)
    for number, branch in enumerate(branches):
        for seed in branch.seeds:
            values[position[seed]] = number
            known_at[position[seed]] = first[seed, branch.to]
    name = f"the way on from state {fork.state}"
    return Target(name, True, values, known_at, tuple(str(b.to) for b in branches))


def early_features(
    raw: pd.DataFrame,
    fractions: Sequence[float],
    folds: Ints,
    n_states: int,
    **settings: Any,
) -> list[Beginnings]:
    """The features of the beginnings of all runs, by a model of each fold's other runs.

    Args:
        raw: as `raw_metrics` gives it, n runs.
        fractions: which beginnings, as shares of the longest run.
        folds: (n,) the fold of each run, by ascending seed.
        n_states: number of states K.
        settings: of `fit_hmm`.

    Returns:
        Of each fraction the features: of "states" 2K (`state_features`), of "metrics" the d means
        of the z-scored metrics.
    """
    last_steps = [int(np.floor(fraction * raw["step"].max())) for fraction in fractions]
    runs = [run for _, run in raw.groupby("seed", sort=True)]
    found: list[dict[str, list[Floats]]] = [{name: [] for name in FEATURES} for _ in fractions]
    progress = Progress(int(folds.max()) + 1, "fold", "early warning")
    for fold in range(int(folds.max()) + 1):
        others = [run for run, of in zip(runs, folds, strict=True) if of != fold]
        standards = Standards.of(_metrics_of(pd.concat(others)))
        hmm = _fit(others, standards, n_states, settings)
        for last, features in zip(last_steps, found, strict=True):
            begun = [standards.z_scores(_metrics_of(run[: _n_begun(run, last)])) for run in runs]
            features["states"].append(_by_states(hmm, begun))
            features["metrics"].append(np.array([_means(z) for z in begun]))
        progress.update(fold + 1)
    return [
        Beginnings(fraction, last, {name: np.array(by_fold) for name, by_fold in features.items()})
        for fraction, last, features in zip(fractions, last_steps, found, strict=True)
    ]


def judge(
    beginnings: Sequence[Beginnings],
    targets: Sequence[Target],
    folds: Ints,
    *,
    n_permutations: int = EarlyWarningSettings.permutations,
    random_state: int = EarlyWarningSettings.random_state,
) -> pd.DataFrame:
    """How well the beginnings predict the targets, with `EARLY_WARNING_COLUMNS`.

    A row for each beginning, target, set of `runs` ("all" and, if some are known already, "not
    yet") and kind of `features`. `n_runs` are predicted, `n_already` of all with the target were
    known by then. `baseline` is of classes the share of the most frequent one. `p_value` is that of
    the rank correlation, which one run that is far from all others does not decide as it does R²,
    or of the balanced accuracy; `p_value_adjusted` is by Holm's method for all rows with the same
    features. `reason` says why there are no numbers.

    Source of the predictors and of the p-values: `training_maps.stats.cross_validation`.

    Args:
        beginnings: as `early_features` makes them.
        targets: what to predict.
        folds: (n,) the fold of each run.
        n_permutations: ways to deal outcomes to runs that are tried.
        random_state: seed of these.
    """
    rows: list[dict[str, Any]] = []
    for begun in beginnings:
        for target in targets:
            there = ~np.isnan(target.per_run)
            already = there & (target.known_at <= begun.last_step)
            sets = {"all": there} | ({"not yet": there & ~already} if already.any() else {})
            for runs, chosen in sets.items():
                for name in FEATURES:
                    about = {
                        "fraction": begun.fraction,
                        "last_step": begun.last_step,
                        "target": target.name,
                        "runs": runs,
                        "features": name,
                        "n_runs": int(chosen.sum()),
                        "n_already": int(already.sum()),
                    }
                    x = begun.features[name][:, chosen]
                    found = _skill(x, target, chosen, folds[chosen], n_permutations, random_state)
                    rows.append(about | found)
    table = typed(pd.DataFrame(rows, columns=list(EARLY_WARNING_COLUMNS)), EARLY_WARNING_COLUMNS)
    for name in FEATURES:
        tested = (table["features"] == name) & table["p_value"].notna()
        table.loc[tested, "p_value_adjusted"] = holm(table.loc[tested, "p_value"].tolist())
    return table


def _skill(
    x: Floats,
    target: Target,
    chosen: Bools,
    folds: Ints,
    n_permutations: int,
    random_state: int,
) -> dict[str, Any]:
    """How well the chosen runs are predicted, or why that cannot be told."""
    values = target.per_run[chosen]
    if len(values) < FEWEST_RUNS:
        return {"reason": f"{len(values)} of {FEWEST_RUNS} runs are there that are needed."}
    if np.ptp(values) <= ROUNDING * np.abs(values).max():
        return {"reason": "All these runs have the same outcome."}
    if len(np.unique(folds)) < 2:
        return {"reason": "All these runs are in one fold."}
    if target.is_class:
        return _class_skill(x, values, folds, n_permutations, random_state)
    y = with_shuffled(values, n_permutations, random_state)
    predicted, baseline = ridge_predictions(x, y, folds)
    order = rank_correlation(y, predicted - baseline)
    return {
        "r_squared": float(r_squared(y[:, :1], predicted[:, :1], baseline[:, :1])[0]),
        "rank_correlation": float(order[0]),
        "p_value": permutation_p_value(float(order[0]), order[1:]),
    }


def _class_skill(
    x: Floats, values: Floats, folds: Ints, n_permutations: int, random_state: int
) -> dict[str, Any]:
    """How well classes are predicted; of those that enough of the runs belong to."""
    classes, counts = np.unique(values, return_counts=True)
    frequent = np.isin(values, classes[counts >= FEWEST_OF_BRANCH])
    classes = classes[counts >= FEWEST_OF_BRANCH]
    if len(classes) < 2 or len(np.unique(folds[frequent])) < 2:
        return {"reason": f"Fewer than two branches have {FEWEST_OF_BRANCH} of these runs."}
    own = np.searchsorted(classes, values[frequent])
    labels = with_shuffled(own, n_permutations, random_state)
    predicted = nearest_centroids(x[:, frequent], labels, folds[frequent], len(classes))
    scores = balanced_accuracy(labels, predicted, len(classes))
    return {
        "n_runs": len(own),
        "accuracy": float((predicted[:, 0] == own).mean()),
        "balanced_accuracy": float(scores[0]),
        "baseline": float(np.bincount(own).max() / len(own)),
        "p_value": permutation_p_value(float(scores[0]), scores[1:]),
    }


def _fit(
    runs: Sequence[pd.DataFrame], standards: Standards, n_states: int, settings: Mapping[str, Any]
) -> HMM:
    """The model of whole runs, the best of its restarts by the likelihood of these."""
    rows = pd.concat(runs, ignore_index=True)
    metrics = [str(name) for name in rows.columns[2:]]
    table = pd.DataFrame(standards.z_scores(_metrics_of(rows)), columns=metrics)
    table = pd.concat([rows[["seed", "step"]].assign(split="train"), table], axis=1)
    return fit_hmm(Observations(table, tuple(metrics)), n_states, **settings).hmm


def _metrics_of(rows: pd.DataFrame) -> Floats:
    """The metrics (n, d) in rows of `raw_metrics`, behind their seed and step."""
    return rows.iloc[:, 2:].to_numpy(dtype=np.float64)


def _n_begun(run: pd.DataFrame, last_step: int) -> int:
    """How many checkpoints of a run are in its beginning; the first always is."""
    return max(1, int((run["step"] <= last_step).sum()))


def _by_states(hmm: HMM, begun: Sequence[Floats]) -> Floats:
    return np.array([state_features(np.exp(hmm.log_filtered(z))) for z in begun])


def _means(z: Floats) -> Floats:
    """Mean of each metric (d,); 0, that of all runs, for a metric that is missing throughout."""
    known = ~np.isnan(z)
    return np.asarray(np.where(known, z, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))
