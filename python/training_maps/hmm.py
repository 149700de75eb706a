"""Fit hidden Markov models to observations, score them, and select one.

Hu et al. 2023, section 2.1: Gaussian HMMs with K states are fitted by Baum-Welch on the training
runs from several random starts, and the number of states is that with the lowest BIC on the
validation runs. As the authors did, the criterion is averaged over the restarts of each K, and of
the chosen K the restart with the best validation likelihood is kept.

Criteria, with L the log-likelihood of the validation runs, p the model's free parameters (as
hmmlearn counts them) and n the checkpoints of the validation runs:

    AIC = -2 L + 2 p        BIC = -2 L + p log(n)

Where no run is held out, L and n are those of the training runs.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from training_maps.errors import InputError
from training_maps.files import read_table
from training_maps.fitted_hmm import SCORE_COLUMNS, FittedHMM, load_fitted
from training_maps.fitted_hmm import save_fitted as save_fitted
from training_maps.gaussian_hmm import COVARIANCE_FLOOR, COVARIANCES, GaussianHMM, Ints
from training_maps.sequences import Observations

logger = logging.getLogger("training_maps")

CRITERIA = ("bic", "aic", "log_likelihood")
AGGREGATES = ("mean", "best")
MAX_ITERATIONS = 500
TOLERANCE = 1e-2


@dataclass(frozen=True)
class SelectedModel:
    """The model chosen among all numbers of states.

    Attributes:
        hmm: the chosen model, its states numbered in visiting order; `hmm.to_hmmlearn()` gives
            it as an `hmmlearn.hmm.GaussianHMM`.
        observations: what it was fitted to.
        scores: every restart of every K, with `SCORE_COLUMNS`.
        n_states: the chosen K.
        restart: the chosen restart of that K.
        criterion: "bic", "aic" or "log_likelihood".
        aggregate: "mean" or "best".
        covariance: covariance type.
        value: the criterion of the chosen K, averaged over its restarts if `aggregate` is "mean".
        notes: what a reader must know of the choice, in sentences.
    """

    hmm: GaussianHMM
    observations: Observations
    scores: pd.DataFrame
    n_states: int
    restart: int
    criterion: str
    aggregate: str
    covariance: str
    value: float
    notes: tuple[str, ...]


def fit_hmm(
    obs: Observations,
    n_states: int,
    *,
    restarts: int = 5,
    covariance: str = "full",
    covariance_floor: float = COVARIANCE_FLOOR,
    max_iterations: int = MAX_ITERATIONS,
    tolerance: float = TOLERANCE,
    random_state: int = 0,
) -> FittedHMM:
    """Fit K-state models from several starts; keep the one with the best validation likelihood.

    The start of a restart depends on `random_state`, `n_states` and the restart's number only, so
    that more restarts or other numbers of states leave the fits already made as they are.

    Every restart has finite scores, degenerate ones too: covariances are floored and no state is
    ever divided by nothing (see `training_maps.gaussian_hmm`).

    Args:
        obs: observations.
        n_states: number of states K.
        restarts: number of random starts.
        covariance: "full", "diag", "tied" or "spherical".
        covariance_floor: smallest eigenvalue that a covariance may have, in squared standard
            deviations of a z-scored metric, above 0 and at most 1. It keeps a state from calling
            runs impossible that leave a nearly collinear bundle of metrics a little.
        max_iterations: most EM iterations of a fit.
        tolerance: a fit has converged when an iteration gains less log-likelihood than this (nats,
            over all training runs together, the prior included).
        random_state: seed of the starts, from 0 on.

    Returns:
        The best fit, and the scores of all.

    Raises:
        InputError: if a setting is out of its range, or there are fewer distinct training
            checkpoints than states.
    """
    settings = {
        "restarts": restarts,
        "covariance": covariance,
        "covariance_floor": covariance_floor,
        "max_iterations": max_iterations,
        "tolerance": tolerance,
        "random_state": random_state,
    }
    _check_fit_settings(obs, n_states, settings)
    # One thread, so that results do not depend on how many there are; K are fitted in parallel.
    with threadpool_limits(limits=1):
        fits = [_fit_restart(obs, n_states, restart, settings) for restart in range(restarts)]
        scores = pd.DataFrame([row for _, row in fits], columns=list(SCORE_COLUMNS))
        best = int(scores["log_likelihood_validation"].to_numpy().argmax())
        _number_in_visiting_order(fits[best][0], obs)
    return FittedHMM(fits[best][0], n_states, best, scores, settings)


def select_hmm(
    obs: Observations,
    n_states: Iterable[int] = range(1, 9),
    restarts: int = 5,
    random_state: int = 0,
    *,
    covariance: str = "full",
    covariance_floor: float = COVARIANCE_FLOOR,
    criterion: str = "bic",
    aggregate: str = "mean",
    max_iterations: int = MAX_ITERATIONS,
    tolerance: float = TOLERANCE,
) -> SelectedModel:
    """Fit models with several numbers of states and choose one.

    Args:
        obs: observations.
        n_states: numbers of states to try.
        restarts: random starts of each.
        random_state: seed of the starts.
        covariance: "full", "diag", "tied" or "spherical".
        covariance_floor: smallest eigenvalue of a covariance; see `fit_hmm`.
        criterion: "bic", "aic" (the lowest is chosen) or "log_likelihood" (the highest), all of
            the validation runs.
        aggregate: see `choose`.
        max_iterations: most EM iterations of a fit.
        tolerance: gain in log-likelihood below which a fit has converged.

    Returns:
        The chosen model.

    Raises:
        InputError: if a setting is out of its range.
    """
    _check_choice(criterion, aggregate)
    tried = _distinct(n_states)
    fits = {
        k: fit_hmm(
            obs,
            k,
            restarts=restarts,
            covariance=covariance,
            covariance_floor=covariance_floor,
            max_iterations=max_iterations,
            tolerance=tolerance,
            random_state=random_state,
        )
        for k in tried
    }
    scores = pd.concat([fits[k].scores for k in tried], ignore_index=True)
    chosen, _ = choose(scores, criterion, aggregate)
    return _selected(obs, fits[chosen], scores, criterion, aggregate)


def choose(
    scores: pd.DataFrame, criterion: str = "bic", aggregate: str = "mean"
) -> tuple[int, int]:
    """Choose the number of states and the restart.

    Args:
        scores: rows of `SCORE_COLUMNS`.
        criterion: "bic", "aic" or "log_likelihood", of the validation runs.
        aggregate: "mean" compares numbers of states by the criterion's mean over restarts, as the
            authors did; "best" by the best restart of each.

    Returns:
        Number of states, and of its restarts the one with the best validation likelihood. Of
        equals, the fewest states and the first restart.
    """
    _check_choice(criterion, aggregate)
    by_states = _criterion_by_states(scores, criterion, aggregate)
    lowest = by_states if criterion != "log_likelihood" else -by_states
    n_states = int(lowest.index.to_numpy()[lowest.to_numpy().argmin()])
    of_states = scores[scores["n_states"] == n_states].sort_values("restart")
    best = of_states["log_likelihood_validation"].to_numpy().argmax()
    return n_states, int(of_states["restart"].to_numpy()[best])


def visiting_order(paths: Sequence[Ints], n_states: int) -> Ints:
    """States in the order in which runs visit them.

    A state's place is the mean, over the runs that visit it, of its first visit; of equals, the
    one occupied earlier on average (over all its checkpoints) comes first. States that no run
    visits come last. Time is the position of a checkpoint in its run.

    Args:
        paths: each run's states, in order of time.
        n_states: number of states K.

    Returns:
        (K,) state numbers: the first becomes state 0.
    """
    visits: list[list[int]] = [[] for _ in range(n_states)]
    times: list[list[Ints]] = [[] for _ in range(n_states)]
    for path in paths:
        for state in np.unique(path):
            when = np.flatnonzero(np.asarray(path) == state)
            visits[state].append(int(when[0]))
            times[state].append(when)
    keys = [
        (np.mean(visits[k]), np.concatenate(times[k]).mean(), k) if visits[k] else (np.inf, 0.0, k)
        for k in range(n_states)
    ]
    return np.array([key[2] for key in sorted(keys)], dtype=np.int64)


def load_selected(
    obs: Observations,
    folder: str | os.PathLike[str],
    n_states: Iterable[int],
    criterion: str = "bic",
    aggregate: str = "mean",
) -> SelectedModel:
    """Choose among models already fitted: states-K.npz and states-K.csv of each K in `folder`.

    Returns:
        What `select_hmm` returns for the same settings.

    Raises:
        InputError: if a file is missing, broken, or belongs to other observations or scores.
    """
    _check_choice(criterion, aggregate)
    tables = []
    for k in _distinct(n_states):
        path = Path(folder, f"states-{k}.csv")
        table = read_table(path, columns=SCORE_COLUMNS)
        if table.empty or not (table["n_states"] == k).all():
            raise InputError(f"{path}: expected the scores of models with {k} states")
        tables.append(table[list(SCORE_COLUMNS)])
    scores = pd.concat(tables, ignore_index=True)
    chosen, restart = choose(scores, criterion, aggregate)
    path = Path(folder, f"states-{chosen}.npz")
    fitted = load_fitted(path, obs)
    if (fitted.n_states, fitted.restart) != (chosen, restart):
        raise InputError(
            f"{path}: holds restart {fitted.restart} of {fitted.n_states} states, and its scores "
            f"name restart {restart} as the best; the two are of different fits, make them again"
        )
    return _selected(obs, fitted, scores, criterion, aggregate)


def _check_fit_settings(obs: Observations, n_states: int, settings: Mapping[str, Any]) -> None:
    least = {"n_states": 1, "restarts": 1, "max_iterations": 1, "random_state": 0}
    for name, minimum in least.items():
        value = {"n_states": n_states, **settings}[name]
        if value < minimum:
            raise InputError(f"{name}: {value} is below the least allowed, {minimum}")
    if not settings["tolerance"] > 0:
        raise InputError(
            f"tolerance: {settings['tolerance']} is not above 0; a fit would never converge"
        )
    if not 0 < settings["covariance_floor"] <= 1:
        raise InputError(
            f"covariance_floor: {settings['covariance_floor']} is not above 0 and at most 1 (the "
            "variance of a z-scored metric)"
        )
    if settings["covariance"] not in COVARIANCES:
        raise InputError(
            f"covariance: {settings['covariance']!r} is none of {', '.join(COVARIANCES)}"
        )
    distinct = len(np.unique(obs.sequences("train")[0], axis=0))
    if n_states > distinct:
        raise InputError(
            f"n_states: {n_states} states need as many different checkpoints, and the training "
            f"runs have {distinct}"
        )


def _check_choice(criterion: str, aggregate: str) -> None:
    if criterion not in CRITERIA:
        raise InputError(f"criterion: {criterion!r} is none of {', '.join(CRITERIA)}")
    if aggregate not in AGGREGATES:
        raise InputError(f"aggregate: {aggregate!r} is none of {', '.join(AGGREGATES)}")


def _distinct(n_states: Iterable[int]) -> list[int]:
    tried = sorted({int(k) for k in n_states})
    if not tried:
        raise InputError("n_states: no number of states to try")
    return tried


def _fit_restart(
    obs: Observations, n_states: int, restart: int, settings: Mapping[str, Any]
) -> tuple[GaussianHMM, dict[str, Any]]:
    """One restart's model and its row of the scores."""
    begin = time.perf_counter()
    hmm = GaussianHMM(
        n_states,
        settings["covariance"],
        covariance_floor=settings["covariance_floor"],
        random_state=_restart_seed(settings["random_state"], n_states, restart),
        n_iter=settings["max_iterations"],
        tol=settings["tolerance"],
    )
    x, lengths, _ = obs.sequences("train")
    row = _score(hmm.fit(x, lengths), obs, restart)
    logger.info(
        "%d state%s, restart %d: log-likelihood %.1f (validation %.1f), %s after %d iterations "
        "in %.1f s",
        n_states,
        "" if n_states == 1 else "s",
        restart,
        row["log_likelihood_train"],
        row["log_likelihood_validation"],
        row["reason"],
        row["n_iterations"],
        time.perf_counter() - begin,
    )
    return hmm, row


