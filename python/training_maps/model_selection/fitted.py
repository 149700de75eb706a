"""A fitted hidden Markov model and its file.

The file is an npz of plain arrays, with the digest of the observations that the model was fitted
to, so that a model is never read together with other observations.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training_maps.hmm.autoregressive import AutoregressiveHMM, VectorAutoregressiveHMM
from training_maps.hmm.base import HiddenMarkovModel
from training_maps.hmm.gaussian import GaussianHMM
from training_maps.hmm.observations import Observations
from training_maps.model_selection.restarts import Restarts, from_arrays, to_arrays
from training_maps.utils.errors import InputError
from training_maps.utils.files import damage, made_by, replace_when_whole

Made = TypeVar("Made")

SCORE_COLUMNS = (
    "n_states",
    "restart",
    "log_likelihood_train",
    "log_likelihood_validation",
    "aic",
    "bic",
    "n_iterations",
    "converged",
    "reason",
    "start",
    "model",
    "split",
)


@dataclass(frozen=True)
class FittedHMM:
    """The best of several fits with one number of states.

    Attributes:
        hmm: the model, its states numbered in the order in which runs visit them; a Gaussian
            one's `hmm.to_hmmlearn()` gives it as an `hmmlearn.hmm.GaussianHMM`.
        n_states: number of states K.
        restart: which restart it is.
        scores: one row a restart and split, with `SCORE_COLUMNS`; `split` is 0 for the own one of
            the observations and 1, 2, ... for the others; empty for a model read without them.
        settings: what the fits were made with.
        restarts: what all of the fits say of each run, on the observations' own split and then on
            others.
    """

    hmm: HiddenMarkovModel[Any, Any]
    n_states: int
    restart: int
    scores: pd.DataFrame
    settings: Mapping[str, Any] = field(default_factory=dict)
    restarts: tuple[Restarts, ...] = ()


def save_fitted(path: str | os.PathLike[str], fitted: FittedHMM, obs: Observations) -> None:
    """Write a model's parameters, and which observations they belong to, as npz without pickles.

    Of a Gaussian model, the arrays `startprob`, `transmat`, `means` and `covars` set the attributes
    of the same names (with an underscore) of an `hmmlearn.hmm.GaussianHMM` with that
    `covariance_type`. An autoregressive one has those too, and what its emissions need beside
    (the arguments of `AutoregressiveHMM.from_parameters`).
    """
    hmm = fitted.hmm
    with replace_when_whole(path) as aside, aside.open("wb") as file:
        np.savez_compressed(
            file,
            model=np.array(hmm.name),
            **parameter_arrays(hmm),
            metrics=np.array(obs.metrics),
            n_states=np.array(fitted.n_states),
            restart=np.array(fitted.restart),
            observations=np.array(obs.digest),
            made_by=np.array(json.dumps(made_by(**fitted.settings))),
            **to_arrays(fitted.restarts),
        )


def load_fitted(path: str | os.PathLike[str], obs: Observations) -> FittedHMM:
    """Read what `save_fitted` wrote; the scores are in another file and stay empty.

    Raises:
        InputError: if the file is missing, broken, or of a model fitted to other observations.
    """
    return read_arrays(path, obs, _fitted, "model", "hmm")


def read_arrays(
    path: str | os.PathLike[str],
    obs: Observations,
    make: Callable[[Mapping[str, NDArray[Any]]], Made],
    noun: str,
    stage: str,
) -> Made:
    """Read an npz file that holds the digest of the observations that it was made of.

    Args:
        path: the file.
        obs: the observations that it must be of.
        make: what makes sense of its arrays; any error of what a file holds is the file's.
        noun: what the file holds, for messages.
        stage: the stage that writes it.

    Raises:
        InputError: if the file is missing, broken, or of other observations.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            saved = {name: file[name] for name in file.files}
        digest = str(saved["observations"])
        made = make(saved)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path}: the {noun} cannot be read ({reason})") from error
    except (ValueError, TypeError, LookupError, EOFError, zipfile.BadZipFile) as error:
        what = damage(path, f"is not a {noun} of 'training-maps {stage}' ({error})")
        raise InputError(f"{path}: {what}") from error
    if digest != obs.digest:
        raise InputError(
            f"{path}: this {noun} is of other observations than those given; make it again with "
            f"'training-maps {stage}'"
        )
    return made


def _fitted(saved: Mapping[str, NDArray[Any]]) -> FittedHMM:
    """What a file's arrays say."""
    return FittedHMM(
        model_from(saved),
        int(saved["n_states"]),
        int(saved["restart"]),
        pd.DataFrame(columns=list(SCORE_COLUMNS)),
        json.loads(str(saved["made_by"])),
        from_arrays(saved),
    )


def parameter_arrays(hmm: HiddenMarkovModel[Any, Any]) -> dict[str, Any]:
    """A model's parameters, and what it was set up with as far as `model_from` needs it."""
    arrays: dict[str, Any] = dict(hmm.arrays())
    arrays["covariance_type"] = np.array(hmm.covariance_type)
    arrays["covariance_floor"] = np.array(hmm.covariance_floor)
    arrays["minimum_stay"] = np.array(hmm.minimum_stay)
    arrays["stay_prior"] = np.array(hmm.stay_prior)
    if isinstance(hmm, AutoregressiveHMM):
        arrays["dynamics"] = np.array(hmm.dynamics)
        arrays["ridge"] = np.array(hmm.ridge)
    return arrays


def model_from(saved: Mapping[str, Any]) -> HiddenMarkovModel[Any, Any]:
    """The model of a file's arrays: its kind is in `model`, the others as `parameter_arrays`."""
    settings: dict[str, Any] = {
        "covariance_type": str(saved["covariance_type"]),
        "covariance_floor": float(saved["covariance_floor"]),
    }
    if "minimum_stay" in saved:  # files from before have none
        settings["minimum_stay"] = int(saved["minimum_stay"])
        settings["stay_prior"] = float(saved["stay_prior"])
    gaussian = {name: saved[name] for name in ("startprob", "transmat", "means", "covars")}
    if str(saved["model"]) == GaussianHMM.name:
        return GaussianHMM.from_parameters(**gaussian, **settings)
    kinds = {kind.name: kind for kind in (AutoregressiveHMM, VectorAutoregressiveHMM)}
    if str(saved["model"]) not in kinds:
        raise ValueError(f"there is no model {saved['model']}")
    names = ("intercepts", "coefficients", "first_mean", "first_variance")
    return kinds[str(saved["model"])].from_parameters(
        **gaussian,
        **{name: saved[name] for name in names},
        **settings,
        dynamics=str(saved["dynamics"]),
        ridge=float(saved["ridge"]),
    )
