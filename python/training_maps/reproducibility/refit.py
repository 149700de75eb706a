"""All models fitted anew to some of the runs, and what they say of all runs.

Every candidate, a kind of model with a number of states, is fitted as in the experiment itself. Of
each is kept how its restarts are judged by the half's own validation runs, the most likely path of
every run, seen or not, under the restart that is kept, and how well it foretells every run.

How well is the one-step-ahead predictive log density (`training_maps.hmm.predictive`), in nats.
Models that have no states are judged by it too (`training_maps.structure.field`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, cast, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training_maps.hmm.observations import Observations
from training_maps.hmm.predictive import foretold
from training_maps.model_selection.criteria import Candidate
from training_maps.model_selection.fit import fit_hmm
from training_maps.model_selection.fitted import SCORE_COLUMNS, read_arrays
from training_maps.model_selection.restarts import numbered_path, other_splits
from training_maps.reproducibility.halves import (
    Scheme,
    judging_scheme,
    observations_of,
    runs_of,
    scheme_of,
)
from training_maps.settings.sections import FitSettings
from training_maps.structure.field import foretold_by_fields
from training_maps.utils.files import made_by, replace_when_whole
from training_maps.utils.numbers import Floats
from training_maps.utils.progress import Count

# Where runs are few, each is judged by one fit of a fold, or without a run, and a bad start tells:
# of 10 runs with a stark fork, states gained 0.2 nats a checkpoint more with twice the restarts. So
# these fits have so many times those of a half.
_STARTS_OF_FEW = 3
_ARRAYS = ("seeds", "lengths", "inside", "paths", "predictive")


@dataclass(frozen=True, eq=False)
class HalfFit:
    """What the models fitted to a half of the runs say of all runs.

    Attributes:
        number: which half, from 0 on.
        scheme: "halves", "folds" of a cross-validation, or "leave_one_out" where runs are few.
        seeds: (M,) seeds of all runs, ascending.
        lengths: (M,) checkpoints of each run; they sum to n.
        inside: (M,) whether a run is one of the half's, training and validation runs both.
        candidates: the C models with states that could be fitted.
        paths: (C, n) most likely (Viterbi) states of all runs, concatenated by ascending seed; of
            each candidate, states are numbered in the order in which all runs visit them.
        predictive: (C, M) one-step-ahead predictive log density of each run, in nats.
        scores: the rows of the candidates' restarts, with `SCORE_COLUMNS`.
        others: by name, the predictive log density (M,) of models that have no states.
        reason: why there are no fits; None if there are.
    """

    number: int
    scheme: Scheme
    seeds: NDArray[np.int64]
    lengths: NDArray[np.int64]
    inside: NDArray[np.bool_]
    candidates: tuple[Candidate, ...]
    paths: NDArray[np.uint16]
    predictive: Floats
    scores: pd.DataFrame
    others: Mapping[str, Floats] = field(default_factory=dict)
    reason: str | None = None

    def path_of(self, candidate: Candidate) -> NDArray[np.int64]:
        """The states (n,) of all checkpoints under a candidate; KeyError if it was not fitted."""
        if candidate not in self.candidates:
            raise KeyError(candidate)
        return self.paths[self.candidates.index(candidate)].astype(np.int64)

    def save(
        self, path: str | os.PathLike[str], obs: Observations, settings: Mapping[str, Any]
    ) -> None:
        """Write it as npz without pickles, with the digest of all runs' observations."""
        arrays: dict[str, Any] = {name: getattr(self, name) for name in _ARRAYS}
        for column in SCORE_COLUMNS:
            values = self.scores[column].to_numpy()
            arrays[f"scores_{column}"] = values.astype(str) if values.dtype == object else values
        arrays |= {f"others_{name}": values for name, values in self.others.items()}
        with replace_when_whole(path) as aside, aside.open("wb") as file:
            np.savez_compressed(
                file,
                **arrays,
                models=np.array([candidate.model for candidate in self.candidates], dtype=str),
                n_states=np.array([c.n_states for c in self.candidates], dtype=np.int64),
                number=np.array(self.number),
                scheme=np.array(self.scheme),
                reason=np.array(self.reason or ""),
                observations=np.array(obs.digest),
                made_by=np.array(json.dumps(made_by(**settings))),
            )

    @classmethod
    def load(cls, path: str | os.PathLike[str], obs: Observations) -> Self:
        """Read what `save` wrote.

        Raises:
            InputError: if the file is missing, broken, or of other observations than `obs`.
        """
        return read_arrays(path, obs, cls._of, "half", "half")

    @classmethod
    def _of(cls, saved: Mapping[str, NDArray[Any]]) -> Self:
        """What a file's arrays say."""
        arrays = {name: saved[name] for name in _ARRAYS}
        models = saved["models"].tolist()
        candidates = tuple(map(Candidate, models, saved["n_states"].tolist()))
        runs, n = len(arrays["seeds"]), int(arrays["lengths"].sum())
        shapes = {
            "lengths": (runs,),
            "inside": (runs,),
            "paths": (len(candidates), n),
            "predictive": (len(candidates), runs),
        }
        for name, shape in shapes.items():
            if arrays[name].shape != shape:
                raise ValueError(f"{name} has shape {arrays[name].shape}, expected {shape}")
        scheme = str(saved["scheme"])
        if scheme not in get_args(Scheme):
            raise ValueError(f"scheme is {scheme!r}, expected one of {', '.join(get_args(Scheme))}")
        return cls(
            number=int(saved["number"]),
            scheme=cast(Scheme, scheme),
            candidates=candidates,
            **arrays,
            scores=pd.DataFrame({c: saved[f"scores_{c}"].tolist() for c in SCORE_COLUMNS}),
            others={
                name.removeprefix("others_"): values
                for name, values in saved.items()
                if name.startswith("others_")
            },
            reason=str(saved["reason"]) or None,
        )