def _restart_seed(random_state: int, n_states: int, restart: int) -> int:
    """A seed of its own for every restart of every number of states."""
    return int(np.random.SeedSequence([random_state, n_states, restart]).generate_state(1)[0])


def _score(hmm: GaussianHMM, obs: Observations, restart: int) -> dict[str, Any]:
    """A restart's row of the scores."""
    report = hmm.fit_report_
    x, lengths, _ = obs.sequences("validation" if obs.has_validation else "train")
    likelihood = float(hmm.score(x, lengths))
    parameters = hmm.n_parameters()
    return {
        "n_states": hmm.n_components,
        "restart": restart,
        "log_likelihood_train": report.log_likelihood[-1],
        "log_likelihood_validation": likelihood,
        "aic": -2 * likelihood + 2 * parameters,
        "bic": -2 * likelihood + parameters * float(np.log(len(x))),
        "n_iterations": report.iterations,
        "converged": report.converged,
        "reason": report.reason,
    }


def _number_in_visiting_order(hmm: GaussianHMM, obs: Observations) -> None:
    """Number the states as all runs, training and validation, visit them (Viterbi paths)."""
    x, lengths, _ = obs.sequences()
    paths = np.split(hmm.predict(x, lengths), np.cumsum(lengths)[:-1])
    hmm.renumber(visiting_order(paths, hmm.n_components))


