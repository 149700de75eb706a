"""Fit hidden Markov models with one number of states from several random starts.

Hu et al. 2023, section 2.1: Gaussian HMMs with K states are fitted by Baum-Welch on the training
runs, and judged on the validation runs. Autoregressive ones, an alternative, are fitted and judged
alike. The restart with the best validation likelihood is kept;
what the others say of each run is kept beside it (`training_maps.model_selection.restarts`).

Criteria, with L the log-likelihood of the validation runs, p the model's free parameters (as
hmmlearn counts them) and n the checkpoints of the validation runs:

    AIC = -2 L + 2 p        BIC = -2 L + p log(n)

Where no run is held out, L and n are those of the training runs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from training_maps.hmm.autoregressive import AutoregressiveHMM, VectorAutoregressiveHMM
from training_maps.hmm.base import HMM
from training_maps.hmm.gaussian import GaussianHMM
from training_maps.hmm.initialisation import start_of
from training_maps.hmm.observations import Observations
from training_maps.model_selection.fitted import SCORE_COLUMNS, FittedHMM
from training_maps.model_selection.restarts import OWN_SPLIT, Restarts, other_splits, visiting_order
from training_maps.settings.fields import check_fields
from training_maps.settings.sections import FitSettings, SelectionSettings
from training_maps.utils.errors import InputError
from training_maps.utils.progress import Count
from training_maps.utils.threads import one_thread

logger = logging.getLogger("training_maps")

#: The kinds of model, by their names in the config.
MODELS: dict[str, type[HMM]] = {
    model.name: model for model in (GaussianHMM, AutoregressiveHMM, VectorAutoregressiveHMM)
}


def fit_hmm(
    obs: Observations,
    n_states: int,
    *,
    model: str = "gaussian",
    restarts: int = FitSettings.restarts,
    covariance: str = FitSettings.covariance,
    covariance_floor: float = FitSettings.covariance_floor,
    minimum_stay: int = FitSettings.minimum_stay,
    stay_prior: float = FitSettings.stay_prior,
    max_iterations: int = FitSettings.max_iterations,
    tolerance: float = FitSettings.tolerance,
    random_state: int = FitSettings.random_state,
    resplits: int = FitSettings.resplits,
    keep_runs: bool = True,
    count: Count | None = None,
) -> FittedHMM:
    """Fit K-state models from several starts; keep the one with the best validation likelihood.

    The start of a restart depends on `random_state`, `n_states` and the restart's number only, so
    that more restarts or other numbers of states leave the fits already made as they are.

    Every restart has finite scores, degenerate ones too: covariances are floored and no state is
    ever divided by nothing (see `training_maps.hmm.gaussian`).

    Args:
        obs: observations.
        n_states: number of states K.
        model: "gaussian", "autoregressive" or "vector_autoregressive"
            (`training_maps.hmm.autoregressive`). All count every checkpoint of a run, its first
            too, so that their criteria compare.
        restarts: number of random starts.
        covariance: "full", "diag", "tied" or "spherical".
        covariance_floor: smallest eigenvalue that a covariance may have, in squared standard
            deviations of a z-scored metric, above 0 and at most 1. It keeps a state from calling
            runs impossible that leave a nearly collinear bundle of metrics a little.
        minimum_stay: checkpoints that a run stays in a state at least (`training_maps.hmm.stays`).
        stay_prior: imagined checkpoints of each state after which runs stay, at least 0.
        max_iterations: most EM iterations of a fit.
        tolerance: a fit has converged when an iteration gains less log-likelihood than this (nats,
            over all training runs together, the prior included).
        random_state: seed of the starts, from 0 on.
        resplits: number of other splits into training and validation runs for which all restarts
            are fitted once more, so that the choice does not hang on one split; 0 for none.
        keep_runs: whether to keep what all restarts say of each run.
        count: counts the fits in the log, where those of several calls are one piece of work.

    Returns:
        The best fit, the scores of all, and what all say of each run (`keep_runs`).

    Raises:
        InputError: if a setting is out of its range, or there are fewer distinct training
            checkpoints than states.
    """
    settings = {
        "model": model,
        "restarts": restarts,
        "covariance": covariance,
        "covariance_floor": covariance_floor,
        "minimum_stay": minimum_stay,
        "stay_prior": stay_prior,
        "max_iterations": max_iterations,
        "tolerance": tolerance,
        "random_state": random_state,
        "resplits": resplits,
    }
    splits = [(OWN_SPLIT, obs), *other_splits(obs, resplits)]
    for _, split in splits:
        _check_settings(split, n_states, settings)
    # One thread, so that results do not depend on how many there are; K are fitted in parallel.
    with one_thread():
        count = count or Count(restarts * len(splits), "fit")
        fits = [_fit_split(split, n_states, seed, settings, count) for seed, split in splits]
        rows = [{**row, "split": i} for i, of_split in enumerate(fits) for _, row in of_split]
        best = int(np.argmax([row["log_likelihood_validation"] for row in rows[:restarts]]))
        records = [
            Restarts.of([hmm for hmm, _ in of_split], split, seed)
            for (seed, split), of_split in zip(splits, fits, strict=True)
            if keep_runs
        ]
        scores = pd.DataFrame(rows, columns=list(SCORE_COLUMNS))
        hmm = fits[0][best][0]
        _number_in_visiting_order(hmm, obs)
    return FittedHMM(hmm, n_states, best, scores, settings, tuple(records))


def _check_settings(obs: Observations, n_states: int, settings: Mapping[str, Any]) -> None:
    if settings["model"] not in MODELS:
        raise InputError(f"model: {settings['model']!r} is not one of {', '.join(MODELS)}")
    check_fields(FitSettings, {key: settings[key] for key in settings if key != "model"})
    check_fields(SelectionSettings, {"n_states": n_states})
    distinct = len(np.unique(obs.sequences("train")[0], axis=0))
    if n_states > distinct:
        raise InputError(
            f"n_states: {n_states} states need as many different checkpoints, and the training "
            f"runs have {distinct}"
        )


def _fit_split(
    obs: Observations, n_states: int, split_seed: int, settings: Mapping[str, Any], count: Count
) -> list[tuple[HMM, dict[str, Any]]]:
    """All restarts on a split, and their rows of the scores."""
    label = "" if split_seed == OWN_SPLIT else f"split of seed {split_seed}: "
    return [
        _fit_restart(obs, n_states, restart, settings, count, label)
        for restart in range(settings["restarts"])
    ]


def _fit_restart(
    obs: Observations,
    n_states: int,
    restart: int,
    settings: Mapping[str, Any],
    count: Count,
    label: str,
) -> tuple[HMM, dict[str, Any]]:
    """One restart's model and its row of the scores; `label` begins its line of the log."""
    begin = time.perf_counter()
    hmm = MODELS[settings["model"]](
        n_states,
        settings["covariance"],
        covariance_floor=settings["covariance_floor"],
        minimum_stay=settings["minimum_stay"],
        stay_prior=settings["stay_prior"],
        random_state=_restart_seed(settings["random_state"], n_states, restart),
        start=start_of(restart),
        n_iter=settings["max_iterations"],
        tol=settings["tolerance"],
    )
    x, lengths, _ = obs.sequences("train")
    hmm.fit(x, lengths)
    row = {
        "model": settings["model"],
        "restart": restart,
        "start": hmm.start,
        **_score(hmm, obs),
    }
    logger.info(
        "%s%d %sstate%s, restart %d (%s): log-likelihood %.1f (validation %.1f), %s after %d "
        "iterations in %.1f s (%s)",
        label,
        n_states,
        "" if hmm.name == "gaussian" else f"{hmm.name} ",
        "" if n_states == 1 else "s",
        restart,
        row["start"],
        row["log_likelihood_train"],
        row["log_likelihood_validation"],
        row["reason"],
        row["n_iterations"],
        time.perf_counter() - begin,
        count.one_more(),
    )
    return hmm, row


