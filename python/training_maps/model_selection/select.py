"""Select one of several hidden Markov models.

Hu et al. 2023, section 2.1: models with several numbers of states are fitted
(`model_selection.fit`), and the number of states is that with the lowest BIC on the validation
runs. As the authors did, the criterion is averaged over the restarts of each K, and of the chosen K
the restart with the best validation likelihood is kept. Where models were fitted on several splits
into training and validation runs (`resplits`), the criterion is averaged over these too. How firm
the choice is, is measured (`training_maps.model_selection.stability`) and reported.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from training_maps.hmm.base import HMM
from training_maps.hmm.observations import Observations
from training_maps.model_selection.criteria import (
    FOUND_AGAIN,
    MODEL_NAMES,
    Candidate,
    all_candidates,
    by_candidate,
    check_choice,
    choose,
    criterion_of_scores,
    judged,
)
from training_maps.model_selection.fit import fit_hmm
from training_maps.model_selection.fitted import SCORE_COLUMNS, FittedHMM, load_fitted
from training_maps.model_selection.stability import (
    Stability,
    measure_found_again,
    measure_stability,
)
from training_maps.settings.sections import FitSettings, SelectionSettings
from training_maps.utils.errors import InputError
from training_maps.utils.files import read_table
from training_maps.utils.notes import Note

# The kind of the note that the choice is not firm, which has the text of `Stability.sentence`.
DOUBTFUL_CHOICE = "doubtful_choice"
_NO_HALVES = Note(
    "no_halves",
    "No halves of the runs could be compared, so that BIC chose the model (hmm.criterion).",
)


@dataclass(frozen=True)
class SelectedModel:
    """The model chosen among all kinds and numbers of states.

    Attributes:
        hmm: the chosen model, its states numbered in visiting order; a Gaussian one's
            `hmm.to_hmmlearn()` gives it as an `hmmlearn.hmm.GaussianHMM`.
        observations: what it was fitted to.
        scores: every restart of every candidate, with `SCORE_COLUMNS`.
        kind: the chosen kind of model, "gaussian", "autoregressive" or "vector_autoregressive".
        n_states: the chosen K.
        restart: the chosen restart of that K.
        criterion: "bic", "aic" or "log_likelihood".
        aggregate: "mean" or "best".
        covariance: covariance type.
        value: the criterion of the chosen K, averaged over its restarts if `aggregate` is "mean",
            and over the splits.
        stability: how firm the choice is.
        notes: what a reader must know of the choice.
    """

    hmm: HMM
    observations: Observations
    scores: pd.DataFrame
    kind: str
    n_states: int
    restart: int
    criterion: str
    aggregate: str
    covariance: str
    value: float
    stability: Stability
    notes: tuple[Note, ...]


def select_hmm(
    obs: Observations,
    n_states: Iterable[int] = range(1, 9),
    restarts: int = FitSettings.restarts,
    random_state: int = FitSettings.random_state,
    *,
    model: str | Sequence[str] = SelectionSettings.model,
    criterion: str = SelectionSettings.criterion,
    aggregate: str = SelectionSettings.aggregate,
    **fit: Any,
) -> SelectedModel:
    """Fit models with several numbers of states and choose one.

    Args:
        obs: observations.
        n_states: numbers of states to try.
        restarts: random starts of each.
        random_state: seed of the starts.
        model: kind of model, or several to choose between (`fit_hmm`).
        criterion: "bic", "aic" (the lowest is chosen) or "log_likelihood" (the highest), all of
            the validation runs.
        aggregate: see `training_maps.model_selection.criteria.choose`.
        fit: how each is fitted, as `fit_hmm` takes it: covariance, covariance_floor,
            max_iterations, tolerance, resplits.

    Returns:
        The chosen model.

    Raises:
        InputError: if a setting is out of its range.
    """
    check_choice(criterion, aggregate)
    fits = {
        candidate: fit_hmm(
            obs,
            candidate.n_states,
            model=candidate.model,
            restarts=restarts,
            random_state=random_state,
            **fit,
        )
        for candidate in all_candidates(model, n_states)
    }
    scores = pd.concat([fit.scores for fit in fits.values()], ignore_index=True)
    return _selected(obs, fits, scores, criterion, aggregate)


def load_selected(
    obs: Observations,
    folder: str | os.PathLike[str],
    n_states: Iterable[int],
    criterion: str = SelectionSettings.criterion,
    aggregate: str = SelectionSettings.aggregate,
    *,
    model: str | Sequence[str] = SelectionSettings.model,
    structure: Mapping[str, Any] | None = None,
) -> SelectedModel:
    """Choose among models already fitted: the npz and csv of each K in `folder`.

    The files are states-K.npz and states-K.csv; those of other kinds of model have the kind before
    their names (`file_stem`).

    Returns:
        What `select_hmm` returns for the same settings.

    Raises:
        InputError: if a file is missing, broken, or belongs to other observations or scores.
    """
    choice = (structure or {}).get("choice") if criterion == FOUND_AGAIN else None
    if structure and choice:
        choice = {**choice, "scheme": structure.get("scheme")}
    check_choice(criterion_of_scores(criterion), aggregate)
    fits, tables = {}, []
    for candidate in all_candidates(model, n_states):
        stem = file_stem(candidate)
        path = Path(folder, f"{stem}.csv")
        table = read_table(path, columns=SCORE_COLUMNS)
        try:
            of = list(by_candidate(table))
            table["log_likelihood_validation"].astype(float)
        except (ValueError, TypeError) as error:  # texts and gaps where names and numbers were
            raise InputError(f"{path}: is no table of scores ({error})") from error
        if of != [candidate]:
            raise InputError(
                f"{path}: expected the scores of models with {candidate.n_states} states"
            )
        tables.append(table[list(SCORE_COLUMNS)])
        fits[candidate] = _load_matching(Path(folder, f"{stem}.npz"), obs, candidate, table)
    scores = pd.concat(tables, ignore_index=True)
    if choice is not None:
        return _found_again(obs, fits, scores, choice, aggregate)
    if criterion == FOUND_AGAIN:
        selected = _selected(obs, fits, scores, criterion_of_scores(criterion), aggregate)
        return replace(selected, notes=(*selected.notes, _NO_HALVES))
    return _selected(obs, fits, scores, criterion, aggregate)


def file_stem(candidate: Candidate) -> str:
    """Name of a candidate's files, without suffix: `states-3`, `autoregressive_states-3`."""
    kind = "" if candidate.model == MODEL_NAMES[0] else f"{candidate.model}_"
    return f"{kind}states-{candidate.n_states}"


