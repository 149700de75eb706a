"""Fits to halves of the runs, made of given paths rather than fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from training_maps.hmm.observations import Observations
from training_maps.model_selection.criteria import Candidate
from training_maps.model_selection.fitted import SCORE_COLUMNS
from training_maps.reproducibility.halves import Scheme
from training_maps.reproducibility.refit import HalfFit


def half_of(
    number: int,
    paths: Mapping[int, Sequence[Sequence[int]]],
    bic: Mapping[int, float] | None = None,
    scheme: Scheme = "halves",
) -> HalfFit:
    """A half whose Gaussian models give these states.

    Args:
        number: of the half.
        paths: by number of states, the states of each run.
        bic: by number of states; the first is the lowest by default.
        scheme: how halves were drawn.
    """
    runs = next(iter(paths.values()))
    n = len(runs)
    candidates = tuple(Candidate("gaussian", k) for k in paths)
    scores = pd.DataFrame(
        {
            **{column: [0.0] * len(paths) for column in SCORE_COLUMNS},
            "model": "gaussian",
            "split": 0,
            "restart": 0,
            "n_states": list(paths),
            "bic": [(bic or {}).get(k, float(i)) for i, k in enumerate(paths)],
        }
    )
    return HalfFit(
        number=number,
        scheme=scheme,
        seeds=np.arange(n),
        lengths=np.array([len(run) for run in runs]),
        inside=np.arange(n) % 2 == number % 2,
        candidates=candidates,
        paths=np.array([np.concatenate(list(of)) for of in paths.values()]),
        predictive=np.zeros((len(paths), n)),
        scores=scores,
    )


def observed(runs: Sequence[Sequence[int]]) -> Observations:
    """Observations of as many checkpoints as the runs have."""
    lengths = [len(run) for run in runs]
    table = pd.DataFrame(
        {
            "seed": np.repeat(np.arange(len(runs)), lengths),
            "step": np.concatenate([np.arange(length) for length in lengths]),
            "split": "train",
            "l1": np.concatenate([np.asarray(run, dtype=float) for run in runs]),
        }
    )
    return Observations(table, ("l1",))