def _criterion_by_states(scores: pd.DataFrame, criterion: str, aggregate: str) -> pd.Series[float]:
    """The criterion of each number of states, ascending."""
    likelihood = criterion == "log_likelihood"
    values = scores.groupby("n_states", sort=True)[
        "log_likelihood_validation" if likelihood else criterion
    ]
    if aggregate == "mean":
        return values.mean()
    return values.max() if likelihood else values.min()


def _selected(
    obs: Observations, fitted: FittedHMM, scores: pd.DataFrame, criterion: str, aggregate: str
) -> SelectedModel:
    return SelectedModel(
        hmm=fitted.hmm,
        observations=obs,
        scores=scores,
        n_states=fitted.n_states,
        restart=fitted.restart,
        criterion=criterion,
        aggregate=aggregate,
        covariance=fitted.hmm.covariance_type,
        value=float(_criterion_by_states(scores, criterion, aggregate)[fitted.n_states]),
        notes=tuple(_notes(fitted, scores)),
    )


def _notes(fitted: FittedHMM, scores: pd.DataFrame) -> list[str]:
    """What a reader must know of a choice."""
    notes = []
    most = int(scores["n_states"].max())
    if fitted.n_states == 1:
        notes.append("The selected model has one state: no separate phases were found.")
    elif fitted.n_states == most:
        notes.append(
            f"The selected number of states, {most}, is the largest tried; more may fit better."
        )
    same = (scores["n_states"] == fitted.n_states) & (scores["restart"] == fitted.restart)
    reason = scores.loc[same, "reason"].iloc[0]
    if reason == "iteration limit":
        notes.append(
            "The selected fit reached its iteration limit before it converged; raise "
            "max_iterations."
        )
    elif reason == "degenerate":
        notes.append(
            "The selected fit is degenerate: a state holds less than one checkpoint, or the "
            "likelihood fell; try fewer states."
        )
    failed = int((~scores["converged"].astype(bool)).sum())
    if failed:
        notes.append(f"{failed} of {len(scores)} fits did not converge; the scores say which.")
    return notes