def _load_matching(
    path: Path, obs: Observations, candidate: Candidate, table: pd.DataFrame
) -> FittedHMM:
    """The fit at `path`, checked against its scores."""
    fitted = load_fitted(path, obs)
    if not fitted.restarts:
        raise InputError(f"{path}: does not say what its restarts are; make it again")
    of_runs = np.concatenate(
        [split.log_likelihood[:, split.judging].sum(axis=1) for split in fitted.restarts]
    )
    by_split = table.sort_values(["split", "restart"])
    of_scores = by_split["log_likelihood_validation"].to_numpy(dtype=float)
    _, restart = choose(table)
    if (
        Candidate(fitted.hmm.name, fitted.n_states) != candidate
        or fitted.restart != restart
        or of_runs.shape != of_scores.shape
        or not np.allclose(of_runs, of_scores, rtol=1e-6)
    ):
        raise InputError(
            f"{path}: holds restart {fitted.restart} of {fitted.n_states} states, and its scores "
            f"are of other fits (the best is restart {restart}); make both again with "
            "'training-maps hmm'"
        )
    return fitted


def _selected(
    obs: Observations,
    fits: Mapping[Candidate, FittedHMM],
    scores: pd.DataFrame,
    criterion: str,
    aggregate: str,
) -> SelectedModel:
    """The model that a criterion chooses by the scores."""
    chosen, restart = choose(scores, criterion, aggregate)
    restarts = {candidate: fit.restarts for candidate, fit in fits.items()}
    stability = measure_stability(restarts, chosen, restart, criterion, aggregate)
    return _model(obs, fits, scores, chosen, restart, stability, criterion, aggregate)