def _restart_seed(random_state: int, n_states: int, restart: int) -> int:
    """A seed of its own for every restart of every number of states."""
    return int(np.random.SeedSequence([random_state, n_states, restart]).generate_state(1)[0])


def _score(hmm: HMM, obs: Observations) -> dict[str, Any]:
    """What a restart's row of the scores says of its model."""
    report = hmm.fit_report_
    x, lengths, _ = obs.sequences("validation" if obs.has_validation else "train")
    likelihood = float(hmm.score(x, lengths))
    parameters = hmm.n_parameters()
    return {
        "n_states": hmm.n_components,
        "log_likelihood_train": report.log_likelihood[-1],
        "log_likelihood_validation": likelihood,
        "aic": -2 * likelihood + 2 * parameters,
        "bic": -2 * likelihood + parameters * float(np.log(len(x))),
        "n_iterations": report.iterations,
        "converged": report.converged,
        "reason": report.reason,
    }


def _number_in_visiting_order(hmm: HMM, obs: Observations) -> None:
    """Number the states as all runs, training and validation, visit them (Viterbi paths)."""
    x, lengths, _ = obs.sequences()
    paths = np.split(hmm.predict(x, lengths), np.cumsum(lengths)[:-1])
    hmm.renumber(visiting_order(paths, hmm.n_components))