def fit_half(
    obs: Observations,
    number: int,
    candidates: Sequence[Candidate],
    *,
    validation_share: float,
    random_state: int = 0,
    beside: Sequence[Candidate] = (),
    resplits: int = 0,
    **fit: Any,
) -> HalfFit:
    """Fit all candidates to one half of the runs.

    Args:
        obs: observations of all runs.
        number: of the half (`training_maps.reproducibility.halves.runs_of`).
        candidates: kinds of model with numbers of states. One that the half has too few different
            checkpoints for is left out.
        validation_share: share of the half's runs held out to judge the fits. Folds hold out none:
            no number of states is chosen from them.
        random_state: seed of halves, of their validation runs and of the fits' starts.
        beside: further candidates that stand on the ladder and are not chosen from: they have no
            scores, and are not split again. Halves that do not judge are spared them and the
            models without states.
        resplits: as `fit_hmm` takes it, for all runs; half of the runs are split half as often.
        fit: how each candidate is fitted, as `fit_hmm` takes it; fits other than to halves have
            three times the restarts.

    Returns:
        The fits; with a `reason` in their place if the runs are too few.

    Raises:
        InputError: if a setting is out of its range.
    """
    x, lengths, seeds = obs.sequences()
    scheme = scheme_of(len(seeds), number)
    inside = runs_of(seeds, number, random_state)
    held_out = 0.0 if scheme == "folds" else validation_share
    half = observations_of(obs, inside, held_out, [random_state, number, 1])
    able, reason = _able(half, candidates, len(seeds), number)
    judges = scheme == judging_scheme(len(seeds))
    wanted = [c for c in beside if c not in able] if judges else []
    extra, _ = _able(half, wanted, len(seeds), number)
    fit |= {"random_state": random_state, "keep_runs": False}
    if scheme != "halves":
        fit["restarts"] = _STARTS_OF_FEW * fit.get("restarts", FitSettings.restarts)
    fit["count"] = _count(half, number, len(able), len(extra), resplits // 2, fit)
    fits = [fit_hmm(half, c.n_states, model=c.model, resplits=resplits // 2, **fit) for c in able]
    fits_beside = [fit_hmm(half, c.n_states, model=c.model, **fit) for c in extra if able]
    hmms = [found.hmm for found in (*fits, *fits_beside)]
    seen = half.sequences("train")[:2] if able else (x, lengths)
    floor = fit.get("covariance_floor", FitSettings.covariance_floor)
    return HalfFit(
        number=number,
        scheme=scheme,
        seeds=np.array(seeds, dtype=np.int64),
        lengths=lengths,
        inside=np.isin(seeds, inside),
        candidates=(*able, *extra) if able else (),
        paths=np.array([numbered_path(hmm, x, lengths) for hmm in hmms], dtype=np.uint16).reshape(
            len(hmms), len(x)
        ),
        predictive=np.array([foretold(hmm, seen, (x, lengths)) for hmm in hmms]).reshape(
            len(hmms), len(lengths)
        ),
        scores=_joined([found.scores for found in fits]),
        others=foretold_by_fields(half, obs, floor) if able and judges else {},
        reason=reason,
    )


def _count(
    half: Observations,
    number: int,
    n_able: int,
    n_extra: int,
    resplits: int,
    fit: Mapping[str, Any],
) -> Count:
    """What counts all fits of a half in the log, so that it tells how many are left."""
    n_splits = 1 + (len(other_splits(half, resplits)) if n_able else 0)
    restarts = fit.get("restarts", FitSettings.restarts)
    return Count(restarts * (n_able * n_splits + n_extra), f"refit {number}, fit")


def _able(
    half: Observations, candidates: Sequence[Candidate], n_runs: int, number: int
) -> tuple[list[Candidate], str | None]:
    """The candidates that can be fitted to a half, and why there is none."""
    if half.table.empty:
        return [], f"{n_runs} runs are too few for refit {number}."
    distinct = len(np.unique(half.sequences("train")[0], axis=0))
    able = [candidate for candidate in candidates if candidate.n_states <= distinct]
    if able:
        return able, None
    return [], f"The training runs of refit {number} have only {distinct} different checkpoints."


def _joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    if not tables:
        return pd.DataFrame(columns=list(SCORE_COLUMNS))
    return pd.concat(tables, ignore_index=True)