def _found_again(
    obs: Observations,
    fits: Mapping[Candidate, FittedHMM],
    scores: pd.DataFrame,
    choice: Mapping[str, Any],
    aggregate: str,
) -> SelectedModel:
    """The model that halves of the runs agree on."""
    chosen = Candidate(str(choice["model"]), int(choice["n_states"]))
    if chosen not in fits:
        raise InputError(
            f"the structure chooses {chosen.n_states} states ({chosen.model}), which were not "
            "tried; make it again with 'training-maps structure'"
        )
    _, restart = choose(by_candidate(scores)[chosen])
    restarts = {candidate: fit.restarts for candidate, fit in fits.items()}
    stability = measure_found_again(restarts, chosen, restart, choice, aggregate)
    return _model(obs, fits, scores, chosen, restart, stability, FOUND_AGAIN, aggregate)


def _model(
    obs: Observations,
    fits: Mapping[Candidate, FittedHMM],
    scores: pd.DataFrame,
    chosen: Candidate,
    restart: int,
    stability: Stability,
    criterion: str,
    aggregate: str,
) -> SelectedModel:
    """A chosen model with what is said of it."""
    fitted = fits[chosen]
    value = judged(scores, criterion_of_scores(criterion), aggregate)[chosen]
    return SelectedModel(
        hmm=fitted.hmm,
        observations=obs,
        scores=scores,
        kind=chosen.model,
        n_states=chosen.n_states,
        restart=restart,
        criterion=criterion,
        aggregate=aggregate,
        covariance=fitted.hmm.covariance_type,
        value=-value if criterion == "log_likelihood" else value,
        stability=stability,
        notes=tuple(_notes(chosen, restart, scores, stability, fits[chosen])),
    )


def _notes(
    chosen: Candidate,
    restart: int,
    scores: pd.DataFrame,
    stability: Stability,
    fitted: FittedHMM,
) -> list[Note]:
    """What a reader must know of a choice."""
    notes = []
    if chosen.n_states == 1:
        notes.append(
            Note("one_state", "The selected model has one state: no separate phases were found.")
        )
    if chosen.model != "gaussian":
        notes.append(
            Note(
                "autoregressive",
                "The selected model is autoregressive: a state is a way of moving, and its "
                "covariance, which ranks its features, is that of a step from one checkpoint to "
                "the next.",
            )
        )
    if stability.verdict != "stable":
        notes.append(Note(DOUBTFUL_CHOICE, stability.sentence))
    notes += parameter_notes(fitted)
    rows = by_candidate(scores[scores["split"] == 0])[chosen].set_index("restart")
    reason = rows.loc[restart, "reason"]
    if reason == "iteration limit":
        notes.append(
            Note(
                "iteration_limit",
                "The selected fit reached its iteration limit before it converged; raise "
                "max_iterations.",
            )
        )
    elif reason == "degenerate":
        notes.append(
            Note(
                "degenerate",
                "The selected fit is degenerate: a state holds less than one checkpoint, or the "
                "likelihood fell; try fewer states.",
            )
        )
    failed = int((~scores["converged"].astype(bool)).sum())
    if failed:
        notes.append(
            Note(
                "failed_fits",
                f"{failed} of {len(scores)} fits did not converge; the scores say which.",
            )
        )
    return notes


def parameter_notes(fitted: FittedHMM) -> list[Note]:
    """A warning where the model has more free parameters than checkpoints that it was fitted to."""
    if not fitted.restarts:
        return []
    own = fitted.restarts[0]
    held_out = not own.judging.all()
    n_checkpoints = int(own.lengths[~own.judging].sum() if held_out else own.lengths.sum())
    if own.n_parameters <= n_checkpoints:
        return []
    return [
        Note(
            "many_parameters",
            f"The model has {own.n_parameters:,} free parameters, more than the "
            f"{n_checkpoints:,} checkpoints that it was fitted to; its states may be chance.",
        )
    ]
