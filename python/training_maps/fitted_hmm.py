"""A fitted hidden Markov model and its file.

The file is an npz of plain arrays, with the digest of the observations that the model was fitted
to, so that a model is never read together with other observations.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from training_maps.errors import InputError
from training_maps.files import made_by, replace_when_whole
from training_maps.gaussian_hmm import GaussianHMM
from training_maps.sequences import Observations

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
)


@dataclass(frozen=True)
class FittedHMM:
    """The best of several fits with one number of states.

    Attributes:
        hmm: the model, its states numbered in the order in which runs visit them;
            `hmm.to_hmmlearn()` gives it as an `hmmlearn.hmm.GaussianHMM`.
        n_states: number of states K.
        restart: which restart it is.
        scores: one row a restart, with `SCORE_COLUMNS`; empty for a model read without them.
        settings: what the fits were made with.
    """

    hmm: GaussianHMM
    n_states: int
    restart: int
    scores: pd.DataFrame
    settings: Mapping[str, Any] = field(default_factory=dict)


def save_fitted(path: str | os.PathLike[str], fitted: FittedHMM, obs: Observations) -> None:
    """Write a model's parameters, and which observations they belong to, as npz without pickles.

    The arrays `startprob`, `transmat`, `means` and `covars` set the attributes of the same names
    (with an underscore) of an `hmmlearn.hmm.GaussianHMM` with that `covariance_type`.
    """
    hmm = fitted.hmm
    with replace_when_whole(path) as aside, aside.open("wb") as file:
        np.savez_compressed(
            file,
            startprob=hmm.startprob_,
            transmat=hmm.transmat_,
            means=hmm.means_,
            covars=hmm.covariance_parameters(),
            covariance_type=np.array(hmm.covariance_type),
            covariance_floor=np.array(hmm.covariance_floor),
            metrics=np.array(obs.metrics),
            n_states=np.array(fitted.n_states),
            restart=np.array(fitted.restart),
            observations=np.array(obs.digest),
            made_by=np.array(json.dumps(made_by(**fitted.settings))),
        )


def load_fitted(path: str | os.PathLike[str], obs: Observations) -> FittedHMM:
    """Read what `save_fitted` wrote; the scores are in another file and stay empty.

    Raises:
        InputError: if the file is missing, broken, or of a model fitted to other observations.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            saved = {name: file[name] for name in file.files}
        digest = str(saved["observations"])
        hmm = GaussianHMM.from_parameters(
            *(saved[name] for name in ("startprob", "transmat", "means", "covars")),
            covariance_type=str(saved["covariance_type"]),
            covariance_floor=float(saved["covariance_floor"]),
        )
        fitted = FittedHMM(
            hmm,
            int(saved["n_states"]),
            int(saved["restart"]),
            pd.DataFrame(columns=list(SCORE_COLUMNS)),
            json.loads(str(saved["made_by"])),
        )
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path}: the model cannot be read ({reason})") from error
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: is not a model of 'training-maps hmm' ({error})") from error
    if digest != obs.digest:
        raise InputError(
            f"{path}: this model was fitted to other observations than those given; fit it again "
            "with 'training-maps hmm'"
        )
    return fitted
